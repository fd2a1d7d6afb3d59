"""A folder is kept within its limits: real files, a real index, and whoever is killed in between."""

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mesh.frame import Detection
from mesh.recordings.index import Index, SegmentRow
from mesh.recordings.kept import Kept
from mesh.recordings.limits import DAY_NS, Free, Keep, Limits
from mesh.scope import Scope
from nodes.collect.keeping import Keeper, disk_of
from nodes.collect.recorder import Recorder
from nodes.collect.recovery import recover
from nodes.collect.removal import lock_of
from nodes.collect.retention import STEADY_S, Disk
from tests.collect.support import START_NS, make, segments
from tests.collect.test_recording import recording, seqs
from tests.support.clock import ManualClock
from tests.support.disks import fill, mounted, remount
from tests.support.waiting import wait_for

NEVER = threading.Event()
SECOND_NS = 1_000_000_000
STREAM = "raw", "front", 7
LARGE = (384, 256)


def recorded(into: Path, days: int, frames: int = 3, **changes: object) -> list[str]:
    """A segment a day, the newest at START_NS; their paths, the oldest first."""
    with Recorder(into) as recorder:
        for day in range(days):
            begins_ns = START_NS - (days - 1 - day) * DAY_NS
            for number in range(frames):
                person = (Detection("person", 0.5, (1, 2, 3, 4)),)
                seq = day * frames + number
                frame = make(seq, captured_ns=begins_ns + number * SECOND_NS, detections=person, **changes)
                recorder.write(frame, late=number == 1)
    found = recover(into)
    found.index.close()
    return [row.path for row in rows(into) if row.camera == changes.get("camera", "front")]


def rows(into: Path) -> list[SegmentRow]:
    index = Index(into)
    try:
        return index.segments()
    finally:
        index.close()


def table(into: Path, name: str) -> int:
    index = Index(into)
    try:
        return int(index._db.execute(f"SELECT COUNT(*) FROM {name}").fetchone()[0])
    finally:
        index.close()


def count(into: Path) -> tuple[int, int]:
    """What a collector that starts there counts: recorded and late."""
    found = recover(into)
    found.index.close()
    return found.streams[STREAM].recorded, found.streams[STREAM].late


def at(ns: int) -> ManualClock:
    clock = ManualClock()
    clock.set_wall_ns(ns)
    return clock


Keepers = Callable[..., Keeper]


@pytest.fixture
def keeper() -> Iterator[Keepers]:
    """Makes keepers whose clock is set to a moment; all are closed at the end."""
    made: list[Keeper] = []

    def make_one(
        into: Path, keep: Keep, unwell: Callable[[str], None] = print, now_ns: int = START_NS + SECOND_NS
    ) -> Keeper:
        made.append(Keeper(into, keep, unwell, clock=at(now_ns)))
        return made[-1]

    yield make_one
    for each in made:
        each.close()


def files(into: Path) -> list[str]:
    return sorted(str(path.relative_to(into)) for path in into.rglob("*") if "index" not in path.name)


def test_what_is_too_old_goes_with_its_row_its_files_and_its_folder(tmp_path: Path, keeper: Keepers) -> None:
    paths = recorded(tmp_path, 5)
    assert count(tmp_path) == (15, 5)
    assert table(tmp_path, "events") == 5
    one = keeper(tmp_path, Keep(Limits(days=2.5)))
    one.look(NEVER)
    assert [row.path for row in rows(tmp_path)] == paths[2:]
    assert {path.parent.name for path in tmp_path.rglob("*.mkv")} == {
        path.name for path in (tmp_path / "front").iterdir()
    }
    assert len(files(tmp_path)) == 1 + 3 * 3
    assert (table(tmp_path, "events"), table(tmp_path, "removing")) == (3, 0)
    assert one.counters.get("removed_segments") == 2
    assert one.counters.get("removed_bytes") > 2 * 3 * len(make().payload)
    assert count(tmp_path) == (15, 5), "what was recorded does not shrink"


def test_a_camera_that_has_nothing_left_has_no_folder(tmp_path: Path, keeper: Keepers) -> None:
    recorded(tmp_path, 3)
    keeper(tmp_path, Keep(Limits(days=3)), now_ns=START_NS + 40 * DAY_NS).look(NEVER)
    assert len(files(tmp_path)) == 3 * 3 + 1, "a clock that leapt makes nothing too old"
    clock = at(START_NS + 40 * DAY_NS)
    patient = Keeper(tmp_path, Keep(Limits(days=3)), print, clock=clock)
    patient.look(NEVER)
    clock.advance(STEADY_S)
    patient.look(NEVER)
    patient.close()
    assert files(tmp_path) == []
    assert count(tmp_path) == (9, 3)


def test_a_restart_does_not_make_a_clock_believed_that_leapt(tmp_path: Path, keeper: Keepers) -> None:
    recorded(tmp_path, 2)
    keep = Keep(Limits(days=3))
    keeper(tmp_path, keep).look(NEVER)
    for _ in range(3):
        keeper(tmp_path, keep, now_ns=START_NS + 9 * DAY_NS).look(NEVER)
    assert len(rows(tmp_path)) == 2
    keeper(tmp_path, keep, now_ns=START_NS + SECOND_NS).look(NEVER)
    assert len(rows(tmp_path)) == 2


def test_a_collector_whose_clock_is_behind_until_it_is_set_removes_nothing_too_soon(tmp_path: Path) -> None:
    """One without a battery says 1970 after a power cut; then all there is has times in the future."""
    recorded(tmp_path, 2)
    clock = at(SECOND_NS)
    one = Keeper(tmp_path, Keep(Limits(days=3)), print, clock=clock)
    one.look(NEVER)
    assert table(tmp_path, "ahead") == 2
    clock.set_wall_ns(START_NS + DAY_NS)
    for _ in range(2):
        one.look(NEVER)
        clock.advance(STEADY_S)
    one.look(NEVER)
    one.close()
    assert (len(rows(tmp_path)), table(tmp_path, "ahead")) == (2, 0)


@pytest.mark.parametrize("years", [0.003, 70])
def test_what_a_clock_in_the_future_recorded_goes_in_its_turn_and_not_before(
    tmp_path: Path, keeper: Keepers, years: float
) -> None:
    """A clock is set forward by a day, or by much, for as long as one segment takes, and put right again."""
    ahead_ns = START_NS + int(years * 365 * DAY_NS)
    with Recorder(tmp_path) as recorder:
        recorder.write(make(0, captured_ns=ahead_ns))
        recorder.write(make(1, captured_ns=START_NS + SECOND_NS))
    recover(tmp_path).index.close()
    keep = Keep(Limits(days=2))
    clock = at(START_NS + 10 * SECOND_NS)
    one = Keeper(tmp_path, keep, print, clock=clock)
    one.look(NEVER)
    assert len(rows(tmp_path)) == 2, "what is new does not go by its time"
    for day in range(1, 5):
        with Recorder(tmp_path) as recorder:
            recorder.write(make(day + 1, captured_ns=START_NS + day * DAY_NS))
        recover(tmp_path).index.close()
        clock.advance(DAY_NS / 1e9)
        one.look(NEVER)
    left = [row.last_ns for row in rows(tmp_path)]
    assert left == [START_NS + day * DAY_NS for day in (3, 4)]
    assert table(tmp_path, "ahead") <= 1  # what is gone is forgotten when it is looked next
    one.look(NEVER)
    assert table(tmp_path, "ahead") == 0
    one.close()


def test_of_a_limit_of_bytes_too_the_first_goes_first_whatever_its_clock_said(
    tmp_path: Path, keeper: Keepers
) -> None:
    with Recorder(tmp_path) as recorder:
        recorder.write(make(0, captured_ns=START_NS + 9 * DAY_NS))
    recover(tmp_path).index.close()
    keeper(tmp_path, Keep(Limits(days=999))).look(NEVER)
    (first,) = rows(tmp_path)
    with Recorder(tmp_path) as recorder:
        recorder.write(make(1, captured_ns=START_NS + 60 * SECOND_NS))
    recover(tmp_path).index.close()
    keep = Keep(Limits(bytes=first.bytes + 1000))
    keeper(tmp_path, keep, now_ns=START_NS + 120 * SECOND_NS).look(NEVER)
    assert [row.last_ns for row in rows(tmp_path)] == [START_NS + 60 * SECOND_NS]


def test_what_is_locked_stays_and_a_limit_that_it_passes_is_told_until_it_is_unlocked(
    tmp_path: Path, keeper: Keepers
) -> None:
    paths = recorded(tmp_path, 4)
    size = rows(tmp_path)[0].bytes
    for path in paths[:2]:
        lock_of(tmp_path, path).touch()
    told: list[str] = []
    one = keeper(tmp_path, Keep(Limits(bytes=size)), told.append)
    one.look(NEVER)
    one.look(NEVER)
    assert [row.path for row in rows(tmp_path)] == paths
    assert len(told) == 1
    assert "what is locked takes more: unlock some, or allow more" in told[0]
    lock_of(tmp_path, paths[0]).unlink()
    keeper(tmp_path, Keep(Limits(days=0.9)), told.append).look(NEVER)
    assert [row.path for row in rows(tmp_path)] == [paths[1], paths[3]], "by age what is not locked goes"
    lock_of(tmp_path, paths[1]).unlink()
    one.look(NEVER)
    assert told[1:] == [""]
    assert [row.path for row in rows(tmp_path)] == paths[3:]


@pytest.mark.parametrize("done", ["row", "row, video", "row, files", "files"])
def test_who_is_killed_in_between_finds_what_was_to_go(tmp_path: Path, done: str) -> None:
    paths = recorded(tmp_path, 3)
    if "row" in done:
        kept = Kept(tmp_path)
        kept.remove(paths[:1])
        kept.close()
    if "video" in done or "files" in done:
        (tmp_path / paths[0]).unlink()
    if "files" in done:
        (tmp_path / paths[0]).with_suffix(".jsonl").unlink()
    expected = (9, 3) if "row" in done else (6, 2)  # files that somebody removed are forgotten
    assert count(tmp_path) == expected
    assert count(tmp_path) == expected
    assert [row.path for row in rows(tmp_path)] == paths[1:]
    assert str(tmp_path / paths[0]) not in map(str, segments(tmp_path))
    assert not (tmp_path / "quarantine").exists()
    assert table(tmp_path, "removing") == 0


def test_a_new_recording_of_that_name_is_none_that_was_to_go(tmp_path: Path) -> None:
    (path,) = recorded(tmp_path, 1)
    kept = Kept(tmp_path)
    kept.remove([path])
    kept.close()
    index = Index(tmp_path)
    index.write([])  # as who records goes on
    index.close()
    for file in (tmp_path / path, (tmp_path / path).with_suffix(".jsonl")):
        file.unlink()
    with Recorder(tmp_path) as recorder:
        recorder.write(make(0))
        done = recorder.commit()
        index = Index(tmp_path)
        index.write(done.segments)
        index.close()
    assert [row.path for row in rows(tmp_path)] == [path]
    assert count(tmp_path) == (3 + 1, 1)


def test_without_its_index_what_was_to_go_is_a_recording_again(tmp_path: Path, keeper: Keepers) -> None:
    paths = recorded(tmp_path, 3)
    kept = Kept(tmp_path)
    kept.remove(paths[:1])
    kept.close()
    for file in tmp_path.glob("index.db*"):
        file.unlink()
    assert count(tmp_path) == (9, 3)
    keeper(tmp_path, Keep(Limits(days=1.5))).look(NEVER)
    assert [row.path for row in rows(tmp_path)] == paths[1:]


def test_recording_goes_on_while_the_disk_does_not_say_what_is_free(tmp_path: Path) -> None:
    let_go = threading.Event()

    def hangs(into: Path) -> Disk:
        assert let_go.wait(60)
        return disk_of(into)

    with recording(tmp_path) as bench, Scope("keep") as scope:
        one = Keeper(tmp_path, Keep(free=Free(bytes=1)), print, disk=hangs)
        scope.on_stop(let_go.set)
        scope.spawn("keep", one.run, scope.stopping)
        bench.push(*range(200))
        bench.end(200)
        wait_for(lambda: len(bench.acked) == 201)
        assert not let_go.is_set()
    assert seqs(tmp_path) == list(range(200))


def test_a_disk_that_is_full_to_the_last_byte_is_made_room_on(tmp_path: Path, keeper: Keepers) -> None:
    with mounted(tmp_path / "disk", "size=4m") as disk:
        paths = recorded(disk, 40, frames=1, size=(256, 192))
        before = count(disk)
        one = keeper(disk, Keep(free=Free(bytes=300_000)))
        one.look(NEVER)
        assert len(rows(disk)) == 40
        fill(disk)
        assert disk_of(disk).free == 0
        one.look(NEVER)
        assert disk_of(disk).free >= 300_000
        left = [row.path for row in rows(disk)]
        assert 0 < len(left) < 40
        assert left == paths[-len(left) :]
        assert count(disk)[0] == before[0]
        one.close()


def test_a_small_disk_is_recorded_to_for_ever(tmp_path: Path) -> None:
    """More than it holds, with nothing lost of what is younger than what went."""
    with mounted(tmp_path / "disk", "size=8m") as disk, recording(disk, segment_seconds=1.0) as bench:
        one = Keeper(disk, Keep(free=Free(share=0.4)), print)
        total, sent = 0, 0
        with Scope("keep") as scope:
            scope.spawn("keep", one.run, scope.stopping)
            while total < 1.3 * disk_of(disk).total:
                turn = range(sent, sent + 20)
                bench.push(*turn, size=LARGE)
                total += 20 * len(make(0, size=LARGE).payload)
                sent += 20

                def safe(turn: range = turn) -> bool:
                    """What the disk refused is sent again, as senders do."""
                    missing = [n for n in turn if n not in bench.acked[-200:]]
                    bench.push(*missing, size=LARGE)
                    return not missing

                wait_for(safe)
            bench.end(sent)
            wait_for(lambda: bench.count()[0] == sent)
        held = seqs(disk)
        assert held == list(range(held[0], sent))
        assert held[0] > 0
        assert one.counters.get("removed_segments") > 0


def test_a_disk_that_refuses_to_remove_a_camera_costs_the_others_nothing(
    tmp_path: Path, keeper: Keepers
) -> None:
    into = tmp_path / "rec"
    front, back = recorded(into, 3), recorded(into, 3, camera="back")
    (into / "front").rename(tmp_path / "front")
    shown = into / "front"
    one = keeper(into, Keep(Limits(days=1.5)))
    with mounted(shown, "size=1m"):
        shutil.copytree(tmp_path / "front", shown, dirs_exist_ok=True)
        remount(shown, "ro")
        one.look(NEVER)
        assert not (into / back[0]).exists()
        assert (into / front[0]).exists()
        one.look(NEVER)
        remount(shown, "rw")
        one.look(NEVER)
        assert not (into / front[0]).exists()
        assert (into / front[1]).exists()
        assert table(into, "removing") == 0


def test_what_is_not_to_be_found_for_a_while_does_not_come_back(tmp_path: Path, keeper: Keepers) -> None:
    paths = recorded(tmp_path, 3)
    with mounted(tmp_path / "front", "ro,size=1m"):
        keeper(tmp_path, Keep(Limits(days=1.5))).look(NEVER)
    assert (tmp_path / paths[0]).exists()
    assert count(tmp_path) == (9, 3)
    assert not (tmp_path / paths[0]).exists()
    assert [row.path for row in rows(tmp_path)] == paths[1:]
