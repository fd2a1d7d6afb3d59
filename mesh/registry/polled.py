"""A watch that reads a log of changes: for the backends whose store stands in reach.

Rules kept here: the reader's own thread does the work, so nothing is queued for a reader that does not come;
one that falls behind the log is given the difference. A watch has one reader; `close` may come from anywhere.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from mesh.clock import Clock
from mesh.registry.base import Change, Entry, Event
from mesh.registry.closing import Closing
from mesh.registry.view import View

FOREVER = 3600.0  # seconds; the longest single wait of a watch that has nothing to wait for


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed after a revision, up to `revision`."""

    revision: int
    changes: Sequence[Change]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What stands at `revision`: for a watch that begins, or that fell behind the log."""

    revision: int
    entries: Sequence[Entry]


class Feed(Protocol):
    """A store with a log of its changes."""

    def read(self, prefix: str, after: int | None) -> Changes | Snapshot:
        """What happened after revision `after`; a snapshot when that is None or no longer in the log."""
        ...

    def patience(self) -> float:
        """How long, in seconds, a watch may wait before it must read again."""
        ...


class PolledWatch(Closing):
    """A `Watch` over a `Feed`. `wake` is set by whoever changes the store, where that is known."""

    def __init__(
        self, feed: Feed, prefix: str, clock: Clock, on_close: Callable[["PolledWatch"], None]
    ) -> None:
        self.wake = threading.Event()
        self._feed = feed
        self._view = View(prefix)
        self._clock = clock
        self._on_close = on_close
        self._after: int | None = None
        self._pending: deque[Event] = deque()
        self._closed = threading.Event()

    def __repr__(self) -> str:
        return (
            f"<PolledWatch {self._view.prefix!r} {'closed' if self.closed else 'open'} after={self._after}>"
        )

    @property
    def closed(self) -> bool:
        return self._closed.is_set()

    def get(self, timeout: float | None = None) -> Event | None:
        """The next event; None when `timeout` seconds pass first or the watch is closed."""
        end = None if timeout is None else self._clock.monotonic() + timeout
        while not self.closed:
            if self._pending:
                return self._give()
            self.wake.clear()
            self._read()
            if not self._pending and not self._pause(end):
                return None
        return None

    def __iter__(self) -> Iterator[Event]:
        while (event := self.get()) is not None:
            yield event

    def close(self) -> None:
        self._closed.set()
        self.wake.set()
        self._on_close(self)

    def _give(self) -> Event:
        event = self._pending.popleft()
        self._view.gave(event)
        return event

    def _read(self) -> None:
        batch = self._feed.read(self._view.prefix, self._after)
        if isinstance(batch, Snapshot):
            self._pending.extend(self._view.difference(batch.revision, batch.entries))
        else:
            self._pending.extend(change for change in batch.changes if self._view.matches(change))
        self._after = batch.revision

    def _pause(self, end: float | None) -> bool:
        """Wait for something to read; False when the time is over."""
        left = FOREVER if end is None else end - self._clock.monotonic()
        if self.closed or left <= 0:
            return self.closed
        self._clock.wait(self.wake, min(left, self._feed.patience()))
        return True
