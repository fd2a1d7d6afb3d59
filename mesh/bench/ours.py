"""Ours, as a script uses it: `mesh.publish` and `mesh.subscribe`, without a registry."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import mesh
from mesh.bench.child import Channel, Values
from mesh.bench.children import BenchError
from mesh.bench.flow import Ahead, Taken, receive_all, send_all, touch
from mesh.bench.pictures import Pictures
from mesh.clock import SYSTEM_CLOCK
from mesh.codec import Image

STAGE, CAMERA = "raw", "bench"
WITHIN_S = 60.0
PATIENCE_S = 30.0  # a sender may be held up; one that ends says so
LOOK_EVERY_S = 0.01


def send(channel: Channel, *, fd: int, pictures: dict[str, Any], pixels: bool, seconds: float) -> Values:
    """A role: publish pictures, as pixels that are encoded or as the JPEGs that they are."""
    payload = payloads(Pictures.of(pictures), pixels)
    with mesh.publish("tcp://127.0.0.1:*", STAGE, CAMERA) as out:
        channel.say(endpoint=out.endpoint)
        await_listener(out)
        return send_all(lambda seq: out.send(payload(seq)), Ahead(fd), seconds)


def receive(channel: Channel, *, fd: int, endpoint: str, pixels: bool) -> Values:
    """A role: subscribe, and decode to pixels, or don't."""
    with mesh.subscribe(endpoint, STAGE, CAMERA, policy="fifo", view="frame", until_end=True) as frames:
        return receive_all(numbers(frames, pixels), Taken(fd))


def payloads(pictures: Pictures, pixels: bool) -> Callable[[int], Image | bytes]:
    """What frame number so and so carries."""
    found: list[Image] | list[bytes] = pictures.bgr() if pixels else pictures.jpegs()
    return lambda seq: found[seq % len(found)]


def await_listener(out: mesh.Publication) -> None:
    """Wait until somebody subscribes. Raises `BenchError`."""
    deadline = SYSTEM_CLOCK.monotonic() + WITHIN_S
    never = threading.Event()
    while not out.listened_to:
        if SYSTEM_CLOCK.monotonic() > deadline:
            raise BenchError(f"nobody subscribed within {WITHIN_S:g} s")
        SYSTEM_CLOCK.wait(never, LOOK_EVERY_S)


def numbers(frames: mesh.Subscription, pixels: bool) -> Iterator[int]:
    """The number of each frame as it comes, once its pixels are there where they are wanted."""
    while (frame := frames.get(PATIENCE_S)) is not None:
        if pixels:
            touch(frame.image)
        yield frame.seq
