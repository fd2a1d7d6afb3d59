"""How much each member of a group shall have: by what it could do, as measured, slowly. Pure.

Rules kept here: a member tells a new capacity only once it has been clearly another for a while, in steps of
half an octave, so that noise moves nothing; what swings because the members slow one another down, on shared
cores, comes to rest; a member that is given no work does not stay what it was measured at; what nobody has
measured yet counts as the middle of the others; the slowest gets a sixteenth of the fastest at least; weights
are proportions, so that who comes or goes changes nobody else's.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

STEPS = 2  # of a capacity, in an octave
MOST = 16.0  # times the least weight
MOST_SWINGS = 4


@dataclass(frozen=True, slots=True)
class Slowness:
    """How slowly a capacity follows.

    look_s:       at most so often is a new measurement taken in, in seconds
    smoothing_s:  the time over which measurements are averaged (exponentially)
    settle_s:     for so long it must have been another before it is told
    frames:       as many frames must have been measured before anything is told
    margin:       how far beyond the middle between two steps it must be, in steps
    swing_s:      a change back within so long is a swing: it goes half the way, and adds a step to the margin
    calm_s:       after which without a change the margin is what it was
    idle_s:       after which without a frame the capacity is not known any more; twice as long each time that
                  it is measured again and is no better, for who has no work because it is slow
    most_idle_s:  at most so long
    """

    look_s: float = 1.0
    smoothing_s: float = 10.0
    settle_s: float = 5.0
    frames: int = 20
    margin: float = 0.25
    swing_s: float = 60.0
    calm_s: float = 600.0
    idle_s: float = 60.0
    most_idle_s: float = 3600.0


SLOWNESS = Slowness()


class CapacityReport:
    """What one member tells of itself: frames a second that it could take. Not thread-safe.

    workers:  how many frames it works on at the same time
    """

    def __init__(self, workers: int, slowness: Slowness = SLOWNESS) -> None:
        self._workers = workers
        self._slowness = slowness
        self._looked_at: float | None = None
        self._frames, self._busy_s = 0, 0.0  # at the last look
        self._measured = 0  # frames, since it was last not known
        self._mean_s: float | None = None
        self._step: int | None = None
        self._off_since: float | None = None
        self._changed: tuple[bool, float] | None = None  # whether it rose the last time, and when
        self._swings = 0
        self._idle_s = slowness.idle_s
        self._forgot: int | None = None

    def __repr__(self) -> str:
        return f"<CapacityReport {self.capacity:g} frames/s, {self._mean_s or 0.0:.6f} s a frame>"

    @property
    def capacity(self) -> float:
        """What is told now; 0 while it is not known."""
        return 0.0 if self._step is None else round(2.0 ** (self._step / STEPS), 3)

    def look(self, frames: int, busy_s: float, now: float) -> float:
        """What to tell, after so many frames and so many seconds of work, in all, at the time `now`."""
        slow = self._slowness
        if self._looked_at is None:
            self._looked_at = now
        if frames - self._frames < 1 and now - self._looked_at >= self._idle_s:
            self._forget()
        if now - self._looked_at < slow.look_s or frames - self._frames < 1:
            return self.capacity
        mean_s = max(1e-6, (busy_s - self._busy_s) / (frames - self._frames))
        share = 1 - math.exp(-(now - self._looked_at) / slow.smoothing_s)
        self._mean_s = mean_s if self._mean_s is None else self._mean_s + share * (mean_s - self._mean_s)
        self._measured += frames - self._frames
        self._looked_at, self._frames, self._busy_s = now, frames, busy_s
        if self._measured >= slow.frames:
            self._judge(STEPS * math.log2(self._workers / self._mean_s), now)
        return self.capacity

    def _judge(self, steps: float, now: float) -> None:
        """Tell a new capacity once it has been off for long enough."""
        if self._changed is not None and now - self._changed[1] >= self._slowness.calm_s:
            self._swings = 0
        margin = 0.5 + self._slowness.margin + self._swings
        if self._step is not None and abs(steps - self._step) <= margin:
            self._off_since = None
            return
        if self._off_since is None:
            self._off_since = now
        if now - self._off_since >= self._slowness.settle_s:
            self._tell(steps, now)

    def _tell(self, steps: float, now: float) -> None:
        before, self._off_since = self._step, None
        if before is None:
            self._step = round(steps)
            return
        rose, last = steps > before, self._changed
        if last is not None and last[0] != rose and now - last[1] < self._slowness.swing_s:
            self._swings = min(self._swings + 1, MOST_SWINGS)
            steps = (steps + before) / 2
        self._step, self._changed = round(steps), (rose, now)

    def _forget(self) -> None:
        """What it could do is not known any more: the weight of the middle brings work that shows."""
        if self._step is None:
            return
        faster = self._forgot is not None and self._step > self._forgot + 1
        self._idle_s = self._slowness.idle_s if faster else min(2 * self._idle_s, self._slowness.most_idle_s)
        self._forgot, self._step, self._off_since = self._step, None, None
        self._mean_s, self._measured = None, 0


def weights(capacities: Mapping[str, float], fixed: Mapping[str, float]) -> dict[str, float]:
    """Each member's weight, from what it tells (`capacities`, in frames a second; 0 is not known) and what
    its operator has `fixed` (0: nothing; 1 is a member in the middle)."""
    known = [capacity for capacity in capacities.values() if capacity > 0]
    middle = median(known) if known else 1.0
    wanted = {
        member: fixed.get(member, 0.0) or (capacity / middle if capacity > 0 else 1.0)
        for member, capacity in capacities.items()
    }
    least = max(wanted.values(), default=1.0) / MOST
    return {member: weight if fixed.get(member) else max(weight, least) for member, weight in wanted.items()}
