"""`mesh bench codec`: pixels to JPEG and back, beside simplejpeg itself.

Rules kept here: floor and ours do the same work with the same options, in one process, by turns of a few
hundredths of a second; CPU time is counted, not time that passed.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import av
import simplejpeg

from mesh import codec
from mesh.bench.child import Channel, Values
from mesh.bench.children import WITHIN_S, Children
from mesh.bench.pictures import Pictures
from mesh.bench.report import Row
from mesh.bench.setup import Setup
from mesh.codec import DEFAULT_QUALITY, Image
from mesh.frame import Frame
from nodes.capture.sources.frames import planes

Work = Callable[[int], object]  # done once, with picture number so and so

SLICE_S = 0.02
FAST = {"fastdct": True, "fastupsample": True}
REDUCTION = 4

CASES = {
    "encode": "simplejpeg.encode_jpeg",
    "decode": "simplejpeg.decode_jpeg",
    "decode gray, a quarter of the size": "simplejpeg.decode_jpeg, min_factor=2",
    "encode YUV planes": "simplejpeg.encode_jpeg_yuv_planes",
}


def measure(setup: Setup) -> Iterator[Row]:
    """A row for each kind of work and size."""
    for pictures in setup.pictures_of_each_size:
        within = WITHIN_S + 10 * setup.seconds * setup.runs  # CPU is counted: a busy machine takes longer
        with Children(within * len(CASES)) as children:
            child = children.start(
                by_turns, pictures=pictures.as_options(), seconds=setup.seconds, runs=setup.runs
            )
            for case, floor_is in CASES.items():
                found = child.hear(within)[case]
                yield Row(f"{case}, {pictures}", "CPU ms/image", found["ours"], found["floor"], floor_is)
            child.result()


def by_turns(channel: Channel, *, pictures: dict[str, Any], seconds: float, runs: int) -> Values:
    """A role: says of each case the CPU milliseconds an image of floor and ours, of each run."""
    for case in CASES:
        floor, ours = _works(case, Pictures.of(pictures))
        found = [_run(floor, ours, seconds) for _ in range(runs)]
        channel.say(**{case: {"floor": [one[0] for one in found], "ours": [one[1] for one in found]}})
    return {}


def _run(floor: Work, ours: Work, seconds: float) -> tuple[float, float]:
    """CPU milliseconds an image of each, in `seconds` of CPU for both together."""
    spent, images = [0.0, 0.0], [0, 0]
    while sum(spent) < seconds:
        for index, work in enumerate((floor, ours)):
            cpu_s, done = _slice(work)
            spent[index] += cpu_s
            images[index] += done
    return spent[0] / images[0] * 1e3, spent[1] / images[1] * 1e3


def _slice(work: Work) -> tuple[float, int]:
    """The CPU seconds and images of a short turn."""
    begin = now = time.process_time()
    images = 0
    while now < begin + SLICE_S:
        work(images)
        images += 1
        now = time.process_time()
    return now - begin, images


def _works(case: str, pictures: Pictures) -> tuple[Work, Work]:
    """What floor and ours do."""
    images = pictures.bgr()
    if case == "encode":
        return _encode(images)
    if case == "encode YUV planes":
        return _encode_planes(images)
    return _decode(images, REDUCTION if "gray" in case else 1)


def _encode(images: list[Image]) -> tuple[Work, Work]:
    frame = _frame(codec.encode(images[0]), images[0])
    count = len(images)
    return (
        lambda k: simplejpeg.encode_jpeg(images[k % count], DEFAULT_QUALITY, "BGR", "420"),
        lambda k: frame.with_image(images[k % count]).encoded(),
    )


def _encode_planes(images: list[Image]) -> tuple[Work, Work]:
    converted = [
        planes(av.VideoFrame.from_ndarray(image, "bgr24").reformat(format="yuvj420p")) for image in images
    ]
    count = len(images)
    return (
        lambda k: simplejpeg.encode_jpeg_yuv_planes(*converted[k % count], DEFAULT_QUALITY),
        lambda k: codec.encode_yuv420(*converted[k % count]),
    )


def _decode(images: list[Image], reduction: int) -> tuple[Work, Work]:
    jpegs = [codec.encode(image) for image in images]
    frames = [_frame(jpeg, image) for jpeg, image in zip(jpegs, images, strict=True)]
    height, width = (side // reduction for side in images[0].shape[:2])
    count = len(images)
    if reduction == 1:
        return (
            lambda k: simplejpeg.decode_jpeg(jpegs[k % count], "BGR", **FAST),
            lambda k: replace(frames[k % count], _pixels={}).image,
        )
    least = {"min_width": width, "min_height": height, "min_factor": 2}
    return (
        lambda k: simplejpeg.decode_jpeg(jpegs[k % count], "GRAY", **FAST, **least),
        lambda k: replace(frames[k % count], _pixels={}).gray(max(width, height)),
    )


def _frame(jpeg: bytes, image: Image) -> Frame:
    height, width = image.shape[:2]
    return Frame(camera="bench", boot=1, seq=0, captured_ns=0, width=width, height=height, payload=jpeg)
