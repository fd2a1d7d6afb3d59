"""SQLite as the mesh uses it.

Rules kept here: a transaction is one fsync and survives a power cut (WAL, synchronous=FULL); it is all there
or not at all. What sqlite3 raises is translated by whoever opened the file, who can say what it is for.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager


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
