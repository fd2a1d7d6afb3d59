"""`DIR/index.db`: what is recorded in a folder. SQLite, and the collector's only module that knows it.

Rules kept here: a row is written once the files that it tells of are on the disk, and is on the disk itself
when `write` returns; every row can be made again from those files, but for the counts of duplicates; what
sqlite3 raises ends here: `Damaged` when the database has to be made again, `StorageError` for the rest.

    segments  one row a recorded file: where it is, whose frames it holds, and how many of them are safe
    streams   one row a (stage, camera, boot): its counts, and where each sender's run and each partition
              is to go on (`progress.Resume`, as JSON)
    folder    one row: a number drawn when the index is made, which tells that two collectors, one after the
              other, report of the same recordings
"""

import json
import random
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from operator import attrgetter
from pathlib import Path

from mesh.database import durable, transaction
from mesh.errors import StorageError
from nodes.collect.progress import Resume

NAME = "index.db"
VERSION = 2
BUSY_S = 5.0
ID_BITS = 50

_SCHEMA = f"""
CREATE TABLE segments (
    path TEXT PRIMARY KEY,      -- of the .mkv, below the folder
    stage TEXT NOT NULL,
    camera TEXT NOT NULL,
    boot INTEGER NOT NULL,
    open INTEGER NOT NULL,      -- 1 while it may still grow
    frames INTEGER NOT NULL,
    late INTEGER NOT NULL       -- of those frames
) STRICT;
CREATE INDEX segments_by_stream ON segments (stage, camera, boot);
CREATE TABLE streams (
    stage TEXT NOT NULL,
    camera TEXT NOT NULL,
    boot INTEGER NOT NULL,
    recorded INTEGER NOT NULL,
    duplicates INTEGER NOT NULL,
    late INTEGER NOT NULL,
    resume TEXT NOT NULL,
    PRIMARY KEY (stage, camera, boot)
) STRICT;
CREATE TABLE folder (id INTEGER NOT NULL) STRICT;
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
    frames: int
    late: int


@dataclass(frozen=True, slots=True)
class StreamRow:
    """What is known of one (stage, camera, boot)."""

    stage: str
    camera: str
    boot: int
    recorded: int = 0
    duplicates: int = 0
    late: int = 0
    resume: Resume = field(default_factory=Resume)


_COLUMNS = {
    "segments": [each.name for each in fields(SegmentRow)],
    "streams": [each.name for each in fields(StreamRow)],
    "folder": ["id"],
}
_SEGMENT, _COUNTS = attrgetter(*_COLUMNS["segments"]), attrgetter(*_COLUMNS["streams"][:-1])


class Index:
    """The database of one folder, made where there is none. Not for two threads at a time.

    Raises `Damaged`, or `StorageError`.
    """

    def __init__(self, into: Path) -> None:
        self.path = into / NAME
        self.id = 0
        with self._translated():
            self._db = sqlite3.connect(
                self.path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
            )
        try:
            with self._translated():
                self._open()
        except BaseException:
            self._db.close()
            raise

    def __repr__(self) -> str:
        return f"<Index {self.path}>"

    def segments(self) -> list[SegmentRow]:
        """Every recorded file, by path."""
        with self._translated():
            rows = self._db.execute("SELECT * FROM segments ORDER BY path").fetchall()
        return [
            SegmentRow(p, stage, camera, boot, bool(o), *counts)
            for p, stage, camera, boot, o, *counts in rows
        ]

    def streams(self) -> list[StreamRow]:
        with self._translated():
            rows = self._db.execute("SELECT * FROM streams ORDER BY stage, camera, boot").fetchall()
        return [
            StreamRow(stage, camera, boot, recorded, duplicates, late, _resume(resume))
            for stage, camera, boot, recorded, duplicates, late, resume in rows
        ]

    def write(self, segments: Iterable[SegmentRow] = (), streams: Iterable[StreamRow] = ()) -> None:
        """Write rows, or write them anew: all of them or, when this raises, none."""
        segments = list(segments)
        with self._translated(), transaction(self._db):
            self._db.executemany(
                "INSERT INTO segments VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET"
                " stage = excluded.stage, camera = excluded.camera, boot = excluded.boot,"
                " open = excluded.open, frames = excluded.frames, late = excluded.late",
                map(_SEGMENT, segments),
            )
            self._db.executemany(
                "DELETE FROM segments WHERE path = ?",
                [(row.path,) for row in segments if not (row.open or row.frames)],
            )
            self._db.executemany(
                "INSERT OR REPLACE INTO streams VALUES (?, ?, ?, ?, ?, ?, ?)", map(_stream, streams)
            )

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
            with transaction(self._db):
                for statement in _SCHEMA.split(";\n"):
                    self._db.execute(statement)
                self._db.execute("INSERT INTO folder VALUES (?)", (random.getrandbits(ID_BITS),))
        if version == 1:
            self._update()
        self._check()
        (self.id,) = self._db.execute("SELECT id FROM folder").fetchone()

    def _update(self) -> None:
        """Bring what version 1 left up to date."""
        if not {"run", "next"} <= set(self._columns("streams")):
            raise Damaged(f"{self.path}: the table streams is none of its version")
        with transaction(self._db):
            for statement in _FROM_VERSION_1:
                self._db.execute(statement)

    def _columns(self, table: str) -> list[str]:
        return [name for _, name, *_ in self._db.execute(f"PRAGMA table_info({table})")]

    def _check(self) -> None:
        (found,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise Damaged(f"{self.path}: {found}")
        for table, wanted in _COLUMNS.items():
            if self._columns(table) != wanted:
                raise Damaged(f"{self.path}: the table {table} is none of this version")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise StorageError(f"cannot write {self.path}: {error}; check the disk") from error
        except sqlite3.Error as error:
            raise Damaged(f"{self.path} cannot be read: {error}") from error


def _stream(row: StreamRow) -> tuple[object, ...]:
    return (*_COUNTS(row), json.dumps([row.resume.runs, row.resume.marks]))


def _resume(text: str) -> Resume:
    """What cannot be read costs nothing but order: the stream begins anew."""
    try:
        runs, marks = (tuple((int(a), int(b)) for a, b in pairs) for pairs in json.loads(text))
        return Resume(runs, marks)
    except (ValueError, TypeError):
        return Resume()
