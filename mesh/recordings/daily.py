"""What was recorded of each stream on each day (UTC). Pure.

Rules kept here: a segment's frames and bytes, and an event, belong to the day on which they began; seconds
are those of the day itself, and of the time that was asked for.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from mesh.recordings.index import SegmentRow
from mesh.recordings.query import Occurrence, Query
from mesh.recordings.spans import Span, clipped
from mesh.recordings.times import DAY_NS, SECOND_NS, day_of

Stream = tuple[str, str]
Key = tuple[str, str, int]  # camera, stage, when the day begins


@dataclass(slots=True)
class Day:
    """A stream's day: seconds of it in which frames came, and of how many that could be."""

    camera: str
    stage: str
    at_ns: int
    segments: int = 0
    frames: int = 0
    bytes: int = 0
    seconds: float = 0.0
    of_seconds: float = 0.0
    events: Counter[str] = field(default_factory=Counter)

    @property
    def coverage(self) -> float:
        """In percent."""
        return min(100.0, 100 * self.seconds / self.of_seconds) if self.of_seconds > 0 else 0.0


def daily(
    rows: Iterable[SegmentRow],
    spans: Mapping[Stream, Sequence[Span]],
    events: Iterable[Occurrence],
    query: Query,
    now_ns: int,
) -> list[Day]:
    """A line for each stream and day of which there is something, in order."""
    days: dict[Key, Day] = {}

    def day(camera: str, stage: str, at_ns: int) -> Day:
        key = camera, stage, day_of(at_ns)
        return days.setdefault(key, Day(*key))

    for row in rows:
        that = day(row.camera, row.stage, row.first_ns)
        that.segments, that.frames, that.bytes = (
            that.segments + 1,
            that.frames + row.frames,
            that.bytes + row.bytes,
        )
    for (camera, stage), held in spans.items():
        for part in _by_day(clipped(held, query.from_ns, query.to_ns)):
            day(camera, stage, part.first_ns).seconds += (part.last_ns - part.first_ns) / SECOND_NS
    for event in events:
        day(event.camera, event.stage, event.first_ns).events[event.label] += 1
    for that in days.values():
        begin, end = max(that.at_ns, query.from_ns), min(that.at_ns + DAY_NS, query.to_ns, now_ns)
        that.of_seconds = max(0, end - begin) / SECOND_NS
    return [days[key] for key in sorted(days)]


def _by_day(spans: Iterable[Span]) -> Iterator[Span]:
    for span in spans:
        while day_of(span.first_ns) != day_of(span.last_ns):
            midnight = day_of(span.first_ns) + DAY_NS
            yield span._replace(last_ns=midnight)
            span = span._replace(first_ns=midnight)
        yield span
