"""The `shm` rows of `transport`: pixels through shared memory, beside one copy into memory and nothing else.

The sender stays less than a ring's depth ahead of its receiver, so that no slot has to be overwritten before
it was read: within that, nothing may be lost.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

import mesh
from mesh.bench.child import Channel, Meter, Values
from mesh.bench.children import Children
from mesh.bench.flow import Ahead, Flow, Taken, flow, receive_all, send_all
from mesh.bench.ours import CAMERA, STAGE, await_listener, numbers, payloads
from mesh.bench.pictures import Pictures
from mesh.bench.report import Measure, Row, at_least, at_most
from mesh.bench.setup import Setup
from mesh.codec import Image

AHEAD = 5  # of a ring's 8 slots: one more is being written, one is looked at
STEP = 1
RATE = 2_500
CPU_MS = 0.35
FLOOR_IS = "one memcpy in, none out"


def rows(setup: Setup, pictures: Pictures) -> Iterator[Row]:
    """Rate, CPU and loss at one size."""
    floors, flows = setup.alternate(
        partial(_copied, pictures, setup.seconds), partial(_shared, pictures, setup.seconds)
    )
    case = f"pixels to pixels by shm, {pictures}"
    yield Row(
        case,
        "frames/s",
        [one.fps for one in flows],
        [one.fps for one in floors],
        FLOOR_IS,
        at_least(RATE, Measure.OURS),
    )
    yield Row(
        case,
        "CPU ms/frame, both ends",
        [one.cpu_ms for one in flows],
        [one.cpu_ms for one in floors],
        FLOOR_IS,
        at_most(CPU_MS, Measure.OURS),
    )
    yield Row(
        f"{case}, lost below the ring's depth",
        "frames",
        [one.lost for one in flows],
        target=at_most(0, Measure.OURS),
    )


def send(channel: Channel, *, fd: int, pictures: dict[str, Any], seconds: float) -> Values:
    """A role: publish pixels."""
    payload = payloads(Pictures.of(pictures), pixels=True)
    with mesh.publish("tcp://127.0.0.1:*", STAGE, CAMERA) as out:
        channel.say(endpoint=out.endpoint)
        await_listener(out)
        return send_all(lambda seq: out.send(payload(seq)), Ahead(fd, AHEAD), seconds)


def receive(channel: Channel, *, fd: int, endpoint: str) -> Values:
    """A role: look at pixels where they are."""
    with mesh.subscribe(endpoint, STAGE, CAMERA, policy="fifo", view="shm", until_end=True) as frames:
        return receive_all(numbers(frames, pixels=True), Taken(fd, STEP))


def copy(channel: Channel, *, pictures: dict[str, Any], seconds: float) -> Values:
    """A role: copy pictures into slots of memory, one after the other."""
    images = Pictures.of(pictures).bgr()
    slots: list[Image] = [np.zeros_like(image) for image in images]
    meter, done = Meter(), 0
    while meter.wall_s < seconds:
        np.copyto(slots[done % len(slots)], images[done % len(images)])
        done += 1
    return {"frames": done, **meter.read()}


def _copied(pictures: Pictures, seconds: float) -> Flow:
    with Children() as children:
        done = children.start(copy, pictures=pictures.as_options(), seconds=seconds).result(seconds + 60)
    return Flow(done["frames"] / done["wall_s"], done["cpu_s"] / done["frames"] * 1e3, 0)


def _shared(pictures: Pictures, seconds: float) -> Flow:
    return flow(send, receive, pictures, seconds)
