"""What a recording says afterwards: how much of the truth the motion detector found."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Box = Sequence[float]

MATCH_IOU = 0.3
WARM_UP_FRAMES = 60


@dataclass(frozen=True, slots=True)
class Recall:
    """Of `objects` that truly were in the pictures, uncut by an edge and uncovered by another, `found` have
    a motion box that overlaps enough."""

    objects: int
    found: int

    @property
    def share(self) -> float:
        return self.found / self.objects if self.objects else 0.0


def overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes [x, y, width, height]."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def recall(lines: Iterable[dict[str, Any]], *, skip: int = WARM_UP_FRAMES) -> Recall:
    """The motion boxes of `.jsonl` lines against the true boxes in them, after `skip` frames in which the
    detector's background model forms."""
    objects = found = 0
    for number, line in enumerate(lines):
        if number < skip:
            continue
        truth = [d["box"] for d in line["detections"] if d.get("by") == "truth" and _is_whole(d)]
        motion = [d["box"] for d in line["detections"] if d.get("by") == "motion"]
        objects += len(truth)
        found += sum(any(overlap(box, seen) >= MATCH_IOU for seen in motion) for box in truth)
    return Recall(objects, found)


def _is_whole(detection: dict[str, Any]) -> bool:
    return bool(detection.get("attributes", {}).get("whole", True))


def lines(recordings: Path, camera: str) -> Iterator[dict[str, Any]]:
    """Every line of a camera's recordings, in order of time."""
    for file in sorted((recordings / camera).glob("*/*.jsonl")):
        with file.open(encoding="utf-8") as opened:
            yield from map(json.loads, opened)


def videos(recordings: Path, camera: str) -> list[Path]:
    """A camera's recorded files, in order of time."""
    return sorted((recordings / camera).glob("*/*.mkv"))
