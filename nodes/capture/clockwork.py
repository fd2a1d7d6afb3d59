"""A node's wall clock, watched for steps: a clock that is set tells other times from then on.

Rules kept here: a step is told once for the node, in the log and in its counters, and by each camera with the
frames that it captures soon after; a clock that is slewed, as NTP does once it runs, makes no step; nor does
a process that was stopped between its looks at two clocks. A machine that slept looks as if its clock had
been set: the monotonic clock stands still meanwhile.
"""

import logging
import threading
from dataclasses import dataclass
from datetime import timedelta

from mesh.clock import Clock
from mesh.steps import Step

log = logging.getLogger(__name__)

STEP_S = 0.5
SLEWED = 0.001  # of the time since the last look: what slewing and a poor crystal amount to, and more
AT_ONCE_S = 0.1  # within which both clocks are read
TRIES = 10
# For so long frames tell of it: some may be dropped on the way; and who judges ages by two clocks takes
# frames for stale for some seconds where one of them is set back (`mesh.freshness`).
TOLD_S = 15.0


@dataclass(frozen=True, slots=True)
class Look:
    """Both clocks at one moment, and by how much the wall clock was set so far."""

    wall_ns: int
    at: float
    set_s: float = 0.0


def looked(before: Look | None, wall_ns: int, at: float) -> Look:
    """The next look at both clocks. Pure."""
    if before is None:
        return Look(wall_ns, at)
    passed_s = at - before.at
    ahead_s = (wall_ns - before.wall_ns) / 1e9 - passed_s
    if abs(ahead_s) <= STEP_S + SLEWED * passed_s:
        return Look(wall_ns, at, before.set_s)
    return Look(wall_ns, at, round(before.set_s + ahead_s, 3))


class Clockwork:
    """The clocks of one node, for all its cameras. Every method is thread-safe.

    steps:  how often the wall clock was set so far
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._last: Look | None = None
        self.steps = 0

    def __repr__(self) -> str:
        return f"<Clockwork {self.steps} steps {self._last}>"

    def counters(self) -> dict[str, int]:
        """What a node reports: nothing before the first step."""
        return {"clock_steps": self.steps} if self.steps else {}

    def look(self) -> Look:
        """Both clocks now."""
        with self._lock:
            before, now = self._last, looked(self._last, *self._read())
            self._last = now
            by_s = now.set_s - before.set_s if before is not None else 0.0
            self.steps += bool(by_s)
        if by_s:
            way = "forward" if by_s > 0 else "back"
            log.warning("the clock was set %s by %s", way, timedelta(seconds=round(abs(by_s), 3)))
        return now

    def _read(self) -> tuple[int, float]:
        """Both clocks, as close together as can be had."""
        for _ in range(TRIES):
            before = self._clock.monotonic()
            wall_ns = self._clock.wall_ns()
            if self._clock.monotonic() - before <= AT_ONCE_S:
                break
        return wall_ns, before


class Steps:
    """What the frames of one camera say of its node's clock. For one thread at a time."""

    def __init__(self, clockwork: Clockwork) -> None:
        self._clockwork = clockwork
        self._set_s: float | None = None
        self._step: Step | None = None
        self._until = 0.0

    def look(self, seq: int) -> tuple[int, Step | None]:
        """The wall clock, as of which the frame `seq` is captured, and the step that it is to tell of."""
        now = self._clockwork.look()
        if self._set_s is not None and now.set_s != self._set_s:
            self._step = Step(round(now.set_s - self._set_s, 3), seq)
            self._until = now.at + TOLD_S
        self._set_s = now.set_s
        if self._step is not None and now.at >= self._until:
            self._step = None
        return now.wall_ns, self._step
