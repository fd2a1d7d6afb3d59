"""What a segment holds, as the index tells it: times, events and gaps; and what lines say of events. Pure.

Rules kept here: all of it follows from the segment's own frames, in the order in which they stand in it, and
from nothing else: whoever reads its lines again comes to the same, and what goes with a segment is known.

An event is a stretch in which something of one label, found by one processor, was seen again and again; a gap
is one in which no frame was taken. Both end with their segment: who lists them joins what touches. A step of
the camera's clock is an event, too (`mesh.steps`).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

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


class Sightings:
    """What was seen in a segment so far: which sight begins an event, and to which one another belongs."""

    def __init__(self) -> None:
        self._going_on: dict[tuple[str, str], tuple[int, int]] = {}  # of each label the newest: first, last

    def begun_ns(self, captured_ns: int, label: str, by: str) -> int:
        """When the event began that a sight belongs to: then, or before."""
        first_ns, last_ns = self._going_on.get((label, by), (captured_ns, captured_ns))
        return captured_ns if captured_ns - last_ns > EVENT_GAP_NS else first_ns

    def see(self, captured_ns: int, label: str, by: str) -> int:
        """Take in a sight; when its event began."""
        first_ns = self.begun_ns(captured_ns, label, by)
        _, last_ns = self._going_on.get((label, by), (captured_ns, captured_ns))
        self._going_on[label, by] = first_ns, max(last_ns, captured_ns)
        return first_ns


class Contents:
    """Of the frames that were added so far.

    skipped_ns:  when the first of those was captured that were left out by choice just before these; 0: none
                 were
    """

    def __init__(self) -> None:
        self.frames = self.late = 0
        self.first_ns = self.last_ns = 0
        self.skipped_ns = 0
        self.events: list[Event] = []
        self.gaps: list[Gap] = []
        self._sightings = Sightings()
        self._newest: dict[tuple[str, str], int] = {}  # where in `events` the newest of each label stands
        self._interval_ns = 0

    def __repr__(self) -> str:
        return f"<Contents {self.frames} frames, {len(self.events)} events, {len(self.gaps)} gaps>"

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
        first_ns = self._sightings.see(captured_ns, label, by)
        at = self._newest.get((label, by))
        if at is None or self.events[at].first_ns != first_ns:
            self._newest[label, by] = len(self.events)
            self.events.append(Event(label, by, captured_ns, captured_ns, 1, score))
            return
        event = self.events[at]
        again = captured_ns == event.last_ns  # several in one frame
        self.events[at] = replace(
            event,
            last_ns=max(event.last_ns, captured_ns),
            frames=event.frames + (not again),
            best=better(event.best, score),
        )


def better(one: float | None, other: float | None) -> float | None:
    """The higher of two scores, of which either may not be there."""
    return other if one is None else one if other is None else max(one, other)
