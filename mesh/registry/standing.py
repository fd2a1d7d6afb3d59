"""What a session says to the registry: one lease, and the holdings that are written under it.

Rules kept here: a claimed key is only ever written over what this session wrote, or what is free to take; an
outcome that is unknown, because a reply was lost, is found out by reading; once another process has the name
that this session stands under, the keys are that one's, and none is written or removed. Each method asks once
and raises `RegistryUnavailable` or `LeaseExpired` as they come; the session decides what follows. Not
thread-safe.
"""

import logging
import os
import socket
from collections.abc import Mapping

from mesh.clock import Clock
from mesh.errors import Conflict, LeaseExpired, MeshError, RegistryError
from mesh.registry.base import Entry, Registry, Value
from mesh.registry.holder import Here, Verdict, describe, judge, process_lives
from mesh.registry.holdings import Held, Holdings
from mesh.registry.offset import OffsetEstimate, sample

TRIES = 10  # against writers that are always first
MEASURE_S = 5 / 3  # between two looks at the registry's clock

log = logging.getLogger(__name__)


class Standing:
    """A session's lease in `registry`; `lease` is 0 while there is none."""

    def __init__(self, registry: Registry, ttl: float, clock: Clock) -> None:
        self.holdings = Holdings()
        self.lease = 0
        self.renew_at = clock.monotonic()
        self.offset = OffsetEstimate()
        self._measure_at = self.renew_at
        self.here = Here(socket.gethostname(), os.getpid(), process_lives)
        self._registry = registry
        self._ttl = ttl
        self._clock = clock

    def renew(self) -> None:
        """Have a lease, and keep it alive when a third of its time is over."""
        now = self._clock.monotonic()
        if self.lease == 0:
            self.lease = self._registry.grant(self._ttl)
            self.holdings.unwrite()
        elif now < self.renew_at:
            return
        else:
            self._registry.keep_alive(self.lease)
        self.renew_at = now + self._ttl / 3

    def measure(self) -> None:
        """Ask what time the registry has, now and then."""
        began, wall_ns = self._clock.monotonic(), self._clock.wall_ns()
        if began < self._measure_at:
            return
        self._measure_at = began + MEASURE_S
        try:
            registry_ns = self._registry.now_ns()
        except (
            MeshError
        ) as error:  # one that is too old to say, or has just gone, which the next renewal notices
            log.debug("the registry's time is not known: %s", error)
        else:
            self.offset.add(sample(wall_ns, registry_ns, began, self._clock.monotonic()))

    @property
    def due_at(self) -> float:
        """When the registry is next to be asked something, in seconds of the monotonic clock."""
        return min(self.renew_at, self._measure_at)

    def expired(self) -> None:
        """The lease is gone."""
        self.lease = 0

    def take(self, key: str, value: Value) -> Entry | None:
        """Claim a key; the entry of its holder if it is not free."""
        self.renew()
        outcome = self._write_claimed(key, value, 0, self.lease)
        if isinstance(outcome, Entry):
            return outcome
        self.holdings.claimed(key, value, outcome)
        return None

    def flush(self) -> None:
        """Write and remove what waits. The lease is renewed meanwhile, as all that may outlast it."""
        for held in self.holdings.unwritten():
            if self.holdings.is_displaced:
                return
            self.renew()
            try:
                self._write(held)
            except LeaseExpired:
                raise
            except RegistryError as error:
                log.error("not announced: %s", error)
                self.holdings.written(held, held.revision)
        for key in self.holdings.unremoved():
            if self.holdings.is_displaced:
                return
            self.renew()
            self._remove(key)
            self.holdings.removed(key)

    def farewell(self, keep: Mapping[str, Value], keep_for: float) -> None:
        """Put the last words under a lease of their own, and end the session's."""
        lease = self._registry.grant(keep_for) if keep else 0
        for key, value in keep.items():
            self._keep(key, value, lease)
        if self.lease:
            self._registry.revoke(self.lease)

    def _keep(self, key: str, value: Value, lease: int) -> None:
        if self.holdings.is_displaced or self.holdings.is_lost(key):
            return
        if not self.holdings.is_claimed(key):
            self._registry.put(key, value, lease=lease)
        elif isinstance(self._write_claimed(key, value, 0, lease), Entry):
            log.error("%s was taken by somebody else: its last record is not kept", key)

    def _write(self, held: Held) -> None:
        if not held.claimed:
            self.holdings.written(held, self._registry.put(held.key, held.value, lease=self.lease).revision)
            return
        outcome = self._write_claimed(held.key, held.value, held.revision, self.lease)
        if isinstance(outcome, Entry):
            log.error("%s was lost: it is now held by %s", held.key, describe(outcome.value))
            self.holdings.lose(held.key)
        else:
            self.holdings.written(held, outcome)

    def _write_claimed(self, key: str, value: Value, expect: int, lease: int) -> int | Entry:
        """Write over `expect`, what is this session's, or what is free: the revision. Else the holder."""
        for _ in range(TRIES):
            try:
                return self._registry.put(key, value, lease=lease, expect=expect).revision
            except Conflict:
                holder = self._registry.get(key)
            if holder is not None and not self._may_replace(holder):
                return holder
            expect = 0 if holder is None else holder.revision
        raise RegistryError(f"{key} could not be written: other writers were always first")

    def _may_replace(self, holder: Entry) -> bool:
        if holder.lease == 0:
            return False
        return holder.lease == self.lease or judge(holder.value, self.here) is Verdict.TAKE

    def _remove(self, key: str) -> None:
        entry = self._registry.get(key)
        if entry is None or entry.lease != self.lease:
            return
        try:
            self._registry.delete(key, expect=entry.revision)
        except Conflict:
            log.info("%s was written by somebody else as it was withdrawn", key)
