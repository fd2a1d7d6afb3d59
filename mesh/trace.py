"""Where a camera's frames spend their time, hop by hop, from the hops that frames carry. Pure.

Rules kept here: a frame's time within a node is by that node's clock alone; a time between two machines is
corrected by both clocks' offsets to the registry, and is as uncertain as the two together; processes of one
machine share a clock, so theirs is neither corrected nor uncertain. The same frame seen at several stages
counts once for each leg of its way.
"""

import math
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mesh.frame import Frame

_Key = tuple[int, ...]  # a frame, and where two of it could differ: so that each counts once


@dataclass(frozen=True, slots=True)
class NodeClock:
    """A node's wall clock less the registry's, give or take `error_ns`; None where it is not known.

    machine:  whose clock it is; empty where that is not known
    """

    offset_ns: int | None = None
    error_ns: int | None = None
    machine: str = ""


@dataclass(frozen=True, slots=True)
class Leg:
    """A part of the way: within the node `to` where `origin` is empty, else from one node to the next."""

    origin: str
    to: str

    def __str__(self) -> str:
        return f"{self.origin} -> {self.to}" if self.origin else f"in {self.to}"


@dataclass(frozen=True, slots=True)
class Spread:
    """`n` durations in milliseconds. `error_ms`: give or take, as clocks differ; None where not known."""

    n: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    error_ms: float | None


@dataclass(frozen=True, slots=True)
class Traced:
    """What a trace found.

    legs:  in the order of the way
    ages:  by stage, and the frame's first and last node: the time since capture when it left the last one
    """

    legs: Mapping[Leg, Spread]
    ages: Mapping[tuple[str, str, str], Spread]


def between(origin: NodeClock, to: NodeClock) -> tuple[int, int | None]:
    """What to add to a time from the clock of `origin` to that of `to`, and how uncertain it is then."""
    if origin.machine and origin.machine == to.machine:
        return 0, 0
    if origin.offset_ns is None or to.offset_ns is None:
        return 0, None
    return origin.offset_ns - to.offset_ns, (origin.error_ns or 0) + (to.error_ns or 0)


def percentile(ordered: Sequence[int], percent: float) -> int:
    """The nearest-rank percentile of a sorted, non-empty sequence."""
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def spread(durations_ns: Iterable[int], shift_ns: int = 0, error_ns: int | None = 0) -> Spread:
    """The spread of durations (one at least), with `shift_ns` added to each."""
    ordered = sorted(duration + shift_ns for duration in durations_ns)
    p50, p95, p99 = (round(percentile(ordered, percent) / 1e6, 3) for percent in (50, 95, 99))
    return Spread(len(ordered), p50, p95, p99, None if error_ns is None else round(error_ns / 1e6, 3))


class Trace:
    """Gathers the hops of one camera's frames, from one thread; `traced` may be called from another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._legs: defaultdict[Leg, dict[_Key, int]] = defaultdict(dict)
        self._depths: dict[Leg, int] = {}
        self._ages: defaultdict[tuple[str, str, str], dict[_Key, int]] = defaultdict(dict)
        self.frames: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<Trace of {dict(self.frames)}>"

    def add(self, frame: Frame) -> None:
        """Take in a frame, as it arrived at the end of its way so far."""
        if not frame.hops:
            return
        with self._lock:
            self.frames[frame.stage] += 1
            for index, hop in enumerate(frame.hops):
                if index:
                    before = frame.hops[index - 1]
                    leg = Leg(before.node, hop.node)
                    self._note(leg, 2 * index - 1, frame, before.sent_ns, hop.received_ns)
                self._note(Leg("", hop.node), 2 * index, frame, hop.received_ns, hop.sent_ns)
            first, last = frame.hops[0], frame.hops[-1]
            key = (frame.boot, frame.seq, frame.part)
            self._ages[frame.stage, first.node, last.node][key] = last.sent_ns - frame.captured_ns

    def traced(self, clocks: Mapping[str, NodeClock]) -> Traced:
        """Where the frames spent their time. `clocks` by node; one that is missing is not known."""

        def corrected(origin: str, to: str, durations: Mapping[_Key, int]) -> Spread:
            ends = [clocks.get(node, NodeClock()) for node in (origin, to)]
            shift, error = between(*ends) if origin != to else (0, 0)
            return spread(durations.values(), shift, error)

        with self._lock:
            ordered = sorted(self._legs, key=lambda leg: (self._depths[leg], leg.origin, leg.to))
            legs = {leg: corrected(leg.origin or leg.to, leg.to, self._legs[leg]) for leg in ordered}
            ages = {
                (stage, first, last): corrected(first, last, ages)
                for (stage, first, last), ages in sorted(self._ages.items())
            }
        return Traced(legs, ages)

    def _note(self, leg: Leg, depth: int, frame: Frame, begin_ns: int, end_ns: int) -> None:
        self._depths[leg] = max(depth, self._depths.get(leg, 0))
        self._legs[leg][frame.boot, frame.seq, begin_ns, end_ns] = end_ns - begin_ns
