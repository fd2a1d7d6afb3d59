"""When a process that ended is started again. Pure: time is passed in."""

from dataclasses import dataclass, field

from mesh.backoff import Backoff

FIRST_S = 1.0
MOST_S = 30.0
STEADY_S = 60.0  # what ran for so long begins with short waits again


@dataclass(slots=True)
class Restarts:
    """Of one process. `failures` in a row; it is due `at`, a time of the monotonic clock."""

    backoff: Backoff = field(default_factory=lambda: Backoff(FIRST_S, MOST_S))
    failures: int = 0
    at: float | None = None

    def ended(self, right: bool, ran_s: float, now: float) -> float | None:
        """It ended by itself. In how many seconds it starts again; None where it was right to end."""
        if right:
            self.failures, self.at = 0, None
            self.backoff.reset()
            return None
        if ran_s >= STEADY_S:
            self.failures = 0
            self.backoff.reset()
        self.failures += 1
        wait = self.backoff.next()
        self.at = now + wait
        return wait

    def due(self, now: float) -> bool:
        """Whether it is to be started again now. Says so once."""
        if self.at is None or now < self.at:
            return False
        self.at = None
        return True
