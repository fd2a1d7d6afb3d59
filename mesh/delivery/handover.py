"""The bounded queue between a receiver and whoever records what it received.

Rules kept here: it never holds more than its bound (one batch beyond it, so that a single large result
passes); who puts waits only so long, and is told when there was no room; who takes is woken at once.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Handover(Generic[T]):
    """Items between one thread that puts and one that takes.

    max_items, max_bytes:  the bound
    size_of:               an item's size in bytes
    """

    def __init__(self, max_items: int, max_bytes: int, size_of: Callable[[T], int]) -> None:
        self._max_items, self._max_bytes = max_items, max_bytes
        self._size_of = size_of
        self._changed = threading.Condition()
        self._items: deque[T] = deque()
        self._bytes = 0
        self._woken = self._closed = False

    def __repr__(self) -> str:
        return f"<Handover {len(self._items)} items, {self._bytes} bytes>"

    def put(self, items: Sequence[T], timeout: float) -> bool:
        """Hand over all of `items`; False, and none of them, when no room comes within `timeout` seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._closed or self._has_room(), timeout) or self._closed:
                return False
            self._items.extend(items)
            self._bytes += sum(map(self._size_of, items))
            self._changed.notify_all()
        return True

    def take(self, timeout: float | None) -> list[T]:
        """All that is there, as soon as there is something; nothing when it is woken or time is up."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._woken, timeout)
            items, self._bytes, self._woken = list(self._items), 0, False
            self._items.clear()
            self._changed.notify_all()
        return items

    def idle(self) -> bool:
        """Whether nothing waits to be taken."""
        with self._changed:
            return not self._items

    def wake(self) -> None:
        """Let the taker look at something else."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def close(self) -> None:
        """Take in no more. What is there can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _has_room(self) -> bool:
        return len(self._items) < self._max_items and self._bytes < self._max_bytes
