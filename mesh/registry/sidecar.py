"""`PATH.live`: the SQLite file beside a `file:` registry, shared by the processes of one host.

Rules kept here: it holds what no person edits, that is leases, the latest changes, and each entry's revision;
it may be deleted while nobody uses it, and costs nothing but the leases. sqlite3's errors end here:
`RegistryUnavailable` when another process holds the lock too long, `StorageError` for the rest.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mesh.database import make_private
from mesh.errors import RegistryUnavailable, StorageError
from mesh.registry.base import Change, Delete, Entry, Put
from mesh.registry.store import Lease, Store
from mesh.registry.view import key_of

KEEP = 4096  # changes kept for watches; one that is further behind is given the difference
BUSY = 3.0  # seconds to wait for another process

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (key TEXT PRIMARY KEY, value TEXT, revision INTEGER, lease INTEGER) STRICT;
CREATE TABLE IF NOT EXISTS leases (id INTEGER PRIMARY KEY, ttl REAL, deadline REAL) STRICT;
CREATE TABLE IF NOT EXISTS changes (revision INTEGER PRIMARY KEY, key TEXT, value TEXT, lease INTEGER) STRICT;
CREATE TABLE IF NOT EXISTS state (id INTEGER PRIMARY KEY CHECK (id = 0), revision INTEGER, digest TEXT)
    STRICT;
"""

_Row = tuple[str, str | None, int, int]


class Sidecar:
    """The database. Not thread-safe: its registry serialises the calls."""

    def __init__(self, path: Path, first_revision: int) -> None:
        self._path = path
        with self._translated():
            make_private(path)
            self._db = sqlite3.connect(path, timeout=BUSY, isolation_level=None, check_same_thread=False)
        try:
            with self._translated():
                self._create(first_revision)
        except BaseException:
            self._db.close()
            raise

    def __repr__(self) -> str:
        return f"<Sidecar {self._path}>"

    def version(self) -> int:
        """A number that changes whenever another connection has written."""
        with self._translated():
            return int(self._db.execute("PRAGMA data_version").fetchone()[0])

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, alone among the processes."""
        with self._translated():
            self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            with self._translated():
                self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def load(self) -> tuple[Store, str]:
        """The store, and the digest of the text that its configuration came from."""
        with self._translated():
            revision, digest = self._db.execute("SELECT revision, digest FROM state").fetchone()
            entries = self._db.execute("SELECT key, value, revision, lease FROM entries").fetchall()
            leases = self._db.execute("SELECT id, ttl, deadline FROM leases").fetchall()
        made = (Entry(key, json.loads(value), number, lease) for key, value, number, lease in entries)
        return Store(revision=revision, entries=made, leases=(Lease(*row) for row in leases)), digest

    def save(self, store: Store, changes: Iterable[Change], before: Mapping[int, Lease], digest: str) -> None:
        """Write what became of the store: its changes, and how its leases differ from `before`."""
        with self._translated():
            for change in changes:
                self._save_change(change)
            after = {lease.id: lease for lease in store.leases}
            self._db.executemany(
                "DELETE FROM leases WHERE id = ?", [(id,) for id in before.keys() - after.keys()]
            )
            renewed = [(x.id, x.ttl, x.deadline) for x in after.values() if before.get(x.id) != x]
            self._db.executemany("REPLACE INTO leases VALUES (?, ?, ?)", renewed)
            self._db.execute("DELETE FROM changes WHERE revision <= ?", (store.revision - KEEP,))
            self._db.execute("UPDATE state SET revision = ?, digest = ?", (store.revision, digest))

    def changes(self, after: int, revision: int) -> list[Change] | None:
        """What happened after `after`, up to `revision`; None when the log no longer reaches back."""
        with self._translated():
            rows = self._db.execute(
                "SELECT key, value, revision, lease FROM changes WHERE revision > ? ORDER BY revision",
                (after,),
            ).fetchall()
        if len(rows) != revision - after:
            return None
        return [_change(*row) for row in rows]

    def close(self) -> None:
        self._db.close()

    def _create(self, first_revision: int) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(_SCHEMA)
        self._db.execute("INSERT OR IGNORE INTO state VALUES (0, ?, '')", (first_revision,))

    def _save_change(self, change: Change) -> None:
        if isinstance(change, Put):
            row: _Row = (
                change.entry.key,
                json.dumps(change.entry.value),
                change.entry.revision,
                change.entry.lease,
            )
            self._db.execute("REPLACE INTO entries VALUES (?, ?, ?, ?)", row)
        else:
            row = (change.key, None, change.revision, 0)
            self._db.execute("DELETE FROM entries WHERE key = ?", (key_of(change),))
        self._db.execute("INSERT INTO changes (key, value, revision, lease) VALUES (?, ?, ?, ?)", row)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if "locked" in str(error) or "busy" in str(error):
                raise RegistryUnavailable(
                    f"{self._path} is held by another process for over {BUSY:g} s"
                ) from error
            raise StorageError(f"cannot use {self._path}: {error}") from error
        except OSError as error:
            raise StorageError(f"cannot use {self._path}: {error.strerror}") from error
        except sqlite3.Error as error:
            raise StorageError(
                f"{self._path} cannot be read ({error}): stop the mesh on this host and delete it; "
                "it holds no configuration"
            ) from error


def _change(key: str, value: str | None, revision: int, lease: int) -> Change:
    return Delete(key, revision) if value is None else Put(Entry(key, json.loads(value), revision, lease))
