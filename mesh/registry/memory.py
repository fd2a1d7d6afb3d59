"""`memory:NAME`: a registry inside one process, for tests and for meshes that are one program.

Rules kept here: the same name is the same store for as long as the process lives, on the clock of whoever
opened it first; every call ends the leases whose time is over, and so does each watch that waits.
"""

import secrets
import threading
from collections import deque
from collections.abc import Sequence

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.errors import RegistryUnavailable
from mesh.registry.about import About
from mesh.registry.base import Change, Entry, Registry, Value, Watch
from mesh.registry.closing import Closing
from mesh.registry.polled import FOREVER, Changes, PolledWatch, Snapshot
from mesh.registry.store import Store

LOG = 4096  # changes kept for watches; one that is further behind is given the difference


class SharedStore:
    """One named store, with the log of its latest changes. Every method may be called from any thread."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.lock = threading.RLock()
        self.store = Store()
        self._log: deque[Change] = deque(maxlen=LOG)
        self._watches: set[PolledWatch] = set()

    def expire(self, *spare: int) -> float:
        """End the leases whose time is over, but for those in `spare`; the time now."""
        now = self.clock.monotonic()
        self.record(self.store.expire(now, spare))
        return now

    def record(self, changes: Sequence[Change]) -> None:
        """Note changes that the store has made, and wake the watches."""
        if changes:
            self._log.extend(changes)
            self.wake()

    def read(self, prefix: str, after: int | None) -> Changes | Snapshot:
        with self.lock:
            self.expire()
            revision = self.store.revision
            if after is None or after < revision - len(self._log):
                return Snapshot(revision, self.store.list(prefix))
            missed = revision - after
            return Changes(revision, list(self._log)[len(self._log) - missed :])

    def patience(self) -> float:
        with self.lock:
            deadline = self.store.next_deadline()
        return FOREVER if deadline is None else max(0.0, deadline - self.clock.monotonic())

    def watch(self, prefix: str) -> PolledWatch:
        with self.lock:
            watch = PolledWatch(self, prefix, self.clock, self.forget)
            self._watches.add(watch)
            return watch

    def forget(self, watch: PolledWatch) -> None:
        with self.lock:
            self._watches.discard(watch)

    def wake(self) -> None:
        """Have every watch look at the leases again."""
        for watch in self._watches:
            watch.wake.set()


_stores: dict[str, SharedStore] = {}
_stores_lock = threading.Lock()


class MemoryRegistry(Closing, Registry):
    """A client of the store called `name` in this process."""

    def __init__(self, name: str = "", clock: Clock = SYSTEM_CLOCK) -> None:
        with _stores_lock:
            self._shared = _stores.setdefault(name, SharedStore(clock))
        self._name = name
        self._watches: list[PolledWatch] = []
        self._closed = False

    def __repr__(self) -> str:
        return f"<MemoryRegistry {self.url} {self._shared.store!r}>"

    @property
    def url(self) -> str:
        return f"memory:{self._name}"

    def get(self, key: str) -> Entry | None:
        with self._shared.lock:
            self._now()
            return self._shared.store.get(key)

    def list(self, prefix: str = "") -> list[Entry]:
        with self._shared.lock:
            self._now()
            return self._shared.store.list(prefix)

    def put(self, key: str, value: Value, *, lease: int = 0, expect: int | None = None) -> Entry:
        with self._shared.lock:
            self._now()
            change = self._shared.store.plan_put(key, value, lease=lease, expect=expect)
            self._apply(change)
            return change.entry

    def delete(self, key: str, *, expect: int | None = None) -> bool:
        with self._shared.lock:
            self._now()
            change = self._shared.store.plan_delete(key, expect=expect)
            if change is not None:
                self._apply(change)
            return change is not None

    def grant(self, ttl: float) -> int:
        with self._shared.lock:
            lease = self._shared.store.grant(1 + secrets.randbits(62), ttl, self._now()).id
            self._shared.wake()  # a waiting watch must look sooner
            return lease

    def keep_alive(self, lease: int) -> None:
        with self._shared.lock:
            self._shared.store.renew(lease, self._now(renewing=lease))

    def revoke(self, lease: int) -> None:
        with self._shared.lock:
            self._now()
            self._shared.record(self._shared.store.revoke(lease))

    def watch(self, prefix: str = "") -> Watch:
        with self._shared.lock:
            self._now()
            self._watches = [watch for watch in self._watches if not watch.closed]
            watch = self._shared.watch(prefix)
            self._watches.append(watch)
            return watch

    def now_ns(self) -> int:
        return self._shared.clock.wall_ns()

    def about(self) -> About:
        return About(keeps=False)

    def close(self) -> None:
        with self._shared.lock:
            self._closed = True
            watches, self._watches = self._watches, []
        for watch in watches:
            watch.close()

    def _now(self, renewing: int = 0) -> float:
        """The time, once the leases are ended whose time is over, but for one that is about to be renewed."""
        if self._closed:
            raise RegistryUnavailable(f"the registry {self.url} was closed by this program")
        return self._shared.expire(renewing)

    def _apply(self, change: Change) -> None:
        self._shared.store.apply((change,))
        self._shared.record((change,))
