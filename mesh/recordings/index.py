"""`DIR/index.db`: what is recorded in a folder. SQLite, and the only module of recordings that knows it.

Rules kept here: a row is written once the files that it tells of are on the disk, and is on the disk itself
when `write` returns; every row can be made again from those files, but for the counts of duplicates and of
what was skipped, and since when; what sqlite3 raises ends here: `Damaged` when the database has to be made
again, `StorageError` for the rest.

    segments  one row a recorded file: where it is, whose frames it holds, from when to when, how many of them
              are safe, their bytes, and since when frames were left out by choice before it
    events    stretches of a segment in which something was seen (`mesh.recordings.contents`)
    gaps      stretches of a segment in which no frame was taken
    streams   one row a (stage, camera, boot): its counts, where each sender's run and each partition is to go
              on (`progress.Resume`, as JSON), and from when to when frames were left out since the last that
              was recorded
    removing  files that are not kept any more (`mesh.recordings.kept`): they may still be there, and are none
    ahead     recordings whose times lay in the future when they were first seen, and when that was
    folder    one row: a number drawn when the index is made, which tells that two collectors, one after the
              other, report of the same recordings; and the time up to which their ages were counted
"""

import json
import random
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, fields
from operator import attrgetter
from pathlib import Path
from typing import Any

from mesh.database import durable, transaction
from mesh.errors import StorageError
from mesh.recordings.contents import Event, Gap
from mesh.recordings.resume import Resume

NAME = "index.db"
VERSION = 4
BUSY_S = 5.0
ID_BITS = 50
HOLDINGS = ("segments", "events", "gaps")  # the tables that can be made again from the files

_NEW_IN_3 = """CREATE INDEX segments_by_time ON segments (camera, first_ns);
CREATE INDEX segments_by_length ON segments (last_ns - first_ns);
CREATE TABLE events (
    path TEXT NOT NULL,
    label TEXT NOT NULL,
    by TEXT NOT NULL,           -- the processor that saw it
    first_ns INTEGER NOT NULL,
    last_ns INTEGER NOT NULL,
    frames INTEGER NOT NULL,    -- in which it was seen
    best REAL,                  -- its best score
    PRIMARY KEY (path, label, by, first_ns)
) STRICT, WITHOUT ROWID;
CREATE INDEX events_by_label ON events (label, first_ns);
CREATE TABLE gaps (
    path TEXT NOT NULL,
    first_ns INTEGER NOT NULL,
    last_ns INTEGER NOT NULL,
    PRIMARY KEY (path, first_ns)
) STRICT, WITHOUT ROWID;
CREATE INDEX segments_by_age ON segments (camera, last_ns, path, bytes, open) WHERE open = 0;
CREATE INDEX segments_open ON segments (path) WHERE open = 1;
CREATE TABLE removing (path TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;"""
_NEW_IN_4 = """CREATE TABLE ahead (
    path TEXT PRIMARY KEY,
    camera TEXT NOT NULL,
    since_ns INTEGER NOT NULL   -- by which its age is counted
) STRICT, WITHOUT ROWID;
CREATE INDEX ahead_by_age ON ahead (camera, since_ns, path);"""
_SCHEMA = f"""
CREATE TABLE segments (
    path TEXT PRIMARY KEY,      -- of the .mkv, below the folder
    stage TEXT NOT NULL,
    camera TEXT NOT NULL,
    boot INTEGER NOT NULL,
    open INTEGER NOT NULL,      -- 1 while it may still grow
    frames INTEGER NOT NULL,
    late INTEGER NOT NULL,      -- of those frames
    first_ns INTEGER NOT NULL,  -- when the earliest of them was captured; 0: not known yet
    last_ns INTEGER NOT NULL,
    bytes INTEGER NOT NULL,     -- of both files
    skipped_ns INTEGER NOT NULL -- since when frames were left out by choice just before it; 0: none were
) STRICT;
CREATE INDEX segments_by_stream ON segments (stage, camera, boot);
{_NEW_IN_3}
{_NEW_IN_4}
CREATE TABLE streams (
    stage TEXT NOT NULL,
    camera TEXT NOT NULL,
    boot INTEGER NOT NULL,
    recorded INTEGER NOT NULL,
    duplicates INTEGER NOT NULL,
    late INTEGER NOT NULL,
    resume TEXT NOT NULL,
    removed INTEGER NOT NULL,       -- recorded frames whose files were removed, as they are not kept any more
    removed_late INTEGER NOT NULL,  -- and those of them that were late
    skipped INTEGER NOT NULL,       -- left out by choice, or held in case something is found soon
    skipped_ns INTEGER NOT NULL,    -- since when, after the last frame that was recorded; 0: none were
    skipped_to_ns INTEGER NOT NULL, -- and when the newest of them was captured
    PRIMARY KEY (stage, camera, boot)
) STRICT;
CREATE TABLE folder (id INTEGER NOT NULL, aged_ns INTEGER NOT NULL) STRICT;
PRAGMA user_version = {VERSION};
"""
# It knew one run of a stream, and no partition.
_FROM_VERSION_1 = (
    "ALTER TABLE streams ADD COLUMN resume TEXT NOT NULL DEFAULT ''",
    "UPDATE streams SET resume = '[[[' || run || ', ' || next || ']], []]' WHERE next > 0",
    "ALTER TABLE streams DROP COLUMN run",
    "ALTER TABLE streams DROP COLUMN next",
    "PRAGMA user_version = 2",
)
# It knew no times, and removed nothing. Segments whose times are 0 are read again from their files by
# `nodes.collect.recovery`.
_ADDED_IN_3 = {
    "segments": ("first_ns", "last_ns", "bytes"),
    "streams": ("removed", "removed_late"),
    "folder": ("aged_ns",),
}
_FROM_VERSION_2 = (
    *(
        f"ALTER TABLE {table} ADD COLUMN {name} INTEGER NOT NULL DEFAULT 0"
        for table, names in _ADDED_IN_3.items()
        for name in names
    ),
    *_NEW_IN_3.split(";\n"),
    "PRAGMA user_version = 3",
)
# It left out nothing by choice, and took times in the future for what they are.
_FROM_VERSION_3 = (
    *_NEW_IN_4.split(";\n"),
    "ALTER TABLE segments ADD COLUMN skipped_ns INTEGER NOT NULL DEFAULT 0",
    *(
        f"ALTER TABLE streams ADD COLUMN {name} INTEGER NOT NULL DEFAULT 0"
        for name in ("skipped", "skipped_ns", "skipped_to_ns")
    ),
    "PRAGMA user_version = 4",
)

_UPDATES = dict(enumerate((_FROM_VERSION_1, _FROM_VERSION_2, _FROM_VERSION_3), 1))


class Damaged(StorageError):
    """The index cannot be read: put it aside and make it again."""


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """A recorded file. One that is closed and holds no frame is none: writing it removes the row."""

    path: str
    stage: str
    camera: str
    boot: int
    open: bool
    frames: int = 0
    late: int = 0
    first_ns: int = 0
    last_ns: int = 0
    bytes: int = 0
    skipped_ns: int = 0


@dataclass(frozen=True, slots=True)
class Listed:
    """A recorded file with what it holds, as it goes into the index."""

    row: SegmentRow
    events: tuple[Event, ...] = ()
    gaps: tuple[Gap, ...] = ()


@dataclass(frozen=True, slots=True)
class StreamRow:
    """What is known of one (stage, camera, boot). `removed` and `removed_late` are read here, and written by
    `mesh.recordings.kept` alone."""

    stage: str
    camera: str
    boot: int
    recorded: int = 0
    duplicates: int = 0
    late: int = 0
    resume: Resume = field(default_factory=Resume)
    removed: int = 0
    removed_late: int = 0
    skipped: int = 0
    skipped_ns: int = 0
    skipped_to_ns: int = 0


_COLUMNS = {
    "segments": [each.name for each in fields(SegmentRow)],
    "streams": [each.name for each in fields(StreamRow)],
    "events": ["path", *(each.name for each in fields(Event))],
    "gaps": ["path", *(each.name for each in fields(Gap))],
    "removing": ["path"],
    "ahead": ["path", "camera", "since_ns"],
    "folder": ["id", "aged_ns"],
}
_SEGMENT = attrgetter(*_COLUMNS["segments"])
_COUNTS = attrgetter("stage", "camera", "boot", "recorded", "duplicates", "late")
_SKIPPED = ("skipped", "skipped_ns", "skipped_to_ns")
_LEFT_OUT = attrgetter(*_SKIPPED)
_EVENT, _GAP = attrgetter(*_COLUMNS["events"][1:]), attrgetter(*_COLUMNS["gaps"][1:])
_UPSERT = (
    f"INSERT INTO segments VALUES ({', '.join('?' * len(_COLUMNS['segments']))})"
    " ON CONFLICT (path) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS["segments"][1:])
)
_UPSERT_STREAM = (
    "INSERT INTO streams VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0, ?, ?, ?)"
    " ON CONFLICT (stage, camera, boot) DO UPDATE SET "
    + ", ".join(
        f"{name} = excluded.{name}" for name in ("recorded", "duplicates", "late", "resume", *_SKIPPED)
    )
)

REMOVING = "SELECT path FROM removing WHERE path NOT IN (SELECT path FROM segments) ORDER BY path"


class Index:
    """The database of one folder, made where there is none (`is_new`). Not for two threads at a time.

    Raises `Damaged`, or `StorageError`.
    """

    def __init__(self, into: Path) -> None:
        self.path = into / NAME
        self.id = 0
        self.is_new = False
        with self._translated():
            self._db = connected(self.path)
        try:
            with self._translated():
                self._open()
            self._file = _identity(self.path)
        except BaseException:
            self._db.close()
            raise

    def __repr__(self) -> str:
        return f"<Index {self.path}>"

    def segments(self) -> list[SegmentRow]:
        """Every recorded file, by path."""
        with self._translated():
            rows = self._db.execute("SELECT * FROM segments ORDER BY path").fetchall()
        return list(map(segment_row, rows))

    def streams(self) -> list[StreamRow]:
        with self._translated():
            rows = self._db.execute("SELECT * FROM streams ORDER BY stage, camera, boot").fetchall()
        return [
            StreamRow(stage, camera, boot, recorded, duplicates, late, _resume(resume), *counts)
            for stage, camera, boot, recorded, duplicates, late, resume, *counts in rows
        ]

    def removing(self) -> list[str]:
        """Files that were being removed, by path, and for which there is no row."""
        with self._translated():
            return [path for (path,) in self._db.execute(REMOVING)]

    def removed(self) -> None:
        """What was being removed is gone."""
        with self._translated():
            self._db.execute("DELETE FROM removing")

    def write(
        self, segments: Iterable[Listed] = (), streams: Iterable[StreamRow] = (), *, anew: bool = False
    ) -> None:
        """Write rows, or write them anew: all of them or, when this raises, none. `anew`: nothing that was
        known of segments before stays."""
        segments = list(segments)
        gone = [(each.row.path,) for each in segments if not (each.row.open or each.row.frames)]
        with self._translated(), transaction(self._db):
            for table in HOLDINGS if anew else ():
                self._db.execute(f"DELETE FROM {table}")
            put(self._db, segments)
            for table in HOLDINGS:
                self._db.executemany(f"DELETE FROM {table} WHERE path = ?", gone)
            self._db.executemany(_UPSERT_STREAM, map(_stream, streams))

    def is_replaced(self) -> bool:
        """Whether another file stands where this one was opened: its disk was taken away, and put back."""
        now = _identity(self.path)
        return now is not None and now != self._file

    def close(self) -> None:
        with self._translated():
            self._db.close()

    def _open(self) -> None:
        durable(self._db)
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise StorageError(
                f"{self.path} was written by a newer version: update this one, or record elsewhere"
            )
        if version == 0:
            self.is_new = True
            with transaction(self._db):
                create(self._db)
                self._db.execute("INSERT INTO folder VALUES (?, 0)", (random.getrandbits(ID_BITS),))
        if version == 1:
            self._check_runs()
        for since, statements in _UPDATES.items():
            if 0 < version <= since:
                with transaction(self._db):
                    for statement in statements:
                        self._db.execute(statement)
        self._check()
        (self.id,) = self._db.execute("SELECT id FROM folder").fetchone()

    def _check_runs(self) -> None:
        if not {"run", "next"} <= set(self._columns("streams")):
            raise Damaged(f"{self.path}: the table streams is none of its version")

    def _columns(self, table: str) -> list[str]:
        return [name for _, name, *_ in self._db.execute(f"PRAGMA table_info({table})")]

    def _check(self) -> None:
        (found,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise Damaged(f"{self.path}: {found}")
        for table, wanted in _COLUMNS.items():
            if self._columns(table) != wanted:
                raise Damaged(f"{self.path}: the table {table} is none of this version")

    def _translated(self) -> AbstractContextManager[None]:
        return translated(self.path)


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from another that has its name; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def connected(path: Path) -> sqlite3.Connection:
    """A connection to an index, for the transactions of `mesh.database`."""
    return sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """What sqlite3 raises of an index becomes `Damaged` or `StorageError`."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StorageError(f"cannot write {path}: {error}; check the disk") from error
    except sqlite3.Error as error:
        raise Damaged(f"{path} cannot be read: {error}") from error


def segment_row(columns: Sequence[Any]) -> SegmentRow:
    """A row of the table segments."""
    path, stage, camera, boot, is_open, *counts = columns
    return SegmentRow(path, stage, camera, boot, bool(is_open), *counts)


def create(db: sqlite3.Connection) -> None:
    """Make the tables."""
    for statement in _SCHEMA.split(";\n"):
        db.execute(statement)


def put(db: sqlite3.Connection, segments: Sequence[Listed]) -> None:
    """Put into the tables what segments hold."""
    db.executemany(_UPSERT, [_SEGMENT(each.row) for each in segments])
    db.executemany(
        "INSERT OR REPLACE INTO events VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(each.row.path, *_EVENT(event)) for each in segments for event in each.events],
    )
    db.executemany(
        "INSERT OR REPLACE INTO gaps VALUES (?, ?, ?)",
        [(each.row.path, *_GAP(gap)) for each in segments for gap in each.gaps],
    )


def _stream(row: StreamRow) -> tuple[object, ...]:
    return (*_COUNTS(row), json.dumps([row.resume.runs, row.resume.marks]), *_LEFT_OUT(row))


def _resume(text: str) -> Resume:
    """What cannot be read costs nothing but order: the stream begins anew."""
    try:
        runs, marks = (tuple((int(a), int(b)) for a, b in pairs) for pairs in json.loads(text))
        return Resume(runs, marks)
    except (ValueError, TypeError):
        return Resume()
