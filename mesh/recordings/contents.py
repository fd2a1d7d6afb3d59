"""What a segment holds, as the index tells it: times, events and gaps; and what lines say of events. Pure.

Rules kept here: all of it follows from the segment's own frames, in the order in which they stand in it, and
from nothing else: whoever reads its lines again comes to the same, and what goes with a segment is known.

An event is a stretch in which something of one label, found by one processor, was seen again and again; a gap
is one in which no frame was taken. Both end with their segment: who lists them joins what touches. A step of
the camera's clock is an event, too (`mesh.steps`).
"""

from collections.abc import Iterable
from dataclasses import dataclass

EVENT_GAP_NS = 5_000_000_000  # what is not seen for longer has gone
GAP_NS = 5_000_000_000  # the least that is a gap
SLOW = 3  # of a camera that is slower, a gap is so many of its intervals

Found = tuple[str, str, float | None]  # label, by whom, score


@dataclass(frozen=True, slots=True)
class Event:
    """`frames` in which a label was seen from `first_ns` to `last_ns` (capture times); its `best` score."""

    label: str
    by: str
    first_ns: int
    last_ns: int
    frames: int
    best: float | None


@dataclass(frozen=True, slots=True)
class Gap:
    """No frame from `first_ns`, when one was taken last, to `last_ns`, when one was taken again."""

    first_ns: int
    last_ns: int


Sights = dict[tuple[str, str], tuple[int, int]]  # by label and by whom: when its event began, and the newest


class Sightings:
    """What was seen in a segment so far: which sight begins an event, and to which one another belongs."""

    def __init__(self) -> None:
        self._newest: Sights = {}

    def look(self, captured_ns: int, found: Iterable[Found]) -> Sights:
        """What is seen in a frame, and when the events began that it belongs to: then, or before."""
        seen: Sights = {}
        for label, by, _ in found:
            before = self._newest.get((label, by))
            if before is None:
                seen[label, by] = captured_ns, captured_ns
            else:
                first_ns, last_ns = before
                begun_ns = first_ns if _goes_on(last_ns, captured_ns) else captured_ns
                seen[label, by] = begun_ns, max(last_ns, captured_ns)
        return seen

    def take(self, seen: Sights) -> None:
        """A frame in which that was seen is recorded."""
        self._newest |= seen


def _goes_on(last_ns: int, captured_ns: int) -> bool:
    """Whether a sight belongs to the event that was seen last then."""
    return captured_ns - last_ns <= EVENT_GAP_NS


@dataclass(slots=True)
class _Running:
    """The newest event of a label, and its place among all; `told` is whether it stands there as it is."""

    at: int
    first_ns: int
    last_ns: int
    frames: int
    best: float | None
    told: bool = False

    def event(self, label: str, by: str) -> Event:
        self.told = True
        return Event(label, by, self.first_ns, self.last_ns, self.frames, self.best)


class Contents:
    """Of the frames that were added so far.

    skipped_ns:  when the first of those was captured that were left out by choice just before these; 0: none
                 were
    """

    def __init__(self) -> None:
        self.frames = self.late = 0
        self.first_ns = self.last_ns = 0
        self.skipped_ns = 0
        self.gaps: list[Gap] = []
        self._events: list[Event] = []
        self._running: dict[tuple[str, str], _Running] = {}
        self._interval_ns = 0

    def __repr__(self) -> str:
        return f"<Contents {self.frames} frames, {len(self._events)} events, {len(self.gaps)} gaps>"

    @property
    def events(self) -> tuple[Event, ...]:
        """In the order in which they began."""
        for (label, by), running in self._running.items():
            if not running.told:
                self._events[running.at] = running.event(label, by)
        return tuple(self._events)

    def add(self, captured_ns: int, found: Iterable[Found], *, late: bool, skipped_ns: int = 0) -> None:
        """The next frame, with what was found in it, and what was left out before it."""
        if self.frames:
            self._pass(captured_ns)
        else:
            self.first_ns = self.last_ns = captured_ns
            self.skipped_ns = skipped_ns
        self.frames += 1
        self.late += late
        for label, by, score in found:
            self._see(captured_ns, label, by, score)

    def _pass(self, captured_ns: int) -> None:
        since_ns = captured_ns - self.last_ns
        if since_ns > max(GAP_NS, SLOW * self._interval_ns) and self.frames > 1:
            self.gaps.append(Gap(self.last_ns, captured_ns))
        if since_ns > 0:
            self._interval_ns = since_ns
        self.first_ns = min(self.first_ns, captured_ns)
        self.last_ns = max(self.last_ns, captured_ns)

    def _see(self, captured_ns: int, label: str, by: str, score: float | None) -> None:
        running = self._running.get((label, by))
        if running is None or not _goes_on(running.last_ns, captured_ns):
            self._begin(captured_ns, label, by, score)
            return
        if captured_ns != running.last_ns:  # else it is another one in the same frame
            running.frames += 1
            running.last_ns = max(running.last_ns, captured_ns)
        running.best = better(running.best, score)
        running.told = False

    def _begin(self, captured_ns: int, label: str, by: str, score: float | None) -> None:
        if (before := self._running.get((label, by))) is not None:
            self._events[before.at] = before.event(label, by)
        running = _Running(len(self._events), captured_ns, captured_ns, 1, score)
        self._running[label, by] = running
        self._events.append(running.event(label, by))


def better(one: float | None, other: float | None) -> float | None:
    """The higher of two scores, of which either may not be there."""
    return other if one is None else one if other is None else max(one, other)
