"""Where the registry's server keeps its configuration: a SQLite file in a directory of its own.

Rules kept here: what `write` returned from is on the disk and survives a power cut; revisions are reserved in
blocks before they are used, so that they never go back; one server at a time holds the directory; only its
user can read the file.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import msgpack

from mesh.database import PRIVATE, durable, make_private, transaction
from mesh.errors import StorageError
from mesh.registry.about import Folder
from mesh.registry.base import Change, Entry, Put
from mesh.registry.closing import Closing
from mesh.registry.store import Store

BLOCK = 10_000  # revisions
STATE_FILE = "registry.sqlite"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS configuration (key TEXT PRIMARY KEY, value BLOB, revision INTEGER) STRICT;
CREATE TABLE IF NOT EXISTS reserved (id INTEGER PRIMARY KEY CHECK (id = 0), revision INTEGER) STRICT;
INSERT OR IGNORE INTO reserved VALUES (0, 0);
"""


class Keeper(Protocol):
    """What outlives a server. `keeps` says whether anything does."""

    keeps: bool

    def load(self) -> Store:
        """The store to begin with."""
        ...

    def reserve(self, revision: int) -> None:
        """Make sure that a later server begins above `revision`. Raises `StorageError`."""
        ...

    def write(self, changes: Iterable[Change]) -> None:
        """Keep changes to the configuration. Raises `StorageError`, and then none of them is kept."""
        ...

    def folders(self) -> Sequence[Folder]:
        """Where it keeps things, as that is now. Raises `StorageError`."""
        ...

    def close(self) -> None: ...


class Forgetful:
    """A keeper for a server without a state directory: revisions begin at the wall clock's milliseconds."""

    keeps = False

    def __init__(self, wall_ns: int) -> None:
        self._first = wall_ns // 1_000_000

    def load(self) -> Store:
        return Store(revision=self._first)

    def reserve(self, revision: int) -> None:
        """Time does it: nobody makes a thousand changes a second for a server's whole life."""

    def write(self, changes: Iterable[Change]) -> None:
        """Nothing is kept."""

    def folders(self) -> Sequence[Folder]:
        return ()

    def close(self) -> None:
        """Nothing is held."""


class StateDirectory(Closing):
    """A keeper in `directory`, which is made if need be. Raises `StorageError` when it cannot be used."""

    keeps = True

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = _lock(directory)
        try:
            with self._translated():
                self._db = _open(directory / STATE_FILE)
            self._reserved = 0
        except BaseException:
            os.close(self._lock)
            raise
        self._open = True

    def __repr__(self) -> str:
        return f"<StateDirectory {self._directory} reserved={self._reserved}>"

    def load(self) -> Store:
        with self._translated():
            self._reserved = int(self._db.execute("SELECT revision FROM reserved").fetchone()[0])
            rows = self._db.execute("SELECT key, value, revision FROM configuration").fetchall()
        return Store(
            revision=self._reserved,
            entries=(Entry(key, msgpack.unpackb(value), revision) for key, value, revision in rows),
        )

    def reserve(self, revision: int) -> None:
        if revision > self._reserved:
            with self._transaction():
                self._db.execute("UPDATE reserved SET revision = ?", (revision + BLOCK,))
            self._reserved = revision + BLOCK

    def write(self, changes: Iterable[Change]) -> None:
        with self._transaction():
            for change in changes:
                self._write(change)

    def folders(self) -> Sequence[Folder]:
        with self._translated():
            return (Folder.at(self._directory.absolute()),)

    def close(self) -> None:
        if self._open:
            self._open = False
            self._db.close()
            os.close(self._lock)  # and with it the lock

    def _write(self, change: Change) -> None:
        if isinstance(change, Put):
            row = (change.entry.key, msgpack.packb(change.entry.value), change.entry.revision)
            self._db.execute("REPLACE INTO configuration VALUES (?, ?, ?)", row)
        else:
            self._db.execute("DELETE FROM configuration WHERE key = ?", (change.key,))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._translated(), transaction(self._db):
            yield

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StorageError(f"cannot use the registry's state in {self._directory}: {error}") from error


def _lock(directory: Path) -> int:
    """A handle that holds the directory's lock. The system frees it however the process ends."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        handle = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StorageError(f"cannot write to the state directory {directory}: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise StorageError(f"the state directory {directory} is in use by another registry") from error
    return handle


def _open(path: Path) -> sqlite3.Connection:
    make_private(path)
    for file in path.parent.glob(f"{path.name}*"):  # made by an earlier version, that others could read
        file.chmod(PRIVATE)
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        durable(db)
        db.executescript(_SCHEMA)
    except BaseException:
        db.close()
        raise
    return db
