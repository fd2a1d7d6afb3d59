"""The watches of a client of the registry's server: one thread that reads the changes for all of them.

Rules kept here:

- A watch follows a chain: each change names the one before it in its table, each beat the latest of every
  table. Where a link is missing, or the server has started anew, the watch is stale.
- A stale watch takes no changes. Once its reader has taken all that is pending, it is given the difference
  between what it gave and a fresh snapshot, and then `Synced`.
- A snapshot is asked for once the server has said that the subscriptions are in force, so nothing falls
  between the two.
- What is pending is bounded; a watch whose reader falls behind becomes stale.
"""

import logging
import secrets
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import zmq

from mesh.clock import SYSTEM_CLOCK
from mesh.errors import MeshError, WireError
from mesh.registry.base import Entry, Event
from mesh.registry.closing import Closing
from mesh.registry.values import table_of
from mesh.registry.view import View, key_of, revision_of
from mesh.registry.wake import Wake
from mesh.registry.wire import SYNC, Beat, Published, decode_published, topics_of
from mesh.scope import Scope

PENDING = 10_000  # events of one watch
RETRY = 0.5  # seconds until another try for a snapshot, after one that failed
ASK_AGAIN = 3.0  # seconds until the server is asked again whether the subscriptions are in force
IDLE = 60.0
PAUSE = 0.005  # seconds after what came, so that what comes meanwhile is taken together

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Listing:
    """The entries under a prefix as they stood at `revision` of the server started as `epoch`."""

    epoch: int
    revision: int
    entries: list[Entry]


class RemoteWatch(Closing):
    """A `Watch`. The thread of its `Watcher` feeds it, one reader takes from it."""

    def __init__(self, prefix: str, poke: Callable[[], None]) -> None:
        self._view = View(prefix)
        self._poke = poke
        self._changed = threading.Condition()
        self._pending: deque[Event] = deque()
        self._closed = False
        self._stale = True
        self._epoch = 0
        self._revision = 0  # of the snapshot
        self._latest: dict[str, int] = {}  # by table, where a change has come since the snapshot

    def __repr__(self) -> str:
        state = "closed" if self._closed else "stale" if self._stale else "synced"
        return f"<RemoteWatch {self.prefix!r} {state} pending={len(self._pending)}>"

    @property
    def prefix(self) -> str:
        return self._view.prefix

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def wants_snapshot(self) -> bool:
        """Whether the watch has lost its place and its reader has taken all that was pending."""
        with self._changed:
            return self._stale and not self._pending and not self._closed

    def get(self, timeout: float | None = None) -> Event | None:
        """The next event; None when `timeout` seconds pass first or the watch is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._pending or self._closed, timeout)
            if self._closed or not self._pending:
                return None
            event = self._pending.popleft()
            self._view.gave(event)
            drained = self._stale and not self._pending
        if drained:
            self._poke()
        return event

    def __iter__(self) -> Iterator[Event]:
        while (event := self.get()) is not None:
            yield event

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._pending.clear()
            self._changed.notify_all()
        self._poke()

    def take(self, message: Published | Beat) -> None:
        """Follow the chain, or note that it is broken."""
        with self._changed:
            if self._stale or self._closed:
                return
            if message.epoch != self._epoch:
                self._stale = True
            elif isinstance(message, Beat):
                self._stale = any(self._missed(table, latest) for table, latest in message.latest.items())
            else:
                self._take_change(message)

    def resync(self, listing: Listing) -> None:
        """Give the reader the difference to a fresh snapshot."""
        with self._changed:
            anew = self._epoch not in (0, listing.epoch)
            self._epoch, self._revision, self._latest = listing.epoch, listing.revision, {}
            self._pending.extend(self._view.difference(listing.revision, listing.entries, anew=anew))
            self._stale = False
            self._changed.notify_all()

    def _take_change(self, message: Published) -> None:
        change = message.change
        table, revision = table_of(key_of(change)), revision_of(change)
        known = self._latest.get(table, self._revision)
        if revision <= known:
            return
        if message.before > known or len(self._pending) >= PENDING:
            self._stale = True
            return
        self._latest[table] = revision
        if self._view.matches(change):
            self._pending.append(change)
            self._changed.notify_all()

    def _missed(self, table: str, latest: int) -> bool:
        follows = table.encode() in topics_of(self.prefix) or b"" in topics_of(self.prefix)
        return follows and latest > self._latest.get(table, self._revision)


class Subscriptions:
    """What one SUB socket is subscribed to, and whether the server has taken it in."""

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self._socket = socket
        self._topics: frozenset[bytes] = frozenset()
        self._asked = b""  # the topic on which the server confirms; empty when it has
        self._count = 0
        self._ask_again_at = 0.0

    @property
    def in_force(self) -> bool:
        return not self._asked

    def follow(self, wanted: frozenset[bytes], now: float) -> None:
        """Subscribe to what is wanted, and to nothing else."""
        for topic in wanted - self._topics:
            self._socket.subscribe(topic)
        for topic in self._topics - wanted:
            self._socket.unsubscribe(topic)
        if wanted - self._topics or (self._asked and now >= self._ask_again_at):
            self._ask(now)
        self._topics = wanted

    def confirms(self, topic: bytes) -> bool:
        """Whether a message's topic says that the subscriptions are in force."""
        if not self._asked or topic != self._asked:
            return False
        self._socket.unsubscribe(self._asked)
        self._asked = b""
        return True

    def _ask(self, now: float) -> None:
        if self._asked:
            self._socket.unsubscribe(self._asked)
        self._count += 1
        self._asked = SYNC + secrets.token_hex(8).encode() + b"/%d" % self._count
        self._socket.subscribe(self._asked)
        self._ask_again_at = now + ASK_AGAIN


class Watcher(Closing):
    """The thread behind the watches of one client; it starts with the first of them."""

    def __init__(
        self, connect: Callable[[], zmq.Socket[bytes]], snapshot: Callable[[str], Listing], stop: Wake
    ) -> None:
        self._connect = connect
        self._snapshot = snapshot
        self._stop = stop
        self._poked = Wake()
        self._lock = threading.Lock()
        self._watches: list[RemoteWatch] = []
        self._scope = Scope("registry-watch")
        self._running = self._closed = False
        self._complained = False
        self._next_try = 0.0

    def watch(self, prefix: str) -> RemoteWatch:
        made = RemoteWatch(prefix, self._poked.set)
        with self._lock:
            self._watches.append(made)
            if self._closed:
                made.close()
            elif not self._running:
                self._running = True
                self._scope.spawn("changes", self._run)
        self._poked.set()
        return made

    def close(self) -> None:
        """Set `stop` and join the thread. Raises what ended it early, if anything did."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._scope.stop()
        self._stop.set()
        try:
            self._scope.__exit__(None, None, None)
        finally:
            self._close_watches()
            self._poked.close()

    def _run(self) -> None:
        poller = zmq.Poller()
        poller.register(self._stop.fileno(), zmq.POLLIN)
        poller.register(self._poked.fileno(), zmq.POLLIN)
        with self._connect() as socket:
            poller.register(socket, zmq.POLLIN)
            subscriptions = Subscriptions(socket)
            try:
                while not self._scope.stopping.is_set():
                    watches = self._open_watches()
                    topics = frozenset[bytes]().union(*(topics_of(watch.prefix) for watch in watches))
                    subscriptions.follow(topics, SYSTEM_CLOCK.monotonic())
                    # Asked for any sooner, changes between the snapshot and the subscription would be missed.
                    wait = self._resync(watches) if subscriptions.in_force else ASK_AGAIN
                    poller.poll(int(wait * 1000))
                    self._poked.clear()
                    if self._take(socket, subscriptions, watches):
                        self._scope.stopping.wait(PAUSE)
            finally:
                self._close_watches()

    def _open_watches(self) -> list[RemoteWatch]:
        with self._lock:
            self._watches = [watch for watch in self._watches if not watch.closed]
            return list(self._watches)

    def _close_watches(self) -> None:
        with self._lock:
            watches, self._watches = self._watches, []
        for watch in watches:
            watch.close()

    def _resync(self, watches: list[RemoteWatch]) -> float:
        """Bring the stale watches back; how many seconds may pass until the next try."""
        now = SYSTEM_CLOCK.monotonic()
        stale = [watch for watch in watches if watch.wants_snapshot]
        if not stale or now < self._next_try:
            return max(0.0, self._next_try - now) if stale else IDLE
        try:
            for watch in stale:
                watch.resync(self._snapshot(watch.prefix))
        except MeshError as error:
            if not self._complained and not self._scope.stopping.is_set():
                log.warning("watching waits: %s", error)
            self._complained = True
            self._next_try = SYSTEM_CLOCK.monotonic() + RETRY
            return RETRY
        self._complained = False
        return IDLE

    def _take(
        self, socket: zmq.Socket[bytes], subscriptions: Subscriptions, watches: list[RemoteWatch]
    ) -> bool:
        """Hand on what has come, at most a bounded number of messages; whether anything had."""
        for count in range(PENDING):
            try:
                parts = socket.recv_multipart(zmq.NOBLOCK)
                if subscriptions.confirms(parts[0]):
                    return False  # the snapshot first: what follows belongs after it
                message = decode_published(parts)
            except zmq.Again:
                return count > 0
            except WireError as error:
                log.warning("a change of the registry was not understood: %s", error)
                continue
            for watch in watches:
                watch.take(message)
        return True
