"""SQLite as the mesh uses it.

Rules kept here: a transaction is one fsync and survives a power cut (WAL, synchronous=FULL); it is all there
or not at all. What sqlite3 raises is translated by whoever opened the file, who can say what it is for.
"""

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
