"""`file:PATH`: a registry without a server, for the nodes of one host.

The TOML at PATH is the configuration, and a person may edit it at any time (`toml_text` gives its form).
Leases, and the changes that watches read, stand in the SQLite file `PATH.live` beside it.

Rules kept here:

- Every operation is one transaction: take in what a person has edited, end the leases whose time is over, do
  the work, write the TOML anew if its entries changed, commit. If the power fails in between, the TOML wins.
- The TOML is replaced whole: written aside, fsynced, renamed, and the directory fsynced.
- A TOML that cannot be read, or is gone, stops nobody who is at work: the last good one holds, it is logged,
  and only a change to the configuration is refused. Opening such a file is a `ConfigError`.
- Leases are timed by the monotonic clock, which the processes of one host share. While a process has the
  files for long, as on a slow disk, nobody can renew: that is no lease's time.
"""

import hashlib
import logging
import secrets
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.errors import ConfigError, RegistryUnavailable
from mesh.registry.about import About, Folder
from mesh.registry.base import Change, Delete, Entry, Put, Registry, Value, Watch
from mesh.registry.closing import Closing
from mesh.registry.polled import Changes, PolledWatch, Snapshot
from mesh.registry.replace import read_text, replace_text
from mesh.registry.sidecar import Sidecar
from mesh.registry.store import Store
from mesh.registry.toml_text import read_toml, write_toml

POLL = 0.25  # seconds between two looks at the files
STALL = 0.3  # seconds of waiting for the files, or of work on them, that nobody expected
T = TypeVar("T")
log = logging.getLogger(__name__)

Work = Callable[[Store, float], tuple[T, Sequence[Change]]]


class FileRegistry(Closing, Registry):
    """A client of the registry at `path`. Raises `ConfigError` or `StorageError` when it cannot be opened."""

    def __init__(self, path: Path, clock: Clock = SYSTEM_CLOCK) -> None:
        self._name = str(path)
        self._path = path.resolve()  # through a symbolic link, so that replacing the file keeps the link
        if not self._path.parent.is_dir():
            raise ConfigError(f"the directory {self._path.parent} of the registry file does not exist")
        self._clock = clock
        self._lock = threading.RLock()
        self._watches: set[PolledWatch] = set()
        self._closed = False
        self._store: Store | None = None
        self._digest = ""  # of the text that the store's configuration came from
        self._seen: tuple[str | None, int] | None = (
            None  # the text and the sidecar's version, when last looked at
        )
        self._complaint = ""
        read_toml(read_text(self._path) or "", self._name)
        self._sidecar = Sidecar(self._path.with_name(self._path.name + ".live"), clock.wall_ns() // 1_000_000)
        try:
            self._operate(_nothing, opening=True)
        except BaseException:
            self._sidecar.close()
            raise

    def __repr__(self) -> str:
        return f"<FileRegistry {self._path} {self._store!r}>"

    @property
    def url(self) -> str:
        return f"file:{self._name}"

    def get(self, key: str) -> Entry | None:
        with self._lock:
            return self._look().get(key)

    def list(self, prefix: str = "") -> list[Entry]:
        with self._lock:
            return self._look().list(prefix)

    def put(self, key: str, value: Value, *, lease: int = 0, expect: int | None = None) -> Entry:
        def work(store: Store, now: float) -> tuple[Entry, Sequence[Change]]:
            change = store.plan_put(key, value, lease=lease, expect=expect)
            store.apply((change,))
            return change.entry, (change,)

        return self._operate(work)

    def delete(self, key: str, *, expect: int | None = None) -> bool:
        def work(store: Store, now: float) -> tuple[bool, Sequence[Change]]:
            change = store.plan_delete(key, expect=expect)
            changes = () if change is None else (change,)
            store.apply(changes)
            return change is not None, changes

        return self._operate(work)

    def grant(self, ttl: float) -> int:
        return self._operate(lambda store, now: (store.grant(1 + secrets.randbits(62), ttl, now).id, ()))

    def keep_alive(self, lease: int) -> None:
        self._operate(lambda store, now: (store.renew(lease, now), ()), renewing=lease)

    def revoke(self, lease: int) -> None:
        self._operate(lambda store, now: (None, store.revoke(lease)))

    def watch(self, prefix: str = "") -> Watch:
        with self._lock:
            self._check_open()
            # Other processes change the files without waking anyone, so the pauses run on the real clock.
            watch = PolledWatch(self, prefix, SYSTEM_CLOCK, self._forget)
            self._watches.add(watch)
            return watch

    def now_ns(self) -> int:
        return self._clock.wall_ns()

    def about(self) -> About:
        return About(keeps=True, folders=(Folder.at(self._path.parent),))

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._sidecar.close()
            watches = list(self._watches)
        for watch in watches:
            watch.close()

    def read(self, prefix: str, after: int | None) -> Changes | Snapshot:
        """What a watch of this registry has missed."""
        with self._lock:
            if self._closed:
                return Changes(after or 0, ())
            store = self._look()
            if after == store.revision:
                return Changes(after, ())
            changes = None if after is None else self._sidecar.changes(after, store.revision)
            if changes is None:
                return Snapshot(store.revision, store.list(prefix))
            return Changes(store.revision, changes)

    def patience(self) -> float:
        return POLL

    def _forget(self, watch: PolledWatch) -> None:
        with self._lock:
            self._watches.discard(watch)

    def _check_open(self) -> None:
        if self._closed:
            raise RegistryUnavailable(f"the registry {self.url} was closed by this program")

    def _look(self) -> Store:
        """The store as it is now; without a transaction where nothing has happened."""
        self._check_open()
        store = self._store
        if store is not None and self._seen == (read_text(self._path), self._sidecar.version()):
            now = self._clock.monotonic()
            if not any(lease.over(now) for lease in store.leases):
                return store
        self._operate(_nothing)
        assert self._store is not None
        return self._store

    def _operate(self, work: Work[T], *, opening: bool = False, renewing: int = 0) -> T:
        """Do the work in a transaction, once the leases are ended whose time is over, but `renewing`."""
        with self._lock:
            self._check_open()
            began = SYSTEM_CLOCK.monotonic()
            try:
                with self._sidecar.transaction():
                    result = self._transact(work, began, opening, renewing)
            except BaseException:
                self._store = self._seen = None  # it may hold what was rolled back
                raise
            for watch in self._watches:
                watch.wake.set()
            return result

    def _transact(self, work: Work[T], began: float, opening: bool, renewing: int) -> T:
        text, version = read_text(self._path), self._sidecar.version()
        if self._store is None or self._seen is None or self._seen[1] != version:
            self._store, self._digest = self._sidecar.load()
        store = self._store
        leases = {lease.id: lease for lease in store.leases}
        entered = self._forgive(store, began)
        changes = [*self._take_in(store, text, opening), *store.expire(self._clock.monotonic(), (renewing,))]
        configured = _configuration(store)
        result, made = work(store, self._clock.monotonic())
        if _configuration(store) != configured:
            text = self._write_out(store, text)
        self._forgive(store, entered)
        self._sidecar.save(store, [*changes, *made], leases, self._digest)
        self._seen = text, version
        return result

    def _forgive(self, store: Store, since: float) -> float:
        """Give the leases the time since then, where that was a stall; the time now. In real time."""
        now = SYSTEM_CLOCK.monotonic()
        if now - since >= STALL:
            store.forgive(now - since, self._clock.monotonic())
        return now

    def _take_in(self, store: Store, text: str | None, opening: bool) -> Sequence[Change]:
        """Make the store's configuration that of the text; the changes."""
        if _digest(text or "") == self._digest:
            return ()
        if not text and self._digest and not opening:
            # Editors truncate or move a file away before they write it.
            self._complain(f"{self._name} is gone or empty: going on with what it held")
            return ()
        try:
            wanted = read_toml(text or "", self._name)
        except ConfigError as error:
            self._complain(f"{error}; going on with what stood there before")
            return ()
        self._complaint = ""
        self._digest = _digest(text or "")
        return _edit(store, wanted)

    def _write_out(self, store: Store, text: str | None) -> str:
        wanted = {entry.key: entry.value for entry in store.list() if entry.lease == 0}
        written = write_toml(text or "", wanted, self._name)
        replace_text(self._path, written)
        self._digest = _digest(written)
        return written

    def _complain(self, complaint: str) -> None:
        if complaint != self._complaint:
            self._complaint = complaint
            log.warning("%s", complaint)


def _nothing(store: Store, now: float) -> tuple[None, Sequence[Change]]:
    return None, ()


def _configuration(store: Store) -> dict[str, int]:
    return {entry.key: entry.revision for entry in store.list() if entry.lease == 0}


def _edit(store: Store, wanted: dict[str, dict[str, object]]) -> list[Change]:
    """Change the store's configuration into `wanted`; the changes."""
    changes: list[Change] = []
    for entry in store.list():
        if entry.lease == 0 and entry.key not in wanted:
            changes.append(Delete(entry.key, store.revision + 1))
            store.apply(changes[-1:])
    for key, value in wanted.items():
        stands = store.get(key)
        if stands is None or stands.lease or repr(stands.value) != repr(value):
            changes.append(Put(Entry(key, value, store.revision + 1)))
            store.apply(changes[-1:])
    return changes


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest() if text else ""
