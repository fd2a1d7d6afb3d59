"""`mesh bench latency`: from a camera's pixels to pixels in another process, at 30 frames a second.

The floor is what no way around it could save: encoding and decoding the same pictures, at the same pace in
one process, where nothing is sent.
"""

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

from mesh import codec
from mesh.bench.child import Channel, Meter, Values
from mesh.bench.children import Children
from mesh.bench.paced import FPS, LEAST_S, SETTLED, ages_ms, paced, pause, percentile_ms, ticks
from mesh.bench.pictures import Pictures
from mesh.bench.report import Measure, Row, at_most
from mesh.bench.setup import Setup

FLOOR_IS = "encode + decode at the same pace, nothing sent"
LONGER = 3  # a percentile needs frames, and a second has but thirty
EXCESS_MS = {50: 0.4, 99: 2.0}


def measure(setup: Setup) -> Iterator[Row]:
    """A row for the median, and one for the 99th percentile."""
    seconds = LONGER * max(setup.seconds, LEAST_S)
    floors, found = setup.alternate(
        partial(_encoded_and_decoded, setup.pictures, seconds), partial(_sent, setup.pictures, seconds)
    )
    for percent, excess in EXCESS_MS.items():
        yield Row(
            f"pixels to pixels as JPEG, {setup.pictures}, {FPS:g} fps, p{percent}",
            "ms",
            [percentile_ms(ages, percent) for ages in found],
            [percentile_ms(ages, percent) for ages in floors],
            FLOOR_IS,
            at_most(excess, Measure.EXCESS),
            f"{sum(map(len, found))} frames",
        )


def encode_and_decode(channel: Channel, *, pictures: dict[str, Any], fps: float, seconds: float) -> Values:
    """A role: how long each picture took to be encoded and decoded again, in milliseconds."""
    images = Pictures.of(pictures).bgr()
    height, width = images[0].shape[:2]
    durations = []
    meter = Meter()
    for index in ticks(fps, lambda: meter.wall_s < seconds + SETTLED / fps):
        begin = time.monotonic_ns()
        codec.decode_bgr(codec.encode(images[index % len(images)]), width, height)
        durations.append((time.monotonic_ns() - begin) / 1e6)
    return {"durations_ms": durations[SETTLED:]}


def _encoded_and_decoded(pictures: Pictures, seconds: float) -> list[float]:
    with Children() as children:
        found = children.start(encode_and_decode, pictures=pictures.as_options(), fps=FPS, seconds=seconds)
        return list(found.result(seconds + 60)["durations_ms"])


def _sent(pictures: Pictures, seconds: float) -> list[float]:
    captured, handed, _ = paced(pictures, lambda consumer: pause(seconds), decode=True)
    return ages_ms(captured, handed)
