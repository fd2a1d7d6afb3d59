"""SQLite as the mesh uses it.

Rules kept here: a transaction is one fsync and survives a power cut (WAL, synchronous=FULL); it is all there
or not at all. What sqlite3 raises is translated by whoever opened the file, who can say what it is for.
"""

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PRIVATE = 0o600


def make_private(path: Path) -> None:
    """Have a file at `path` that only this user can read, before SQLite opens it: what SQLite puts beside it
    is then private, too. One that is there keeps its permissions. Raises `OSError`."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE))


def durable(db: sqlite3.Connection) -> None:
    """Have commits survive a power cut."""
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All or nothing; the connection is in autocommit mode (`isolation_level=None`)."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def lacked_room(error: BaseException | None) -> bool:
    """Whether something failed because the disk was full. It may have room again: what a database had begun
    to write is taken back when it is closed."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL:
            return True
        error = error.__cause__
    return False
