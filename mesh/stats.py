"""Counters that many threads add to and anyone may read as a frozen snapshot."""

import threading
from collections.abc import Mapping
from types import MappingProxyType


class Counters:
    """Named counts. `add` is atomic; `snapshot` is a copy that no longer changes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"<Counters {dict(self.snapshot())}>"

    def add(self, name: str, count: int = 1) -> None:
        with self._lock:
            self._counts[name] = self._counts.get(name, 0) + count

    def get(self, name: str) -> int:
        with self._lock:
            return self._counts.get(name, 0)

    def snapshot(self) -> Mapping[str, int]:
        with self._lock:
            return MappingProxyType(dict(self._counts))


class Rarely:
    """Says yes at most once every `seconds`, and how often it said no in between.

    For log lines about things that may happen with every frame.
    """

    def __init__(self, seconds: float = 1.0) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._next = float("-inf")
        self._held = 0

    def ready(self, now: float) -> int | None:
        """None: not now. A number: go ahead; that many calls were held back since the last yes."""
        with self._lock:
            if now < self._next:
                self._held += 1
                return None
            self._next, held, self._held = now + self._seconds, self._held, 0
            return held
