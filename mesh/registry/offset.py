"""How far this node's wall clock is from the registry's, by Cristian's method (Cristian 1989).

Rules kept here: the registry read its clock somewhere between question and answer, so half the round trip
bounds the error, whichever way took longer; the best of the latest samples is the one with the smallest
bound, and a bound grows with age, as clocks drift (15 parts per million, as in RFC 5905); a sample that
contradicts the others says that a clock was set, and they are forgotten. One thread adds, any may ask. Pure.
"""

from dataclasses import dataclass

KEPT = 8
DRIFT = 15e-6


@dataclass(frozen=True, slots=True)
class Offset:
    """This clock less the registry's, in nanoseconds, give or take `error_ns`."""

    offset_ns: int
    error_ns: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One question and answer; `at` is when, in seconds of the monotonic clock."""

    offset_ns: int
    error_ns: float
    at: float

    def error_at(self, now: float) -> float:
        return self.error_ns + max(0.0, now - self.at) * DRIFT * 1e9

    def contradicts(self, other: "Sample") -> bool:
        now = max(self.at, other.at)
        return abs(self.offset_ns - other.offset_ns) > self.error_at(now) + other.error_at(now)


def sample(asked_ns: int, registry_ns: int, asked: float, answered: float) -> Sample:
    """From the wall clock when asked, the registry's answer, and the monotonic times around the two."""
    half_ns = (answered - asked) * 1e9 / 2
    return Sample(round(asked_ns + half_ns) - registry_ns, half_ns, answered)


class OffsetEstimate:
    """The best of the latest samples."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._samples: tuple[Sample, ...] = ()

    def __repr__(self) -> str:
        return f"<OffsetEstimate of {self._samples}>"

    def add(self, sample: Sample) -> None:
        agreeing = () if any(map(sample.contradicts, self._samples)) else self._samples
        self._samples = (*agreeing, sample)[-self._kept :]

    def best(self, now: float) -> Offset | None:
        """The offset at the monotonic time `now`; None before the first sample."""
        samples = self._samples
        if not samples:
            return None
        best = min(samples, key=lambda sample: sample.error_at(now))
        return Offset(best.offset_ns, round(best.error_at(now)))
