"""How old frames were when a node was done with them: counts in buckets of half octaves, 1 ms to 65 s. Pure,
but for a tally that several threads add to.

Rules kept here: a frame costs one search and two additions; an age below nothing, as clocks that differ
give, lies in the first bucket and adds nothing to the sum; counts only grow, so that those between two looks
are the difference; ages that were measured by several clocks are corrected before they are put together.
"""

import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

# The greatest age of each bucket but the last, in seconds; the last one has all that is older.
BOUNDS_S = tuple(float(f"{0.001 * 2 ** (k / 2):.5g}") for k in range(33))
BOOTS_KEPT = 4

_BOUNDS_NS = tuple(round(bound * 1e9) for bound in BOUNDS_S)

Key = tuple[str, str, int]  # stage, camera, boot
Counts = Sequence[int]  # by bucket, without the empty ones at the end


@dataclass(frozen=True, slots=True)
class Ages:
    """Frames by their age, and the sum of all ages in seconds."""

    counts: tuple[int, ...] = ()
    sum_s: float = 0.0


def bucket(age_ns: int) -> int:
    """The bucket of an age: the first one whose bound is not below it."""
    return bisect_left(_BOUNDS_NS, age_ns)


def trimmed(counts: Counts) -> tuple[int, ...]:
    """Counts without the empty buckets at the end."""
    end = len(counts)
    while end and not counts[end - 1]:
        end -= 1
    return tuple(counts[:end])


def since(now: Counts, before: Counts) -> tuple[int, ...]:
    """What was counted between two looks."""
    return trimmed([max(0, a - b) for a, b in zip_longest(now, before, fillvalue=0)])


def added(several: Iterable[Counts]) -> tuple[int, ...]:
    """All counts together."""
    return tuple(map(sum, zip_longest(*several, fillvalue=0)))


def percentile(parts: Iterable[tuple[Counts, float]], percent: float) -> float | None:
    """The age in seconds that so many percent of the frames did not pass; None without frames.

    parts:  counts, and the seconds to add to each of their ages
    Within a bucket ages are taken to lie evenly; those of the last one are taken for its bound, and none is
    below 0.
    """
    jumps: dict[float, float] = defaultdict(float)  # frames of one age
    slopes: dict[float, float] = defaultdict(float)  # frames a second of age, from there on
    total = 0
    for counts, shift_s in parts:
        for index, n in enumerate(counts):
            low, high = (max(0.0, edge + shift_s) for edge in _edges(index))
            total += n
            if high > low:
                slopes[low] += n / (high - low)
                slopes[high] -= n / (high - low)
            else:
                jumps[low] += n
    return _swept(jumps, slopes, total * percent / 100) if total else None


def _edges(index: int) -> tuple[float, float]:
    """Between which ages a bucket lies."""
    return BOUNDS_S[index - 1] if index else 0.0, BOUNDS_S[min(index, len(BOUNDS_S) - 1)]


def _swept(jumps: dict[float, float], slopes: dict[float, float], wanted: float) -> float:
    """The least age that `wanted` frames did not pass."""
    passed, slope, at = 0.0, 0.0, 0.0
    for edge in sorted(jumps.keys() | slopes.keys()):
        gained = slope * (edge - at)
        if slope > 0 and passed + gained >= wanted:
            return at + (wanted - passed) / slope
        passed, at = passed + gained + jumps.get(edge, 0.0), edge
        if passed >= wanted > 0:
            return at
        slope += slopes.get(edge, 0.0)
    return at


class AgeTally:
    """The ages of frames by stage, camera and boot: the newest boots of each. Every method is thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[Key, list[int]] = {}
        self._sums_ns: dict[Key, int] = {}

    def __repr__(self) -> str:
        return f"<AgeTally of {len(self._counts)} streams>"

    def add(self, key: Key, age_ns: int) -> None:
        """A frame was of that age."""
        with self._lock:
            counts = self._counts.get(key)
            if counts is None:
                counts = self._begin(key)
            counts[bisect_left(_BOUNDS_NS, age_ns)] += 1
            if age_ns > 0:
                self._sums_ns[key] += age_ns

    def of(self, key: Key) -> Ages:
        """The ages of a stream's frames so far."""
        with self._lock:
            return Ages(trimmed(self._counts.get(key, ())), self._sums_ns.get(key, 0) / 1e9)

    def _begin(self, key: Key) -> list[int]:
        former = sorted(known for known in self._counts if known[:2] == key[:2])
        for old in former[: max(0, len(former) + 1 - BOOTS_KEPT)]:
            del self._counts[old], self._sums_ns[old]
        self._sums_ns[key] = 0
        counts = self._counts[key] = [0] * (len(BOUNDS_S) + 1)
        return counts
