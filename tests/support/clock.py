"""Clocks that a test moves by hand."""

import threading
import time
from collections.abc import Callable

from mesh.clock import SystemClock
from tests.support.waiting import WITHIN_S

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

    def set_wall_ns(self, wall_ns: int) -> None:
        """Set the wall clock, as a person or NTP may; durations are not affected."""
        self._epoch_ns += wall_ns - self.wall_ns()

    def advance(self, seconds: float) -> None:
        with self._lock:
            self._now += seconds

    def advance_until(self, condition: Callable[[], object], step: float = 0.25) -> None:
        """Advance in small steps until `condition` holds; it must within a minute of real time.

        One long step could fall between a thread's look at the clock and its wait, and be missed.
        """
        end = time.monotonic() + WITHIN_S
        pause = threading.Event()
        while not condition():
            assert time.monotonic() < end, "it did not happen, however far the clock went"
            self.advance(step)
            pause.wait(SLICE)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        end = self.monotonic() + seconds
        while not event.wait(SLICE):
            if self.monotonic() >= end:
                return event.is_set()
        return True


class SetClock(SystemClock):
    """The machine's own clocks, of which the wall clock is set as a person or NTP may."""

    def __init__(self) -> None:
        self.set_s = 0.0

    def wall_ns(self) -> int:
        return super().wall_ns() + int(self.set_s * 1e9)
