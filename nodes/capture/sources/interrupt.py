"""Ending a read that blocks inside FFmpeg, at once and from any thread.

Rules kept here: nothing changes for a thread that is not inside `until`; a container is never touched from
a second thread.

FFmpeg asks an interrupt callback, about ten times a second, whether to give up. PyAV's answers only for its
timeouts: "is `time.monotonic()` past the deadline?", asked on the reading thread, and it has no cancel. So
PyAV is lent a clock that leaps ahead on a thread whose reading is to end. Should a PyAV to come no longer
ask this clock, a read ends with its timeout; a test would tell.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_LEAP_S = 1e9


class InterruptClock:
    """`time`, as PyAV uses it, with a `monotonic` that ends the reads of this thread on request."""

    def __init__(self) -> None:
        self._thread = threading.local()

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def monotonic(self) -> float:
        """Seconds; from the moment that this thread's `until` holds, far later at each call."""
        ended: Callable[[], bool] | None = getattr(self._thread, "ended", None)
        if ended is None or not ended():
            return time.monotonic()
        # A leap a call, not one leap: PyAV may only now be taking the time from which it counts.
        leaps: int = self._thread.leaps + 1
        self._thread.leaps = leaps
        return time.monotonic() + leaps * _LEAP_S

    @contextmanager
    def until(self, ended: Callable[[], bool]) -> Iterator[None]:
        """Inside, FFmpeg calls on this thread give up soon after `ended()` holds."""
        self._thread.ended, self._thread.leaps = ended, 0
        try:
            yield
        finally:
            self._thread.ended = None
