"""A watch of a prefix in etcd: a thread that follows one stream, and picks it up where it broke.

Rules kept here:

- A watch begins with a listing, and then takes every change after that one's revision, in order.
- A stream that breaks is opened again, at the next member, after the last revision that was taken in whole.
  So nothing is lost or given twice when a member dies.
- Where etcd no longer has those changes (compacted), or is no longer the store that it was, the reader is
  given the difference between what it was given and what stands now, and then `Synced`.
- What is pending is bounded: a reader that falls behind holds up its stream, and etcd keeps the changes.
"""

import logging
import math
import random
import threading
from collections import deque
from collections.abc import Iterator

from mesh.clock import SYSTEM_CLOCK
from mesh.errors import MeshError
from mesh.registry.base import Change, Event
from mesh.registry.closing import Closing
from mesh.registry.etcd_json import News, read_news, watch_body
from mesh.registry.etcd_listing import read_listing
from mesh.registry.etcd_members import Away, Members, Stream
from mesh.registry.view import View

PENDING = 10_000  # events
BACKOFF = (0.05, 1.0)  # seconds between two tries, first and longest
STEADY = 2.0  # seconds after which a stream that ends was none that failed

log = logging.getLogger(__name__)


class EtcdWatch(Closing):
    """A `Watch`. One thread runs it, one reader takes from it; `stopping`, which is its own, ends both."""

    def __init__(self, root: str, prefix: str, members: Members, stopping: threading.Event) -> None:
        self._root = root
        self._view = View(prefix)  # once everything that is pending was given
        self._members = members
        self._stopping = stopping
        self._changed = threading.Condition()
        self._pending: deque[Event] = deque()
        self._stream: Stream | None = None
        self._after = 0  # the revision up to which all was taken in; 0: to be listed
        self._partial: list[Change] = []  # of a message that comes in several
        self._opened_at = math.inf  # the stream of this try, if it was opened
        self._anew = False  # the store has forgotten what it held
        self._failures = 0

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"after={self._after}"
        return f"<EtcdWatch {self._view.prefix!r} {state} pending={len(self._pending)}>"

    @property
    def closed(self) -> bool:
        return self._stopping.is_set()

    def get(self, timeout: float | None = None) -> Event | None:
        """The next event; None when `timeout` seconds pass first or the watch is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._pending or self.closed, timeout)
            if self.closed or not self._pending:
                return None
            self._changed.notify_all()  # there is room
            return self._pending.popleft()

    def __iter__(self) -> Iterator[Event]:
        while (event := self.get()) is not None:
            yield event

    def close(self) -> None:
        with self._changed:
            self._stopping.set()
            self._pending.clear()
            self._changed.notify_all()
            if self._stream is not None:
                self._stream.shutdown()

    def run(self) -> None:
        """Follow, until the watch is closed."""
        try:
            with self._members:
                while not self.closed:
                    self._attempt()
        finally:
            self.close()

    def _attempt(self) -> None:
        try:
            self._run_once()
        except MeshError as error:
            if not self.closed:
                self._note_failure(error)

    def _run_once(self) -> None:
        """Take in changes until the stream ends."""
        self._opened_at = math.inf
        if not self._after:
            self._resync()
        self._partial = []
        with self._open() as stream:
            for message in stream:
                self._take(read_news(message, self._root))
                if self.closed or not self._after:
                    return
        raise Away("its stream ended")

    def _resync(self) -> None:
        """Give the reader the difference to what stands."""
        listing = read_listing(self._members, self._root, self._view.prefix)
        self._give(self._view.difference(listing.revision, listing.entries, anew=self._anew))
        self._after, self._anew = listing.revision, False

    def _open(self) -> Stream:
        stream = self._members.follow("watch", watch_body(self._root + self._view.prefix, self._after))
        self._opened_at = SYSTEM_CLOCK.monotonic()
        with self._changed:
            self._stream = stream
            if self.closed:
                stream.shutdown()
        return stream

    def _take(self, news: News) -> None:
        if news.compacted:
            log.info("etcd no longer has the changes to %s after %d", self._view.prefix, self._after)
            self._after = 0
        elif news.canceled:
            raise Away(news.canceled)
        elif news.opened:
            self._check(news.revision)
        else:
            self._partial += news.changes
            if not news.partial:
                self._give(self._partial)
                self._partial = []
                self._after = max(self._after, news.revision)

    def _check(self, revision: int) -> None:
        """Notice a store that is younger than what was read from it: it was restored, or began anew.

        A member that lags behind looks the same, so this asks for what the cluster has agreed on.
        """
        if revision >= self._after:
            return
        if read_listing(self._members, self._root, self._view.prefix).revision < self._after:
            self._after, self._anew = 0, True

    def _give(self, events: list[Event] | list[Change]) -> None:
        with self._changed:
            self._changed.wait_for(lambda: len(self._pending) < PENDING or self.closed)
            if self.closed:
                return
            for event in events:
                self._view.gave(event)
                self._pending.append(event)
            self._changed.notify_all()

    def _note_failure(self, error: MeshError) -> None:
        """Turn to the next member, after a pause: it grows, and differs, as a fleet must not come at once."""
        lasted = SYSTEM_CLOCK.monotonic() - self._opened_at
        self._failures = 1 if lasted > STEADY else self._failures + 1
        if self._failures == 3:  # not for a stream that only moved to another member
            log.warning("watching waits for etcd at %s: %s", self._members.current, error)
        self._members.turn()
        first, longest = BACKOFF
        self._stopping.wait(min(longest, first * 2.0 ** min(self._failures, 10)) * random.uniform(0.5, 1.0))
