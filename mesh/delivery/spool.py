"""The spool: results on disk, for when memory is full and for when the node is not running.

Rules kept here:

- What `write` has returned for is on the disk (WAL, synchronous=FULL): it survives `kill -9` and power loss.
- Rows that come, rows that go, and what became of each stream's results are written in one transaction, so
  that whoever opens the file later counts on from there without a gap.
- It is bounded in bytes; what has to go to make room is chosen by `oldest`, and told.
- What sqlite3 and the file system raise leaves here as `StorageError`: `Damaged` where the file is off.

For one thread.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mesh.database import durable, transaction
from mesh.delivery.counts import Tally
from mesh.delivery.result import Result, Stream, Want
from mesh.delivery.spool_files import SpoolFile, new_file, unlocked_files
from mesh.errors import StorageError

ROW_BYTES = 128  # what a row costs besides its parts, about
VERSION = 1
COPY_AT_ONCE = 256
SHRINK_BYTES = 16 * 1024 * 1024
BUSY_S = 5.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS streams (
    id INTEGER PRIMARY KEY, stage TEXT, camera TEXT, boot INTEGER,
    results INTEGER, delivered INTEGER, undelivered TEXT, UNIQUE (stage, camera, boot)
) STRICT;
CREATE TABLE IF NOT EXISTS results (
    number INTEGER PRIMARY KEY, stream INTEGER, frames INTEGER, size INTEGER,
    topic BLOB, header BLOB, payload BLOB
) STRICT;
CREATE INDEX IF NOT EXISTS by_stream ON results (stream, number, size, frames);
"""
_NEW_STREAM = """
INSERT INTO streams (stage, camera, boot, results, delivered, undelivered) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT
"""
_TALLY = f"""{_NEW_STREAM} DO UPDATE SET
    results = excluded.results, delivered = excluded.delivered, undelivered = excluded.undelivered
"""


class Damaged(StorageError):
    """The file is no spool, or one that cannot be read."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a spool holds of one stream: rows and the frames in them, and what had become of the rest."""

    rows: int
    frames: int
    tally: Tally


class Spool:
    """One node's spool: a file that it found in `folder`, or makes when it has to; `max_bytes` of it."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder = folder
        self._max_bytes = max_bytes
        self._book: _Book | None = None
        self.bytes = 0

    def __repr__(self) -> str:
        return f"<Spool {self._book.file.path if self._book else self.folder} {self.bytes} bytes>"

    @property
    def free(self) -> int:
        """Bytes that may be written before something has to go."""
        return max(0, self._max_bytes - self.bytes)

    def adopt(self) -> tuple[dict[Stream, Found], int, list[str]]:
        """Take over what nodes that ended have left in the folder: what it is, the first number that is
        free, and a line for each file that had to be put aside, or to be left for the next start.

        Raises `StorageError`; every file is left where it is then, for the next start."""
        notes: list[str] = []
        with _translated(self.folder):
            files = unlocked_files(self.folder)
        for file in files:
            self._take_over(file, notes)
        if self._book is None:
            return {}, 0, notes
        try:
            adopted = self._book.found(), self._book.next_number(), notes
            self.bytes = self._book.measure()
        except StorageError:
            self._book.let_go()
            self._book = None
            raise
        return adopted

    def write(
        self,
        results: Sequence[Result],
        gone: Iterable[Result] = (),
        tallies: Mapping[Stream, Tally] | None = None,
    ) -> None:
        """Have `results` on disk, and no longer those that are `gone`. Raises `StorageError`."""
        if self._book is None:
            with _translated(self.folder):
                self._book = _Book(new_file(self.folder))
        gone = list(gone)
        self._book.write(results, [result.number for result in gone], tallies or {})
        self.bytes += sum(map(row_bytes, results)) - sum(map(row_bytes, gone))
        if self.bytes <= 0:
            self._book.shrink()

    def oldest(self, size: int, skip: frozenset[int]) -> list[Result]:
        """The oldest results, without their parts, of at least `size` bytes; those of `skip` stay."""
        return [] if self._book is None or size <= 0 else self._book.oldest(size, skip)

    def read(self, want: Want) -> list[Result]:
        """The oldest results of a want, as they came. Raises `StorageError`."""
        return [] if self._book is None else self._book.read(want)

    def put_aside(self) -> Path | None:
        """Give the file up, because it is damaged; where it is now."""
        book, self._book, self.bytes = self._book, None, 0
        if book is None:
            return None
        book.close()
        with _translated(self.folder):
            return book.file.put_aside()

    def _take_over(self, file: SpoolFile, notes: list[str]) -> None:
        try:
            book = _Book(file)
        except Damaged as error:
            notes.append(f"{error}; put aside as {_put_aside(file).name}")
            return
        except StorageError as error:
            notes.append(str(error))
            return
        try:
            book.measure()
            if self._book is not None:
                _merge(book, self._book)
            else:
                self._book = book
        except Damaged as error:
            book.close()
            notes.append(f"{error}; put aside as {_put_aside(file).name}")
        except StorageError as error:
            book.let_go()
            notes.append(f"{error}; what is left in {file.path.name} waits for the next start")

    def close(self) -> None:
        """Let go of the file; one that holds no results is removed."""
        if self._book is None:
            return
        book, self._book = self._book, None
        with _translated(self.folder):
            book.leave()


def row_bytes(result: Result) -> int:
    return result.size + ROW_BYTES


class _Book:
    """One locked file and its database."""

    def __init__(self, file: SpoolFile) -> None:
        self.file = file
        try:
            with _translated(file.path):
                self._db = sqlite3.connect(
                    file.path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
                )
            try:
                with _translated(file.path):
                    self._prepare()
            except BaseException:
                self._db.close()
                raise
        except Damaged:
            raise
        except BaseException:
            file.release()
            raise
        self._streams: dict[Stream, int] = {}

    def _prepare(self) -> None:
        durable(self._db)
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, VERSION):
            raise Damaged(f"{self.file.path} is of version {version}; this is {VERSION}")
        self._db.executescript(_SCHEMA)
        self._db.execute(f"PRAGMA user_version={VERSION}")

    def next_number(self) -> int:
        with _translated(self.file.path):
            return int(self._db.execute("SELECT coalesce(max(number), -1) FROM results").fetchone()[0]) + 1

    def measure(self) -> int:
        """The bytes that its rows take."""
        with _translated(self.file.path):
            row = self._db.execute("SELECT coalesce(sum(size), 0), count(*) FROM results").fetchone()
        return int(row[0]) + ROW_BYTES * int(row[1])

    def found(self) -> dict[Stream, Found]:
        """What it holds of each stream that matters still: one with rows, or a camera's newest."""
        with _translated(self.file.path):
            rows = self._db.execute(
                "SELECT stage, camera, boot, streams.results, delivered, undelivered, count(number), "
                "coalesce(sum(frames), 0) FROM streams LEFT JOIN results ON stream = id GROUP BY id"
            ).fetchall()
        found = {
            (stage, camera, boot): Found(
                count, frames, Tally(results, delivered, Counter(json.loads(undelivered)))
            )
            for stage, camera, boot, results, delivered, undelivered, count, frames in rows
        }
        newest: dict[str, int] = {}
        for _, camera, boot in found:
            newest[camera] = max(boot, newest.get(camera, 0))
        return {s: f for s, f in found.items() if f.rows or s[2] == newest[s[1]]}

    def write(self, results: Iterable[Result], gone: Iterable[int], tallies: Mapping[Stream, Tally]) -> None:
        with _translated(self.file.path), self._transaction():
            self._db.executemany("DELETE FROM results WHERE number = ?", ((number,) for number in gone))
            for result in results:
                self._tell(result.stream, tallies.get(result.stream))
            self._db.executemany(
                "INSERT INTO results VALUES (?, ?, ?, ?, ?, ?, ?)",
                ((r.number, self._streams[r.stream], r.frames, r.size, *r.parts) for r in results),
            )
            for stream, tally in tallies.items():
                self._tell(stream, tally)

    def shrink(self) -> None:
        """Give the disk back what an empty file takes, where that is much."""
        with _translated(self.file.path):
            if self.file.path.stat().st_size >= SHRINK_BYTES:
                self._db.execute("VACUUM")
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def oldest(self, size: int, skip: frozenset[int]) -> list[Result]:
        found: list[Result] = []
        with _translated(self.file.path):
            rows = self._db.execute(
                "SELECT number, stage, camera, boot, frames, size "
                "FROM results JOIN streams ON stream = id ORDER BY number"
            )
            for number, stage, camera, boot, frames, row_size in rows:
                if size <= 0:
                    break
                if number not in skip:
                    found.append(Result(number, (stage, camera, boot), frames, (), row_size))
                    size -= row_size + ROW_BYTES
            rows.close()
        return found

    def read(self, want: Want) -> list[Result]:
        found: list[Result] = []
        left = want.bytes
        with _translated(self.file.path):
            ids = {self._id(stream): stream for stream in want.streams}
            rows = self._db.execute(
                "SELECT number, stream, frames, size, topic, header, payload FROM results "
                f"WHERE number >= ? AND stream IN ({','.join('?' * len(ids))}) ORDER BY number",
                (want.first, *ids),
            )
            for number, stream, frames, size, *parts in rows:
                if number in want.skip:
                    continue
                if found and size > left:
                    break
                found.append(Result(number, ids[stream], frames, tuple(parts), size))
                left -= size
                if len(found) >= want.results:
                    break
            rows.close()
        return found

    def all(self) -> Iterator[list[Result]]:
        """Everything, oldest first, a batch at a time."""
        streams = frozenset(self.found())
        first = 0
        while batch := self.read(Want(streams, first, frozenset(), 2**62, COPY_AT_ONCE)):
            first = batch[-1].number + 1  # before whoever gets them numbers them anew
            yield batch

    def leave(self) -> None:
        """Close it, and remove it where it holds nothing."""
        try:
            with _translated(self.file.path):
                empty = self._db.execute("SELECT 1 FROM results LIMIT 1").fetchone() is None
        except StorageError:
            empty = False
        if empty:
            self.close()
            self.file.remove()
        else:
            self.let_go()

    def let_go(self) -> None:
        """Close it, and leave it to whoever looks for it next."""
        self.close()
        self.file.release()

    def close(self) -> None:
        self._db.close()

    def _tell(self, stream: Stream, tally: Tally | None) -> None:
        if tally is not None:
            told = (tally.results, tally.delivered, json.dumps(tally.undelivered))
            self._db.execute(_TALLY, (*stream, *told))
        elif stream not in self._streams:
            self._db.execute(f"{_NEW_STREAM} DO NOTHING", (*stream, 0, 0, "{}"))
        self._id(stream)

    def _id(self, stream: Stream) -> int:
        if stream not in self._streams:
            row = self._db.execute(
                "SELECT id FROM streams WHERE (stage, camera, boot) = (?, ?, ?)", stream
            ).fetchone()
            self._streams[stream] = int(row[0])
        return self._streams[stream]

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            with transaction(self._db):
                yield
        except BaseException:
            self._streams.clear()  # an id may have been rolled back
            raise


def _put_aside(file: SpoolFile) -> Path:
    with _translated(file.path):
        return file.put_aside()


def _merge(book: "_Book", into: "_Book") -> None:
    """Move everything to another file, a batch and its part of the counts at a time, so that both files are
    right wherever it stops. What a `kill -9` in the middle leaves twice is delivered twice, and told apart by
    its collector."""
    left = {stream: found.tally for stream, found in book.found().items()}
    tallies = {stream: found.tally for stream, found in into.found().items()}
    tallies |= {stream: Tally() for stream in left.keys() - tallies.keys()}
    number = into.next_number()
    for batch in book.all():
        numbers = [result.number for result in batch]
        for result in batch:
            result.number, number = number, number + 1
            tallies[result.stream].results += result.frames
            left[result.stream].results -= result.frames
        into.write(batch, (), tallies)
        book.write((), numbers, left)
    for stream, tally in left.items():
        tallies[stream].add(tally)
    into.write((), (), tallies)
    with _translated(book.file.path):
        book.leave()


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.OperationalError, sqlite3.IntegrityError, OSError) as error:
        # a constraint tells of what was to be written, not of the file
        raise StorageError(f"the spool {path} cannot be used: {str(error).lower()}") from error
    except (sqlite3.DatabaseError, ValueError, TypeError) as error:
        raise Damaged(f"the spool {path} is damaged: {str(error).lower()}") from error
