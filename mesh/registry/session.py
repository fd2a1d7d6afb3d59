"""How a node stands in the registry: a lease that is renewed, and the entries that live under it.

Rules kept here:

- One thread renews the lease at a third of its time and writes the latest value of each key that was updated.
- While the registry is away the node goes on; when it returns, or has lost the lease, everything is announced
  again. A claimed key is claimed again, never taken from somebody who took it meanwhile.
- Nothing but `claim` waits for anybody, and leaving never hangs an exit.
"""

import logging
import random
import threading
from collections.abc import Callable, Mapping
from typing import Self

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.errors import Conflict, LeaseExpired, MeshError, RegistryUnavailable
from mesh.registry.base import Delete, Entry, Put, Registry, Value, Watch
from mesh.registry.holder import Verdict, describe, judge
from mesh.registry.offset import Offset
from mesh.registry.standing import Standing
from mesh.registry.view import key_of
from mesh.scope import Scope

PATIENCE = 1.5  # times the lease's time: by then a holder that died is gone
PATIENCE_S = 7.5  # at least: the holder's lease may be longer
LOOK = 0.25  # seconds between two looks at the clock while a claim waits
BACKOFF = (0.1, 1.0)  # seconds, first and longest

log = logging.getLogger(__name__)


class Taken(Conflict):
    """A key that was claimed has a holder. `holder` is the holder's value."""

    def __init__(self, key: str, holder: Value) -> None:
        super().__init__(f"{key} is already taken by {describe(holder)}")
        self.key = key
        self.holder = holder


class Session:
    """A node's place in `registry`, for as long as the `with` block lasts. Every method is thread-safe.

    `ttl` is the lease's time in seconds. `on_lost` is called, on the session's thread, with each claimed key
    that another holder took while the registry was away.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        ttl: float = 5.0,
        clock: Clock = SYSTEM_CLOCK,
        on_lost: Callable[[str], None] | None = None,
    ) -> None:
        self._registry = registry
        self._ttl = ttl
        self._clock = clock
        self._on_lost = on_lost
        self._scope = Scope("session")
        self._poked = threading.Event()
        self._asking = threading.Lock()  # of whoever asks the registry
        self._standing = Standing(registry, ttl, clock)
        self._failures = 0
        self._left = False

    def __repr__(self) -> str:
        state = "left" if self._left else "connected" if self.connected else "away"
        return f"<Session {self._registry.url} {state} {self._standing.holdings!r}>"

    @property
    def connected(self) -> bool:
        """Whether the registry answered the last time that it was asked."""
        return self._failures == 0

    @property
    def clock_offset(self) -> Offset | None:
        """How far this node's wall clock is from the registry's; None while that is not known."""
        return self._standing.offset.best(self._clock.monotonic())

    def claim(self, key: str, value: Value, *, patience: float | None = None) -> None:
        """Take `key` for this session, unless somebody holds it.

        Waits at most `patience` seconds (one and a half times the lease's time, and 7.5 at least, unless
        given) for a holder that may have died. Raises `Taken`, or `RegistryUnavailable`.
        """
        patience = max(PATIENCE_S, PATIENCE * self._ttl) if patience is None else patience
        end = self._clock.monotonic() + patience
        holder, is_last = self._take(key, value), patience <= 0
        if holder is None:
            return
        with self._registry.watch(key) as watch:
            while holder is not None:
                if is_last or judge(holder.value, self._standing.here) is Verdict.REFUSE:
                    raise Taken(key, holder.value)
                self._await_change(watch, key, end)
                # Tried once more after the end, however long this process was held up before.
                is_last = self._clock.monotonic() >= end
                holder = self._take(key, value)

    def take(self, key: str, value: Value) -> Entry | None:
        """Take `key` if it is free; else the entry of its holder.

        Raises `RegistryUnavailable`: at once while the registry is known to be away, so that many who ask at
        the same time do not wait for it one after the other.
        """
        with self._asking:
            if not self.connected:
                raise RegistryUnavailable(f"the registry at {self._registry.url} is away")
            try:
                return self._take_now(key, value)
            except RegistryUnavailable as error:
                self._note_failure(error)
                raise

    def announce(self, key: str, value: Value) -> None:
        """Write `key` under the session's lease, now if the registry answers, else when it does."""
        self._standing.holdings.update(key, value)
        self._attempt()

    def update(self, key: str, value: Value) -> None:
        """Give `key` a new value soon. Never waits; a key that was lost stays lost."""
        self._standing.holdings.update(key, value)
        self._poked.set()

    def withdraw(self, key: str) -> None:
        """Remove `key` soon. Never waits."""
        self._standing.holdings.withdraw(key)
        self._poked.set()

    def leave(self, keep: Mapping[str, Value] | None = None, keep_for: float = 600.0) -> None:
        """End the session and delete its entries, but for `keep`, which stays for `keep_for` seconds.

        A registry that is away is not waited for: the leases see to it.
        """
        if self._left:
            return
        self._left = True
        self._scope.stop()
        self._scope.join()
        if self.connected:
            self._say_farewell(keep or {}, keep_for)
        else:
            log.warning("left without a word to the registry: it is away")
        self._scope.__exit__(None, None, None)

    def __enter__(self) -> Self:
        self._scope.on_stop(self._poked.set)
        self._scope.spawn("renew", self._run)
        return self

    def __exit__(self, *exc: object) -> None:
        self.leave()

    def _say_farewell(self, keep: Mapping[str, Value], keep_for: float) -> None:
        try:
            with self._asking:
                self._standing.farewell(keep, keep_for)
        except MeshError as error:
            log.warning("left without a word to the registry: %s", error)

    def _take(self, key: str, value: Value) -> Entry | None:
        """Take the key if it is free; the entry of its holder if it is not."""
        with self._asking:
            return self._take_now(key, value)

    def _take_now(self, key: str, value: Value) -> Entry | None:
        try:
            return self._standing.take(key, value)
        except LeaseExpired:
            self._standing.expired()
            return self._standing.take(key, value)
        finally:
            self._poked.set()  # a new lease has everything written again, and renewed in time

    def _await_change(self, watch: Watch, key: str, end: float) -> None:
        """Wait until the holder's entry has changed or gone, or the patience is over."""
        while self._clock.monotonic() < end and not self._scope.stopping.is_set():
            event = watch.get(LOOK)
            if isinstance(event, Put | Delete) and key_of(event) == key:
                return

    def _run(self) -> None:
        while not self._scope.stopping.is_set():
            self._poked.clear()
            self._attempt()
            for key in self._standing.holdings.untold():
                if self._on_lost is not None:
                    self._on_lost(key)
            self._pause()

    def _pause(self) -> None:
        if self._failures == 0:
            self._clock.wait(self._poked, max(0.0, self._standing.due_at - self._clock.monotonic()))
            return
        first, longest = BACKOFF
        # Jitter, so that a fleet does not come back in one instant.
        pause = min(longest, first * 2.0 ** min(self._failures, 10)) * random.uniform(0.5, 1.0)
        self._clock.wait(self._scope.stopping, pause)

    def _attempt(self) -> None:
        """Renew and write what waits, once. Logs when the registry goes and when it returns."""
        with self._asking:
            if self._left:
                return
            try:
                self._say()
            except MeshError as error:
                self._note_failure(error)
            else:
                self._note_success()
                self._standing.measure()

    def _say(self) -> None:
        try:
            self._standing.renew()
            self._standing.flush()
        except LeaseExpired:
            if self.connected:  # else it has forgotten everybody, and that it was away has been said
                log.warning("the lease had ended: all is announced again")
            self._standing.expired()
            self._standing.renew()
            self._standing.flush()

    def _note_failure(self, error: MeshError) -> None:
        if self._failures == 0:
            log.warning("going on without the registry: %s", error)
        self._failures += 1

    def _note_success(self) -> None:
        if self._failures:
            log.warning("the registry at %s answers again", self._registry.url)
        self._failures = 0
