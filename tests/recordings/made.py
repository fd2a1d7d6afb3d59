"""Folders that the real recorder has made, with their index, and small frames to fill them."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np

from mesh import codec
from mesh.frame import Detection, Frame
from mesh.recordings.catalog import Catalog
from mesh.recordings.index import Index, Listed
from nodes.collect.recorder import Recorder

SECOND = 1_000_000_000
NOON = 1_792_065_600 * SECOND  # 2026-10-15 12:00:00 UTC
SIZE = (16, 16)


@cache
def _jpeg(number: int) -> bytes:
    return bytes(codec.encode(np.full((*SIZE, 3), number % 256, np.uint8)))


def frame(
    camera: str, second: float, *found: Detection, seq: int = 0, boot: int = 7, stage: str = "raw"
) -> Frame:
    """A frame of `camera`, so many seconds after noon."""
    return Frame(
        camera=camera,
        boot=boot,
        seq=seq,
        stage=stage,
        captured_ns=NOON + round(second * SECOND),
        width=SIZE[0],
        height=SIZE[1],
        payload=_jpeg(seq),
        detections=found,
    )


def person(score: float, by: str = "motion") -> Detection:
    return Detection("person", score, (1, 1, 4, 4), by)


def every_second(
    camera: str, start: float, stop: float, *found: Detection, stage: str = "raw"
) -> list[Frame]:
    """A frame a second, with the same detections in each."""
    return [
        frame(camera, start + k, *found, seq=round(start) + k, stage=stage)
        for k in range(round(stop - start))
    ]


def record(into: Path, frames: Iterable[Frame], *, seconds: float = 10, late: Iterable[Frame] = ()) -> None:
    """Record them, in segments of `seconds`, and put what was made into the index."""
    recorder = Recorder(into, segment_seconds=seconds)
    for each in frames:
        recorder.write(each)
    for each in late:
        recorder.write(each, late=True)
    recorder.close()
    note(into, recorder.end_commit().segments)


def note(into: Path, segments: Iterable[Listed]) -> None:
    index = Index(into)
    index.write(segments)
    index.close()


def holdings(into: Path) -> dict[str, Listed]:
    """Everything that the index says of the files, by path."""
    with Catalog(into) as catalog:
        assert catalog.version is not None
        found = {row.path: catalog.segment(row.path) for row in catalog.segments()}
    return {path: held for path, held in found.items() if held is not None}
