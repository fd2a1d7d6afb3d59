"""What retention asks of an index, and changes in it, beside the collector that writes to it.

Rules kept here: it has a connection of its own, whose reads are short, so that who records waits for one
transaction of this at most; a row goes in one transaction with a mark that its files are being removed, and
with the count of what they held: whatever happens then, they do not come back, and no count shrinks. What has
times in the future, as a clock was wrong, is as old as when that was first seen, until its time has come.
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from pathlib import Path

from mesh.database import durable, transaction
from mesh.recordings.index import NAME, REMOVING, connected, translated

PAGE = 256
_AGE = itemgetter(1, 0)

# From one index alone; SQLite would take another by itself.
_CLOSED = "SELECT camera, SUM(bytes) FROM segments INDEXED BY segments_by_age WHERE open = 0 GROUP BY camera"
_OPEN = "SELECT camera, SUM(bytes) FROM segments INDEXED BY segments_open WHERE open = 1 GROUP BY camera"
_UNKNOWN = "NOT EXISTS (SELECT 1 FROM ahead WHERE ahead.path = segments.path)"
_OLDEST = (
    "SELECT path, last_ns, bytes FROM segments WHERE open = 0 AND camera = ? AND (last_ns, path) > (?, ?)"
    f" AND {_UNKNOWN} ORDER BY last_ns, path LIMIT ?"
)
_OLDEST_AHEAD = (
    "SELECT a.path, a.since_ns, s.bytes FROM ahead a JOIN segments s ON s.path = a.path"
    " WHERE a.camera = ? AND (a.since_ns, a.path) > (?, ?) ORDER BY a.since_ns, a.path LIMIT ?"
)
_AHEAD = f"SELECT path, camera, ? FROM segments WHERE open = 0 AND camera = ? AND last_ns > ? AND {_UNKNOWN}"
_GONE = (
    "SELECT path FROM ahead WHERE NOT EXISTS"
    " (SELECT 1 FROM segments WHERE segments.path = ahead.path AND segments.last_ns > ?)"
)
_COUNT = (
    "UPDATE streams SET removed = removed + ?, removed_late = removed_late + ?"
    " WHERE stage = ? AND camera = ? AND boot = ?"
)
_HELD = "SELECT stage, camera, boot, frames, late FROM segments WHERE open = 0 AND path = ?"


class Kept:
    """The index of a folder, which is there. For one thread. Raises `StorageError`, or `Damaged`."""

    def __init__(self, into: Path) -> None:
        self.path = into / NAME
        with translated(self.path):
            self._db = connected(self.path)
            try:
                durable(self._db)
            except BaseException:
                self._db.close()
                raise

    def __repr__(self) -> str:
        return f"<Kept {self.path}>"

    def bytes(self, *, opened: bool) -> dict[str, int]:
        """Bytes of closed recordings, or of open ones, by camera."""
        with translated(self.path):
            return dict(self._db.execute(_OPEN if opened else _CLOSED).fetchall())

    def oldest(self, camera: str) -> Iterator[tuple[str, int, int]]:
        """A camera's closed recordings, the oldest first: path, time by which its age is counted, bytes."""
        return heapq.merge(self._paged(_OLDEST, camera), self._paged(_OLDEST_AHEAD, camera), key=_AGE)

    def see_ahead(self, cameras: Iterable[str], beyond_ns: int, now_ns: int) -> None:
        """Recordings whose newest frame's time lies beyond that are as old as if it were now; until that time
        has come: it may have been this clock that was wrong."""
        with translated(self.path):
            found = [row for each in cameras for row in self._db.execute(_AHEAD, (now_ns, each, beyond_ns))]
            gone = self._db.execute(_GONE, (now_ns,)).fetchall()
            if found or gone:
                with transaction(self._db):
                    self._db.executemany("DELETE FROM ahead WHERE path = ?", gone)
                    self._db.executemany("INSERT OR IGNORE INTO ahead VALUES (?, ?, ?)", found)

    def _paged(self, query: str, camera: str) -> Iterator[tuple[str, int, int]]:
        last_ns, path = -1, ""
        while True:
            with translated(self.path):
                page = self._db.execute(query, (camera, last_ns, path, PAGE)).fetchall()
            yield from page
            if len(page) < PAGE:
                return
            path, last_ns, _ = page[-1]

    def newest_ns(self) -> int:
        """The time of the newest frame in closed recordings; 0 where there are none."""
        with translated(self.path):
            times = [
                self._db.execute(
                    "SELECT MAX(last_ns) FROM segments WHERE open = 0 AND camera = ?", (camera,)
                ).fetchone()[0]
                for camera in self.bytes(opened=False)
            ]
        return max(times, default=0)

    def aged_ns(self) -> int:
        """Up to when age was counted; 0 in a new index."""
        with translated(self.path):
            return int(self._db.execute("SELECT aged_ns FROM folder").fetchone()[0])

    def age(self, now_ns: int) -> None:
        """Age was counted up to here."""
        with translated(self.path):
            self._db.execute("UPDATE folder SET aged_ns = ?", (now_ns,))

    def remove(self, paths: Sequence[str]) -> None:
        """Forget closed recordings, and remember that their files are to be removed."""
        with translated(self.path), transaction(self._db):
            frames: Counter[tuple[str, str, int]] = Counter()
            late: Counter[tuple[str, str, int]] = Counter()
            for path in paths:
                for stage, camera, boot, held, behind in self._db.execute(_HELD, (path,)):
                    frames[stage, camera, boot] += held
                    late[stage, camera, boot] += behind
            self._db.executemany(_COUNT, [(n, late[stream], *stream) for stream, n in frames.items()])
            self._each("INSERT OR IGNORE INTO removing VALUES (?)", paths)
            for table in ("segments", "events", "gaps"):
                self._each(f"DELETE FROM {table} WHERE path = ?", paths)

    def removing(self) -> list[str]:
        """What was forgotten and may still be there, unless there is a new recording of that name."""
        with translated(self.path):
            return [path for (path,) in self._db.execute(REMOVING)]

    def removed(self, paths: Sequence[str]) -> None:
        """The files of what was forgotten are gone."""
        with translated(self.path), transaction(self._db):
            self._each("DELETE FROM removing WHERE path = ?", paths)

    def close(self) -> None:
        with translated(self.path):
            self._db.close()

    def _each(self, statement: str, paths: Sequence[str]) -> None:
        self._db.executemany(statement, [(path,) for path in paths])
