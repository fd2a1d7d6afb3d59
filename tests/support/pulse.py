"""When this process was held up: suspended, starved, or waiting for the machine that it runs on.

    with Pulse() as pulse:
        ...
    pulse.held_up_ns(since_ns, until_ns)   # of the wall clock

A bound on real time holds for a process that runs: what a test measures is less by the time in which nobody
got a turn. That is seen by a thread that wants one often.
"""

import time
from collections.abc import Callable
from threading import Event
from typing import Self

from mesh.scope import Scope

BEAT_S = 0.05
LATE_NS = 100_000_000  # what is less than that is usual


class Pulse:
    """Beats while the `with` block lasts."""

    def __init__(self, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._clock_ns = clock_ns
        self._late: list[tuple[int, int]] = []
        self._scope = Scope("pulse")

    def held_up_ns(self, since_ns: int, until_ns: int) -> int:
        """How much of that time nobody got a turn."""
        return sum(max(0, min(until, until_ns) - max(since, since_ns)) for since, until in self._late)

    def _beat(self, stopping: Event) -> None:
        last = self._clock_ns()
        while not stopping.wait(BEAT_S):
            now = self._clock_ns()
            if now - last > LATE_NS:
                self._late.append((last, now))
            last = now

    def __enter__(self) -> Self:
        self._scope.spawn("beat", self._beat, self._scope.stopping)
        return self

    def __exit__(self, *exc: object) -> None:
        self._scope.stop()
        self._scope.join()
