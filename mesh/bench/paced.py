"""A camera at a steady rate, and what consumes it: roles that `latency` and `overload` share.

Rules kept here: ages are by CLOCK_MONOTONIC, which all processes of a machine share: the publisher notes when
it had the pixels, the consumer when it was handed the frame, and the two are matched by the frame's number;
the pace is kept by deadlines, so that one late frame does not make all others late.
"""

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import mesh
from mesh.bench.child import Channel, Values
from mesh.bench.children import Child, Children, usage
from mesh.bench.ours import CAMERA, STAGE, await_listener, payloads
from mesh.bench.pictures import Pictures
from mesh.clock import SYSTEM_CLOCK
from mesh.trace import percentile

FPS = 30.0
SETTLED = 5  # frames, until buffers have grown and codecs are loaded
PATIENCE_S = 30.0
LEAST_S = 0.2

_never = threading.Event()


def pause(seconds: float) -> None:
    """Let time pass."""
    SYSTEM_CLOCK.wait(_never, seconds)


def ticks(fps: float, goes_on: Callable[[], bool]) -> Iterator[int]:
    """0, 1, 2, … at `fps` a second, while it `goes_on`."""
    begin, index = time.monotonic(), 0
    while goes_on():
        yield index
        index += 1
        pause(max(0.0, begin + index / fps - time.monotonic()))


def publish(channel: Channel, *, pictures: dict[str, Any], fps: float = FPS) -> Values:
    """A role: publish pixels until told to end. It returns when it had each frame's pixels, in ns."""
    payload = payloads(Pictures.of(pictures), pixels=True)
    captured = []
    with mesh.publish("tcp://127.0.0.1:*", STAGE, CAMERA) as out:
        channel.say(endpoint=out.endpoint)
        await_listener(out)
        for seq in ticks(fps, lambda: not channel.is_told()):
            image = payload(seq)
            captured.append(time.monotonic_ns())
            out.send(image)
    return {"captured": captured}


def consume(
    channel: Channel,
    *,
    endpoint: str,
    max_age: float | None = None,
    decode: bool = False,
    work_s: float = 0.0,
) -> Values:
    """A role: take frames until the stream ends, `work_s` seconds of work for each, now more, now less.

    It says so once it has `SETTLED`, and returns each frame's number, when it was handed out (decoded, where
    asked) in ns, and its memory in KiB then and at the end.
    """
    rng = random.Random(1)
    handed: list[tuple[int, int]] = []
    rss_kib = 0
    with mesh.subscribe(endpoint, STAGE, CAMERA, view="frame", max_age=max_age, until_end=True) as frames:
        while (frame := frames.get(PATIENCE_S)) is not None:
            if decode:
                _ = frame.image
            handed.append((frame.seq, time.monotonic_ns()))
            if len(handed) == SETTLED:
                rss_kib = usage(os.getpid()).rss_kib
                channel.say(settled=True)
            if work_s:
                # Not the same each time: its phase to the camera's would hardly change.
                pause(work_s * rng.uniform(0.75, 1.25))
    return {"handed": handed, "rss_kib": [rss_kib, usage(os.getpid()).rss_kib]}


def paced(
    pictures: Pictures, during: Callable[[Child], None], **consumer: Any
) -> tuple[dict[int, int], list[tuple[int, int]], list[int]]:
    """Run a publisher and a consumer: `during` is called with the consumer once it has settled.

    When each frame was captured; when those between the first ones and the last were handed out; and the
    consumer's memory.
    """
    with Children() as children:
        camera = children.start(publish, pictures=pictures.as_options())
        endpoint = camera.hear()["endpoint"]
        taking = children.start(consume, endpoint=endpoint, **consumer)
        taking.hear()
        during(taking)
        camera.tell(end=True)
        captured = dict(enumerate(camera.result()["captured"]))
        found = taking.result()
    last = captured[max(captured)]  # after it nothing fresher comes
    handed = [(seq, at) for seq, at in found["handed"][SETTLED:] if at <= last + 1e9 / FPS]
    return captured, handed, found["rss_kib"]


def ages_ms(captured: dict[int, int], handed: list[tuple[int, int]]) -> list[float]:
    """How old each frame was when it was handed out."""
    return [(at - captured[seq]) / 1e6 for seq, at in handed]


def late(captured: dict[int, int]) -> int:
    """How often the camera itself was late by half an interval or more: another work had the processor, and
    the frame before it grew old meanwhile."""
    times = list(captured.values())
    return sum(after - before > 1.5e9 / FPS for before, after in pairwise(times))


def percentile_ms(durations_ms: list[float], percent: float) -> float:
    """The nearest-rank percentile of durations, one at least, in milliseconds."""
    return percentile(sorted(round(one * 1e6) for one in durations_ms), percent) / 1e6
