"""What of the recordings is to go where the index cannot be asked: by the names and sizes of their files.

Rules kept here: the newest of each camera and stage stays, as it may not have been ended; so does what is
locked. A recording is as old as its name says; none is too old, as that is known by the index's clock alone.
"""

from collections import defaultdict
from contextlib import suppress
from datetime import date
from pathlib import Path

from mesh.recordings import names
from mesh.recordings.folder import LOCKED
from mesh.recordings.limits import Keep
from nodes.collect.retention import Disk, Stored, Used, decide

LONG_AGO_NS = 0
SECOND_NS = 1_000_000_000


def to_go(into: Path, keep: Keep, disk: Disk) -> tuple[Stored, ...]:
    """What the limits on bytes and on free space would have go, the oldest first. Raises `StorageError`."""
    closed = {camera: _closed(into, camera) for camera in names.cameras(into)}
    used = {camera: Used(sum(each.bytes for each in found)) for camera, found in closed.items()}
    return decide(used, closed.__getitem__, keep, disk, LONG_AGO_NS).remove


def _closed(into: Path, camera: str) -> list[Stored]:
    """A camera's recordings but the newest of each stage, the oldest first."""
    by_stage: defaultdict[str, list[Stored]] = defaultdict(list)
    for day in names.days(into, camera):
        for named in names.segments(into, camera, day):
            by_stage[named.stage].append(_stored(into, camera, day, named.path))
    found = [each for stage in by_stage.values() for each in stage[:-1]]
    return sorted(found, key=lambda each: (each.last_ns, each.path))


def _stored(into: Path, camera: str, day: date, video: Path) -> Stored:
    size = 0
    for file in (video, video.with_suffix(".jsonl")):
        with suppress(FileNotFoundError):
            size += file.stat().st_size
    hours, minutes, seconds = map(int, video.name[:8].split("-"))
    begin_ns = names.begin_of(day) + (hours * 3600 + minutes * 60 + seconds) * SECOND_NS
    is_locked = video.with_suffix(LOCKED).exists()
    return Stored(str(video.relative_to(into)), camera, begin_ns, size, is_locked)
