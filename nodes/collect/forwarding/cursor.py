"""`DIR/forward.db`: how far the forwarding of a folder has come, by destination.

    destinations  one row a destination, by its name: it has been met
    segments      one row a destination and recorded file: how many frames are in it, and how many of them,
                  from the first on, are done with: there for good, refused, or not to be had. `number` is
                  the order in which files are forwarded: that in which they were recorded

Rules kept here: the recordings are the spool: nothing but numbers is kept here; a frame is done when its
destination has it for good, and what was not written here yet is sent again after a `kill -9`, never left
out; what went from the folder before it was done is told, once; a destination that is met for the first time
begins with what is recorded from then on, unless it is told to begin earlier. Each destination has a
connection of its own, for one thread at a time.
"""

import logging
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mesh.database import durable, transaction
from mesh.errors import StorageError
from mesh.recordings.folder import FORWARD
from mesh.recordings.index import NAME as INDEX
from mesh.recordings.index import SegmentRow
from nodes.collect.folder import put_aside

log = logging.getLogger(__name__)

VERSION = 1
BUSY_S = 5.0
_SQLITE = (sqlite3.Error, UnicodeDecodeError)  # the latter is of what it read, or of its own words about that
# What the disk, the machine or another process is to blame for, and not what is in the file.
_PASSING = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_READONLY,
}

_SCHEMA = f"""
CREATE TABLE destinations (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE segments (
    destination INTEGER NOT NULL,
    number INTEGER NOT NULL,
    path TEXT NOT NULL,         -- of the .mkv, below the folder
    stage TEXT NOT NULL,
    camera TEXT NOT NULL,
    frames INTEGER NOT NULL,    -- that are safe in it
    done INTEGER NOT NULL,      -- of those, from the first on
    PRIMARY KEY (destination, path)
) STRICT, WITHOUT ROWID;
CREATE INDEX waiting ON segments (destination, camera, stage, number) WHERE done < frames;
CREATE INDEX numbers ON segments (destination, number);
PRAGMA user_version = {VERSION};
"""
_COLUMNS = {
    "destinations": ["id", "name"],
    "segments": ["destination", "number", "path", "stage", "camera", "frames", "done"],
}
_LAST = "SELECT COALESCE(MAX(number), 0) FROM segments WHERE destination = :destination"
# What is recorded and not known here yet.
_ADD = """INSERT INTO segments
    SELECT :destination, :last + ROW_NUMBER() OVER (ORDER BY rowid), path, stage, camera, frames, {done}
    FROM recorded.segments WHERE frames > 0 AND path NOT IN
        (SELECT path FROM segments WHERE destination = :destination)"""
_GROWN = """UPDATE segments SET frames = now.frames, done = MIN(done, now.frames)
    FROM recorded.segments AS now
    WHERE destination = :destination AND segments.path = now.path AND segments.frames <> now.frames"""
_GONE = "destination = :destination AND path NOT IN (SELECT path FROM recorded.segments)"
_NOTE = """INSERT INTO segments VALUES (:destination, :number, :path, :stage, :camera, :frames, 0)
    ON CONFLICT (destination, path)
    DO UPDATE SET frames = excluded.frames, done = MIN(done, excluded.frames)"""
_WAITING = "destination = :destination AND done < frames"

# Of the files that each destination was to have, what is there now and it does not have.
_EVERYWHERE = """SELECT destinations.name, SUM(MAX(now.frames - was.done, 0)) AS waiting
    FROM segments AS was JOIN destinations ON destinations.id = was.destination
    JOIN recorded.segments AS now ON now.path = was.path
    GROUP BY destinations.name HAVING waiting > 0 ORDER BY destinations.name"""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A recorded file of which something is to be forwarded."""

    number: int
    path: str
    frames: int
    done: int


class Cursor:
    """How far one destination has come. Raises `StorageError`.

    found:    whether the destination was known here
    removed:  frames that went from the folder before they were done, since the last run
    """

    def __init__(self, into: Path, name: str, since_ns: int | None = None) -> None:
        """`since_ns`: for a destination that is met for the first time, from when on; None: from now on. The
        folder's index is there, and nobody writes to it."""
        self.path = into / FORWARD
        self.lost = False
        try:
            self._open(into, name, since_ns)
        except _SQLITE as error:
            if _is_passing(error):
                raise StorageError(f"cannot write {self.path}: {error}; check the disk") from error
            self.lost = True
            self._put_aside(into, error)
            with _translated(self.path):
                self._open(into, name, since_ns)

    def __repr__(self) -> str:
        return f"<Cursor {self.path} {self._id}>"

    def streams(self) -> list[tuple[str, str]]:
        """(camera, stage) of which something waits."""
        return self._all(f"SELECT DISTINCT camera, stage FROM segments WHERE {_WAITING}")

    def waiting(self) -> int:
        """Frames that are not done."""
        ((frames,),) = self._all(f"SELECT COALESCE(SUM(frames - done), 0) FROM segments WHERE {_WAITING}")
        return int(frames)

    def next(self, camera: str, stage: str, behind: int, most: int) -> list[Waiting]:
        """Files of a stream of which something waits, numbered above `behind`, in order."""
        rows = self._all(
            f"SELECT number, path, frames, done FROM segments WHERE {_WAITING}"
            " AND camera = :camera AND stage = :stage AND number > :behind ORDER BY number LIMIT :most",
            {"camera": camera, "stage": stage, "behind": behind, "most": most},
        )
        return [Waiting(*row) for row in rows]

    def left(self, path: str) -> int:
        """How many frames of a file are not done."""
        rows = self._all(
            "SELECT frames - done FROM segments WHERE destination = :destination AND path = :path"
            " AND done < frames",
            {"path": path},
        )
        return sum(int(frames) for (frames,) in rows)

    def write(
        self,
        noted: Iterable[SegmentRow] = (),
        done: Mapping[str, int] | None = None,
        gone: Iterable[str] = (),
    ) -> None:
        """Take down files that were recorded or grew, how many frames of each are done, and files that were
        removed: all of it, or, when this raises, nothing."""
        about = [
            {"path": r.path, "stage": r.stage, "camera": r.camera, "frames": r.frames, "number": number}
            for number, r in enumerate(noted, self._last + 1)
        ]
        with _translated(self.path), transaction(self._db):
            self._each(_NOTE, about)
            self._each(
                "UPDATE segments SET done = :done WHERE destination = :destination AND path = :path",
                [{"path": path, "done": count} for path, count in (done or {}).items()],
            )
            self._each(
                "DELETE FROM segments WHERE destination = :destination AND path = :path",
                [{"path": path} for path in gone],
            )
        self._last += len(about)

    def close(self) -> None:
        with _translated(self.path):
            self._db.close()

    def _open(self, into: Path, name: str, since_ns: int | None) -> None:
        """Raises `sqlite3.Error`, or what else sqlite3 has for a file that is damaged."""
        self._db = _connected(self.path)
        try:
            self.found, self._id, self.removed = self._met(into, name, since_ns)
            ((self._last,),) = self._db.execute(_LAST, {"destination": self._id}).fetchall()
        except BaseException:
            self._db.close()
            raise

    def _put_aside(self, into: Path, why: Exception) -> None:
        files = [into / f"{FORWARD}{end}" for end in ("", "-wal", "-shm")]
        aside = put_aside(into, [file for file in files if file.exists()], str(why))
        log.error(
            "%s cannot be read: %s; it was moved to %s. How far forwarding had come is not known any more: "
            "it begins anew, as at a first start. To forward earlier recordings, too, stop this node, remove "
            "the file, and start with ?from=TIME behind the URL",
            self.path,
            why,
            aside.parent,
        )

    def _met(self, into: Path, name: str, since_ns: int | None) -> tuple[bool, int, int]:
        """Whether a destination was known, its number, and how many frames went from the folder meanwhile
        that were not done. It is taken down at once: a destination is known with what it begins with."""
        self._db.execute("ATTACH ? AS recorded", (_index(into),))
        try:
            with transaction(self._db):
                found = self._db.execute("SELECT id FROM destinations WHERE name = ?", (name,)).fetchone()
                if found is not None:
                    return True, int(found[0]), self._agree(int(found[0]))
                made = self._db.execute("INSERT INTO destinations (name) VALUES (?) RETURNING id", (name,))
                ((number,),) = made.fetchall()
                done = "CASE WHEN last_ns >= :since THEN 0 ELSE frames END"  # nothing is, of NULL
                told = {"destination": number, "last": 0, "since": since_ns}
                self._db.execute(_ADD.format(done=done), told)
                return False, int(number), 0
        finally:
            self._db.execute("DETACH recorded")

    def _agree(self, number: int) -> int:
        """Take in what became of the folder meanwhile; how many frames went from it that were not done."""
        ((last,),) = self._db.execute(_LAST, {"destination": number}).fetchall()
        told = {"destination": number, "last": last}
        gone = f"SELECT COALESCE(SUM(MAX(frames - done, 0)), 0) FROM segments WHERE {_GONE}"
        ((removed,),) = self._db.execute(gone, told).fetchall()
        self._db.execute(f"DELETE FROM segments WHERE {_GONE}", told)
        self._db.execute(_GROWN, told)
        self._db.execute(_ADD.format(done="0"), told)
        return int(removed)

    def _all(self, query: str, told: Mapping[str, object] | None = None) -> list[Any]:
        with _translated(self.path):
            return self._db.execute(query, {"destination": self._id, **(told or {})}).fetchall()

    def _each(self, statement: str, told: Iterable[Mapping[str, object]]) -> None:
        self._db.executemany(statement, [{"destination": self._id, **each} for each in told])


def waiting_everywhere(into: Path) -> dict[str, int]:
    """Every destination for which something waits in a folder, by its name, and how many frames: as the
    folder's index says, which may be ahead of a destination that is not forwarded to. Nobody writes to either
    file. Raises `StorageError`."""
    path = into / FORWARD
    if not path.exists():
        return {}
    uri = f"{path.absolute().as_uri()}?mode=rw"  # who only reads may not read what was not checkpointed
    with (
        _translated(path),
        closing(sqlite3.connect(uri, timeout=BUSY_S, isolation_level=None, uri=True)) as db,
    ):
        db.execute("ATTACH ? AS recorded", (_index(into),))
        return {str(name): int(frames) for name, frames in db.execute(_EVERYWHERE)}


def _index(into: Path) -> str:
    """The folder's index, to be read."""
    return f"{(into / INDEX).absolute().as_uri()}?mode=ro"


def _connected(path: Path) -> sqlite3.Connection:
    """Raises `sqlite3.Error` and the like, and `StorageError` for what a newer version wrote."""
    db = sqlite3.connect(
        path.absolute().as_uri(), timeout=BUSY_S, isolation_level=None, check_same_thread=False, uri=True
    )
    try:
        durable(db)
        _made(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _made(db: sqlite3.Connection, path: Path) -> None:
    with transaction(db):
        (version,) = db.execute("PRAGMA user_version").fetchone()
        for statement in _SCHEMA.split(";\n") if not version else ():
            db.execute(statement)
    if version > VERSION:
        raise StorageError(f"{path} was written by a newer version: update this one, or record elsewhere")
    (found,) = db.execute("PRAGMA integrity_check(1)").fetchone()  # with its indexes: rows are found by them
    tables = {
        table: [name for _, name, *_ in db.execute(f"PRAGMA table_info({table})")] for table in _COLUMNS
    }
    if found != "ok" or tables != _COLUMNS:
        raise sqlite3.DatabaseError(found if found != "ok" else "its tables are none of this version")


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except _SQLITE as error:
        raise StorageError(f"cannot use {path}: {error}; check the disk") from error


def _is_passing(error: Exception) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _PASSING
