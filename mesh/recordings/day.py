"""What a folder holds of a camera's day: stretches that were recorded, gaps, and what was seen when.

Rules kept here: the index tells it where there is one; what it does not list, or still grows, is told by the
files' own lines, which come to the same; nothing reaches beyond the day; stretches that touch are one.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from mesh.errors import StorageError
from mesh.recordings import names
from mesh.recordings.contents import GAP_NS, Contents, Event, Gap
from mesh.recordings.index import Listed
from mesh.recordings.known import Known
from mesh.recordings.names import DAY_NS, begin_of, beside
from mesh.recordings.segments import SegmentReader

log = logging.getLogger(__name__)

Stretch = tuple[int, int]  # nanoseconds since the epoch, from and to


class _Holds(NamedTuple):
    """What a segment holds; see `Contents`."""

    frames: int
    first_ns: int
    last_ns: int
    skipped_ns: int
    events: Sequence[Event]
    gaps: Sequence[Gap]


@dataclass(frozen=True, slots=True)
class Day:
    """A camera's day: `seen` has the stretches of each label. All of them in order, and apart."""

    camera: str
    day: date
    recorded: tuple[Stretch, ...] = ()
    gaps: tuple[Stretch, ...] = ()
    seen: Mapping[str, tuple[Stretch, ...]] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """How much of it was recorded."""
        return sum(end - start for start, end in self.recorded) / 1e9


def day_of(root: Path, camera: str, day: date) -> Day:
    """A camera's day. Raises `StorageError` where the folder cannot be read."""
    recorded: list[Stretch] = []
    skipped = _left_out(root, camera)  # by choice, which is no gap
    seen: defaultdict[str, list[Stretch]] = defaultdict(list)
    for holds in _told(root, camera, day):
        recorded += _between_gaps(holds)
        skipped += [(holds.skipped_ns, holds.first_ns)] if holds.skipped_ns else []
        for event in holds.events:
            seen[event.label].append((event.first_ns, event.last_ns))
    whole = joined(recorded, day)
    gaps = tuple((before[1], after[0]) for before, after in pairwise(joined(recorded + skipped, day)))
    labels = {label: joined(stretches, day) for label, stretches in sorted(seen.items())}
    return Day(camera, day, whole, gaps, {label: each for label, each in labels.items() if each})


def joined(stretches: Iterable[Stretch], day: date) -> tuple[Stretch, ...]:
    """What of these lies within a day; those that are no gap apart are one. Pure."""
    begin = begin_of(day)
    made: list[Stretch] = []
    for start, end in sorted((max(start, begin), min(end, begin + DAY_NS)) for start, end in stretches):
        if start > end:
            continue
        if made and start - made[-1][1] <= GAP_NS:
            made[-1] = made[-1][0], max(made[-1][1], end)
        else:
            made.append((start, end))
    return tuple(made)


def _told(root: Path, camera: str, day: date) -> Iterator[_Holds]:
    """What each segment of a camera holds that may reach into a day."""
    for each in (beside(day, -1), day):
        known = _known(root, camera, each)
        for named in names.segments(root, camera, each):
            listed = known.get(str(named.path.relative_to(root)))
            if listed is not None and not listed.row.open:
                yield _as_listed(listed)
                continue
            try:
                yield _as_read(named.path)
            except StorageError as error:
                log.warning("%s is passed over: %s", named.path, error)


def _known(root: Path, camera: str, day: date) -> dict[str, Listed]:
    with suppress(StorageError), closing(Known(root)) as known:
        return known.contents(camera, day)
    return {}


def _left_out(root: Path, camera: str) -> list[Stretch]:
    with suppress(StorageError), closing(Known(root)) as known:
        return known.left_out(camera)
    return []


def _as_listed(listed: Listed) -> _Holds:
    row = listed.row
    return _Holds(row.frames, row.first_ns, row.last_ns, row.skipped_ns, listed.events, listed.gaps)


def _as_read(path: Path) -> _Holds:
    """What a segment's lines come to. Raises `StorageError`."""
    holds = Contents()
    with SegmentReader(path) as segment:
        for line in segment.lines():
            said = line.entry
            holds.add(said.captured_ns, said.found, late=said.late, skipped_ns=said.skipped_ns)
    times = holds.first_ns, holds.last_ns, holds.skipped_ns
    return _Holds(holds.frames, *times, holds.events, holds.gaps)


def _between_gaps(holds: _Holds) -> Iterator[Stretch]:
    """The stretches of a segment in which frames were taken."""
    start = holds.first_ns
    for gap in sorted(holds.gaps, key=lambda gap: gap.first_ns):
        yield start, gap.first_ns
        start = gap.last_ns
    if holds.frames:
        yield start, holds.last_ns
