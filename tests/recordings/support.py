"""Folders of recordings, as the real recorder leaves them."""

from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

from mesh.frame import Detection, Frame, Hop
from mesh.recordings.index import Index
from nodes.collect.recorder import Recorder
from tests.collect.support import START_NS, make

STEP_NS = 40_000_000  # between two frames of `make`
SECOND_NS = 1_000_000_000

__all__ = ["SECOND_NS", "START_NS", "STEP_NS", "make", "record", "rich", "same"]


def record(into: Path, frames: Iterable[Frame], *, seconds: float = 1.0, index: bool = True) -> list[Frame]:
    """Record frames, in order, in segments of so many seconds; with an index as the collector writes it."""
    kept = list(frames)
    with Recorder(into, segment_seconds=seconds) as recorder:
        for frame in kept:
            recorder.write(frame)
        recorder.close()
        listed = recorder.commit().segments
    if index:
        rows = Index(into)
        rows.write(listed)
        rows.close()
    return kept


def rich(seq: int, **changes: object) -> Frame:
    """A frame with all that a line can say."""
    found = Detection("person", 0.75, (1.5, 2.0, 30.0, 40.25), "model", {"track": 3})
    hops = (Hop("cap", START_NS, START_NS + 5), Hop("proc", START_NS + 9, START_NS + 11))
    said = {"detections": (found,), "hops": hops, "pts_ns": seq * STEP_NS, "attributes": {"light": 0.5}}
    return make(seq, **{"stage": "motion", **said, **changes})


def same(one: Frame, other: Frame) -> bool:
    """Whether two frames say and show the same."""
    names = [each.name for each in fields(Frame) if each.name not in ("payload", "_pixels")]
    return bytes(one.payload) == bytes(other.payload) and all(
        getattr(one, name) == getattr(other, name) for name in names
    )
