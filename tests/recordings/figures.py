"""How long questions to a large index take: python -m tests.recordings.figures [MILLIONS OF FRAMES]

Ten cameras at 10 frames a second, in segments of 600 frames, with events and gaps; ten million frames unless
told otherwise, which are 16,667 segments. Each question is asked of a catalog that was opened anew, so the
first one pays for a cold cache of SQLite's, not of the disk's; the median of eleven is shown.
"""

import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter

from mesh.recordings.catalog import Catalog
from mesh.recordings.contents import Event, Gap
from mesh.recordings.index import Index, Listed, SegmentRow
from mesh.recordings.query import Query

CAMERAS, FRAMES, SECOND = 10, 600, 1_000_000_000
LENGTH_NS, FIRST_NS = 60 * SECOND, 1_792_000_000 * SECOND
LABELS = ("person", "car", "dog", "bicycle")
TIMES = 11


def listed(random: Random, camera: int, number: int) -> Listed:
    """A segment of a minute, in which something is seen three times, and every tenth a gap."""
    begin = FIRST_NS + number * LENGTH_NS
    end = begin + LENGTH_NS - SECOND // 10
    path = f"c{camera}/{number // 1440:04}/{number:09}-motion.mkv"
    row = SegmentRow(path, "motion", f"c{camera}", 7, False, FRAMES, 0, begin, end, 20_000_000)
    events = [_event(random, begin, label) for label in random.sample(LABELS, 3)]
    gaps = [Gap(begin + 20 * SECOND, begin + 30 * SECOND)] if number % 10 == 0 else []
    return Listed(row, tuple(events), tuple(gaps))


def _event(random: Random, begin: int, label: str) -> Event:
    at = begin + random.randrange(50) * SECOND
    return Event(label, "detector", at, at + 5 * SECOND, 50, round(random.random(), 3))


def fill(into: Path, segments: int) -> None:
    random = Random(1)
    index = Index(into)
    for start in range(0, segments // CAMERAS + 1, 500):
        numbers = range(start, min(start + 500, segments // CAMERAS + 1))
        index.write(listed(random, camera, number) for number in numbers for camera in range(CAMERAS))
    index.close()


def questions(last_ns: int) -> Iterator[tuple[str, Callable[[Catalog], object]]]:
    recent, hour = last_ns - 2 * 3600 * SECOND, 3600 * SECOND
    middle = (FIRST_NS + last_ns) // 2
    one = Query(cameras=("c3",))
    yield "list, a camera's last two hours", lambda c: c.segments(Query(("c3",), from_ns=recent))
    yield (
        "list, a camera's last two hours with a person",
        lambda c: c.segments(Query(("c3",), from_ns=recent, labels=("person",), min_score=0.5)),
    )
    yield "list, everything", lambda c: c.segments()
    yield "events, an hour, all cameras", lambda c: c.events(Query(from_ns=middle, to_ns=middle + hour))
    yield (
        "events, a label, a day",
        lambda c: c.events(
            Query(from_ns=middle, to_ns=middle + 24 * hour, labels=("person",), min_score=0.5)
        ),
    )
    yield "events, everything", lambda c: c.events()
    yield "seek, a moment of a camera", lambda c: c.segments(Query(("c3",), from_ns=middle, to_ns=middle + 1))
    yield "gaps, a camera's last two hours", lambda c: c.gaps(Query(("c3",), from_ns=recent))
    yield "gaps, a camera", lambda c: c.gaps(one)
    yield "totals", lambda c: c.totals()


def timed(into: Path, ask: Callable[[Catalog], object]) -> float:
    """Milliseconds, with opening the index."""
    begun = perf_counter()
    with Catalog(into) as catalog:
        ask(catalog)
    return (perf_counter() - begun) * 1000


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def main() -> None:
    segments = round(float(sys.argv[1] if sys.argv[1:] else 10) * 1_000_000 / FRAMES)
    with tempfile.TemporaryDirectory() as folder:
        into = Path(folder)
        fill(into, segments)
        with Catalog(into) as catalog:
            (last_ns,) = {max(total.last_ns for total in catalog.totals())}
            count = sum(total.segments for total in catalog.totals())
        size = (into / "index.db").stat().st_size
        say(f"{count} segments, {count * FRAMES / 1e6:.1f} million frames, index of {size / 1e6:.1f} MB")
        for name, ask in questions(last_ns):
            say(f"{median(timed(into, ask) for _ in range(TIMES)):9.2f} ms  {name}")


if __name__ == "__main__":
    main()
