"""Recordings deleted because somebody asked for it, as retention removes what is too old.

Rules kept here: a recording that is locked, or still open, stays; rows go first, with a note that the files
are to go and the count of what they held, then the files: it may be done while a collector records there, and
no count shrinks. A lock that comes between is heeded, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mesh.recordings.index import SegmentRow
from mesh.recordings.kept import Kept
from nodes.collect.recorder import storage_error
from nodes.collect.removal import lock_of, remove_files

BATCH = 64


@dataclass(frozen=True, slots=True)
class Deleted:
    """How many recordings went, and their bytes."""

    segments: int
    bytes: int


def delete(into: Path, rows: Sequence[SegmentRow]) -> Deleted:
    """Delete recordings for good. Raises `StorageError`."""
    kept = Kept(into)
    segments = size = 0
    try:
        for start in range(0, len(rows), BATCH):
            going = [row for row in rows[start : start + BATCH] if is_free(into, row)]
            paths = [row.path for row in going]
            kept.remove(paths)
            remove_files(into, paths)
            kept.removed(paths)
            segments, size = segments + len(going), size + sum(row.bytes for row in going)
    except OSError as error:
        raise storage_error(into, error) from error
    finally:
        kept.close()
    return Deleted(segments, size)


def is_free(into: Path, row: SegmentRow) -> bool:
    """Whether a recording may go."""
    return not row.open and not lock_of(into, row.path).exists()
