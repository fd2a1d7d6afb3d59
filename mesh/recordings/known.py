"""What the index of a folder tells of a camera's day, for those who read recordings.

Rules kept here: it is read alone, never made, mended or locked, so that the collector which records there is
not disturbed; what it does not say, the files say: whoever has no index, or one of another version, or a
damaged one, goes on without.
"""

import sqlite3
from collections import defaultdict
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

from mesh.errors import StorageError
from mesh.recordings.contents import Event, Gap
from mesh.recordings.index import NAME, Listed, SegmentRow
from mesh.recordings.opening import Why, open_index

_SEGMENTS = (
    "SELECT path, stage, camera, boot, open, frames, late, first_ns, last_ns, bytes, skipped_ns FROM segments"
    " WHERE path > ? AND path < ?"
)
_EVENTS = "SELECT path, label, by, first_ns, last_ns, frames, best FROM events WHERE path > ? AND path < ?"
_LEFT_OUT = "SELECT skipped_ns, skipped_to_ns FROM streams WHERE camera = ? AND skipped_ns > 0"
_GAPS = "SELECT path, first_ns, last_ns FROM gaps WHERE path > ? AND path < ?"


class Known:
    """The index of `root`, open for reading. Raises `StorageError` where there is none that can be read."""

    def __init__(self, root: Path) -> None:
        self.path = root / NAME
        found = open_index(root, any_thread=True)
        if isinstance(found, Why):
            raise StorageError(f"{root}: {found.text}")
        self._db = found

    def __repr__(self) -> str:
        return f"<Known {self.path}>"

    def times(self, camera: str, day: date) -> dict[str, SegmentRow]:
        """The segments of a camera that begin on a day, by path below the folder."""
        rows = self._all(_SEGMENTS, *_bounds(camera, day))
        return {p: SegmentRow(p, stage, of, boot, bool(o), *rest) for p, stage, of, boot, o, *rest in rows}

    def contents(self, camera: str, day: date) -> dict[str, Listed]:
        """The same, with what was seen in them, and their gaps."""
        events, gaps = defaultdict(list), defaultdict(list)
        for path, *event in self._all(_EVENTS, *_bounds(camera, day)):
            events[path].append(Event(*event))
        for path, *gap in self._all(_GAPS, *_bounds(camera, day)):
            gaps[path].append(Gap(*gap))
        rows = self.times(camera, day)
        return {path: Listed(row, tuple(events[path]), tuple(gaps[path])) for path, row in rows.items()}

    def left_out(self, camera: str) -> list[tuple[int, int]]:
        """From when to when frames of a camera were left out by choice, of which none was recorded since."""
        return [(since_ns, to_ns) for since_ns, to_ns in self._all(_LEFT_OUT, camera)]

    def close(self) -> None:
        with suppress(sqlite3.Error):
            self._db.close()

    def _all(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise StorageError(f"{self.path} cannot be read: {error}") from error


def _bounds(camera: str, day: date) -> tuple[str, str]:
    """What the paths of a camera's day lie between."""
    return f"{camera}/{day.isoformat()}/", f"{camera}/{day.isoformat()}0"  # "0" comes next after "/"
