"""A clock that a test moves by hand."""

import threading
import time

SLICE = 0.005  # seconds of real time between two looks at the event


class ManualClock:
    """A `Clock` that stands still until `advance`. `wait` ends when the event is set or its time has come."""

    def __init__(self, start: float = 1000.0) -> None:
        self._lock = threading.Lock()
        self._now = start
        self._epoch_ns = time.time_ns()

    def wall_ns(self) -> int:
        return self._epoch_ns + int(self.monotonic() * 1e9)

    def monotonic(self) -> float:
        with self._lock:
            return self._now

    def advance(self, seconds: float) -> None:
        with self._lock:
            self._now += seconds

    def wait(self, event: threading.Event, seconds: float) -> bool:
        end = self.monotonic() + seconds
        while not event.wait(SLICE):
            if self.monotonic() >= end:
                return event.is_set()
        return True
