"""What is filled in late lies in its right place at the other site, beside what is live there."""

from itertools import pairwise
from pathlib import Path

from mesh import open_recordings
from mesh.recordings.index import Index, SegmentRow
from tests.collect.support import START_NS
from tests.collect.test_recording import recording
from tests.support.waiting import wait_for

HOUR_S = 3600
SECOND_NS = 1_000_000_000


def rows(into: Path, camera: str) -> list[SegmentRow]:
    index = Index(into)
    try:
        return [row for row in index.segments() if row.camera == camera]
    finally:
        index.close()


def test_an_hour_that_is_filled_in_beside_live_frames_ends_in_its_right_place(tmp_path: Path) -> None:
    """Camera `front` was away for an hour: ten frames a minute come now, in order, while `gate` is live."""
    with recording(tmp_path, segment_seconds=60) as bench:
        for minute in range(60):
            for number in range(10):
                seq = minute * 10 + number
                at_ns = START_NS - HOUR_S * SECOND_NS + (minute * 60 + number * 6) * SECOND_NS
                bench.push(seq, captured_ns=at_ns)
            bench.push(minute, camera="gate", run=2)
        bench.push(600)  # and it goes on live
        wait_for(lambda: bench.count()[0] == 601 and bench.count("gate")[0] == 60)
    front = rows(tmp_path, "front")
    assert [row.frames for row in front] == [10] * 60 + [1]
    assert not any(row.late for row in front)
    assert all(a.last_ns < b.first_ns for a, b in pairwise(front)), "paths sort as times do"
    assert [row.first_ns for row in front[:2]] == [START_NS - 3600 * SECOND_NS, START_NS - 3540 * SECOND_NS]
    assert sum(row.frames for row in rows(tmp_path, "gate")) == 60
    with open_recordings(tmp_path) as recordings:
        hour_ago = [f.seq for f in recordings.frames("front", START_NS - 1800 * SECOND_NS, START_NS)]
        assert hour_ago == list(range(300, 600))
        assert [f.seq for f in recordings.frames("front")] == list(range(601))
