"""The store: entries, leases and revisions, as a state machine without I/O.

Rules kept here:

- A write is first planned, which checks everything and changes nothing, and then applied: whoever keeps the
  store on a disk writes between the two, so that memory is never ahead of the disk.
- Every change takes the next revision.
- A lease ends by the monotonic time that is passed in, never by itself. One that would last longer than its
  whole time was written before the machine restarted, and has ended too.
- Time in which the keeper was held up is no lease's time: whoever wanted to renew could not.
"""

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from mesh.errors import Conflict, LeaseExpired, RegistryError
from mesh.registry.base import Change, Delete, Entry, Put, Value
from mesh.registry.values import check_key, check_ttl, check_value, table_of
from mesh.registry.view import key_of, revision_of

MAX_ENTRIES = 100_000
MAX_LEASES = 10_000


@dataclass(frozen=True, slots=True)
class Lease:
    """A promise to come back: `deadline` is in seconds of the monotonic clock."""

    id: int
    ttl: float
    deadline: float

    def over(self, now: float) -> bool:
        return not now < self.deadline <= now + self.ttl


class Store:
    """The entries as they stand. Not thread-safe: its keeper serialises the calls."""

    def __init__(
        self, *, revision: int = 0, entries: Iterable[Entry] = (), leases: Iterable[Lease] = ()
    ) -> None:
        self._revision = revision
        self._entries = {entry.key: entry for entry in entries}
        self._keys: dict[str, set[str]] = {}  # by table
        self._held: dict[int, set[str]] = {}  # keys, by lease
        self._changed: dict[str, int] = {}  # the latest change, by table, where there was one since the start
        for entry in self._entries.values():
            self._index(entry)
        self._leases = {lease.id: lease for lease in leases}
        # No lease ends before: not exact, as renewing does not move it. Of those given it is not known.
        self._earliest = -math.inf if self._leases else math.inf

    def __repr__(self) -> str:
        return f"<Store revision={self._revision} entries={len(self._entries)} leases={len(self._leases)}>"

    @property
    def revision(self) -> int:
        """The revision of the latest change."""
        return self._revision

    @property
    def leases(self) -> Collection[Lease]:
        return self._leases.values()

    def get(self, key: str) -> Entry | None:
        return self._entries.get(check_key(key))

    def list(self, prefix: str = "") -> list[Entry]:
        """Every entry whose key starts with `prefix`, ordered by key."""
        keys = self._keys.get(table_of(prefix), ()) if "/" in prefix else self._entries
        return [self._entries[key] for key in sorted(keys) if key.startswith(prefix)]

    def changed(self, prefix: str) -> int:
        """The revision since which nothing under `prefix` has changed, though something else may have."""
        return self._changed.get(table_of(prefix), 0) if "/" in prefix else self._revision

    def is_configuration(self, key: str) -> bool:
        entry = self._entries.get(key)
        return entry is not None and entry.lease == 0

    def plan_put(self, key: str, value: Value, *, lease: int = 0, expect: int | None = None) -> Put:
        """The change that writes an entry. Raises `Conflict`, `LeaseExpired` or `RegistryError`."""
        stored = check_value(check_key(key), value)
        if lease and lease not in self._leases:
            raise LeaseExpired(f"cannot put {key}: its lease has ended")
        check_expected(key, self._revision_of(key), expect)
        if lease and self.is_configuration(key):
            raise is_configuration(key)
        if key not in self._entries and len(self._entries) >= MAX_ENTRIES:
            raise RegistryError(f"the registry is full: it holds {MAX_ENTRIES} entries")
        return Put(Entry(key, stored, self._revision + 1, lease))

    def plan_delete(self, key: str, *, expect: int | None = None) -> Delete | None:
        """The change that removes an entry; None when there is none. Raises `Conflict`."""
        check_expected(check_key(key), self._revision_of(key), expect)
        return Delete(key, self._revision + 1) if key in self._entries else None

    def plan_end(self, leases: Collection[int]) -> tuple[Delete, ...]:
        """The changes that the end of these leases makes, in the order in which the entries were written."""
        keys = (key for lease in leases for key in self._held.get(lease, ()))
        held = sorted((self._entries[key].revision, key) for key in keys)
        return tuple(Delete(key, self._revision + 1 + n) for n, (_, key) in enumerate(held))

    def apply(self, changes: Iterable[Change]) -> None:
        """Make planned changes, in order."""
        for change in changes:
            key, self._revision = key_of(change), revision_of(change)
            if (former := self._entries.pop(key, None)) is not None:
                self._forget(former)
            if isinstance(change, Put):
                self._entries[key] = change.entry
                self._index(change.entry)
            self._changed[table_of(key)] = self._revision

    def grant(self, lease: int, ttl: float, now: float) -> Lease:
        """A new lease of the number `lease`, which the caller draws so that no other registry gave it."""
        if len(self._leases) >= MAX_LEASES:
            raise RegistryError(f"the registry is full: it holds {MAX_LEASES} leases")
        made = Lease(lease, check_ttl(ttl), now + ttl)
        self._leases[lease] = made
        self._earliest = min(self._earliest, made.deadline)
        return made

    def renew(self, lease: int, now: float) -> Lease:
        """The lease, with its whole time before it. Raises `LeaseExpired`."""
        if lease not in self._leases:
            raise LeaseExpired("the lease has ended")
        renewed = replace(self._leases[lease], deadline=now + self._leases[lease].ttl)
        self._leases[lease] = renewed
        return renewed

    def revoke(self, lease: int) -> tuple[Delete, ...]:
        """End a lease; the changes that were made. One that is gone makes none."""
        return self._end((lease,))

    def expire(self, now: float, spare: Collection[int] = ()) -> tuple[Delete, ...]:
        """End the leases whose time is over, but for those in `spare`; the changes that were made."""
        if now < self._earliest:
            return ()
        over = [x.id for x in self._leases.values() if x.over(now) and x.id not in spare]
        changes = self._end(over)
        self._earliest = min((lease.deadline for lease in self._leases.values()), default=math.inf)
        return changes

    def forgive(self, seconds: float, now: float) -> None:
        """Give each lease as much longer as the keeper was held up, at most its whole time from now."""
        for lease in self._leases.values():
            deadline = min(lease.deadline + seconds, now + lease.ttl)
            self._leases[lease.id] = replace(lease, deadline=max(lease.deadline, deadline))

    def next_deadline(self) -> float | None:
        """When to look for leases that have ended: not after the next one does, perhaps before."""
        return self._earliest if self._leases else None

    def _revision_of(self, key: str) -> int:
        entry = self._entries.get(key)
        return entry.revision if entry else 0

    def _end(self, leases: Collection[int]) -> tuple[Delete, ...]:
        changes = self.plan_end(leases) if leases else ()
        self.apply(changes)
        for lease in leases:
            self._leases.pop(lease, None)
        return changes

    def _index(self, entry: Entry) -> None:
        self._keys.setdefault(table_of(entry.key), set()).add(entry.key)
        if entry.lease:
            self._held.setdefault(entry.lease, set()).add(entry.key)

    def _forget(self, entry: Entry) -> None:
        self._keys[table_of(entry.key)].discard(entry.key)
        if (held := self._held.get(entry.lease)) is not None:
            held.discard(entry.key)
            if not held:
                del self._held[entry.lease]


def check_expected(key: str, revision: int, expect: int | None) -> None:
    """Raises `Conflict` unless a key at `revision` (0: that is not there) is as it was expected to be."""
    if expect is None or expect == revision:
        return
    if revision == 0:
        raise Conflict(f"{key} is gone: it was expected at revision {expect}")
    if expect == 0:
        raise Conflict(f"{key} exists already, at revision {revision}")
    raise Conflict(f"{key} is at revision {revision}, not at {expect}: another writer was first")


def is_configuration(key: str) -> Conflict:
    """Why an entry without a lease cannot be put under one."""
    return Conflict(f"{key} is configuration: delete it before a node can hold it")
