"""What is to be written down of how far a destination has come, and when.

Rules kept here: a new file is written down at once, as it is read from there on; frames that are done, and
files that grew, together, once in a while; what the disk refuses is kept and written later.
"""

from collections.abc import Iterable

from mesh.recordings.index import SegmentRow
from nodes.collect.forwarding.backlog import Stream
from nodes.collect.forwarding.cursor import Cursor, Waiting

WRITE_EVERY_S = 1.0


class Notes:
    """Between a forwarder and its cursor; for one thread. All may raise `StorageError`."""

    def __init__(self, cursor: Cursor, now: float) -> None:
        self._cursor = cursor
        self._files: dict[str, SegmentRow] = {}
        self._done: dict[str, int] = {}
        self._gone: set[str] = set()
        self._urgent = False
        self._wrote_at = now

    def __repr__(self) -> str:
        return f"<Notes files={len(self._files)} done={len(self._done)} gone={len(self._gone)}>"

    def __bool__(self) -> bool:
        return bool(self._files or self._done or self._gone)

    def is_due(self, now: float) -> bool:
        return self._urgent or (bool(self) and now - self._wrote_at >= WRITE_EVERY_S)

    def file(self, row: SegmentRow, *, is_new: bool) -> None:
        """A file that is not in memory has so many frames."""
        self._files[row.path] = row
        self._urgent = self._urgent or is_new

    def done(self, path: str, frames: int) -> None:
        """So many leading frames of a file are done."""
        self._done[path] = frames

    def gone(self, path: str) -> int:
        """A file is not there any more; how many of its frames were written down and are not done."""
        self._files.pop(path, None)
        self._gone.add(path)
        return self._cursor.left(path)

    def next(self, stream: Stream, behind: int, most: int) -> tuple[list[Waiting], int | None]:
        """Files of a stream that are to be forwarded, numbered above `behind`; and the number of the last
        that was looked at, or None where there are no more behind it."""
        found = self._cursor.next(*stream, behind, most)
        last = found[-1].number if len(found) >= most else None
        return [each for each in found if each.path not in self._gone], last

    def of(self, path: str) -> SegmentRow | None:
        """What was noted of a file and is not written; whoever asks takes care of it from now on."""
        return self._files.pop(path, None)

    def write(self, now: float) -> tuple[int, set[Stream]]:
        """Write it down: how many frames more are to be forwarded by that, and of which streams."""
        self._wrote_at = now
        before = self._left(self._files)
        self._cursor.write(self._files.values(), self._done, self._gone)
        more = self._left(self._files) - before
        streams = {(row.camera, row.stage) for row in self._files.values()}
        self._files, self._done, self._gone, self._urgent = {}, {}, set(), False
        return more, streams

    def _left(self, paths: Iterable[str]) -> int:
        return sum(map(self._cursor.left, paths))
