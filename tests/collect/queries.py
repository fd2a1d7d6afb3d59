"""What retention asks of an index takes, by its size: `python -m tests.collect.queries [SEGMENTS…]`.

Segments of a minute, of twenty cameras at 25 fps; 6,667 are ten million frames, 864,000 are thirty days.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from mesh.recordings.index import Index, Listed, SegmentRow
from mesh.recordings.kept import Kept
from mesh.recordings.limits import Free, Keep, Limits
from nodes.collect.retention import Disk, Stored, Used, decide

CAMERAS = 20
MINUTE_NS = 60 * 1_000_000_000
FRAMES, SIZE = 1500, 9_000_000
TURN = 20_000
BATCH = 64


def segment(number: int) -> Listed:
    minute, camera = number // CAMERAS, f"camera-{number % CAMERAS:02}"
    first_ns = minute * MINUTE_NS + 1
    path = f"{camera}/2026-01-01/{minute:08}-raw.mkv"
    row = SegmentRow(path, "raw", camera, 1, False, FRAMES, 0, first_ns, first_ns + MINUTE_NS - 1, SIZE)
    return Listed(row)


def median_ms(what: Callable[[], object], times: int = 15) -> float:
    took = []
    for _ in range(times):
        begun = time.perf_counter()
        what()
        took.append(1000 * (time.perf_counter() - begun))
    return statistics.median(took)


def measure(into: Path, segments: int) -> dict[str, float]:
    """Milliseconds, medians: bytes by camera, the decision of a pass in which 64 go, and their rows' end."""
    index = Index(into)
    for start in range(0, segments, TURN):
        index.write(map(segment, range(start, min(segments, start + TURN))))
    kept = Kept(into)
    keep = Keep(Limits(days=10_000, bytes=(segments - BATCH) * SIZE), {}, Free(share=0.1))

    def look() -> int:
        def oldest(camera: str) -> Iterator[Stored]:
            return (Stored(path, camera, at, size) for path, at, size in kept.oldest(camera))

        used = {camera: Used(size) for camera, size in kept.bytes(opened=False).items()}
        now_ns = segments // CAMERAS * MINUTE_NS
        return len(decide(used, oldest, keep, Disk(10**12, 10**12), now_ns).remove)

    assert look() == BATCH
    figures = {"bytes": median_ms(lambda: kept.bytes(opened=False)), "look": median_ms(look)}
    going = (path for path, _, _ in kept.oldest("camera-03"))
    figures["remove 64 rows"] = median_ms(lambda: kept.remove(list(islice(going, BATCH))), 5)
    kept.close()
    index.close()
    return figures


if __name__ == "__main__":
    for wanted in map(int, sys.argv[1:] or ("6667", "864000")):
        with tempfile.TemporaryDirectory() as folder:
            told = ", ".join(f"{name} {ms:.1f} ms" for name, ms in measure(Path(folder), wanted).items())
        sys.stdout.write(f"{wanted} segments: {told}\n")
