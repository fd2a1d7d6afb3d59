"""Time, as a value that is passed in.

Rules kept here: wall-clock nanoseconds are stamps that are carried, never subtracted from one another on
one machine; durations come from the monotonic clock; nothing in the mesh calls `time.sleep`.
"""

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """What the mesh asks of time. Tests pass one that they move by hand."""

    def wall_ns(self) -> int:
        """Nanoseconds since the epoch, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that only ever grow; for durations."""
        ...

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait until `event` is set or `seconds` have passed; True when it is set."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def wall_ns(self) -> int:
        return time.time_ns()

    def monotonic(self) -> float:
        return time.monotonic()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        return event.wait(seconds)


SYSTEM_CLOCK = SystemClock()
