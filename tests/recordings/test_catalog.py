"""Questions to folders that the real recorder has made."""

import logging
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from mesh.errors import StorageError
from mesh.recordings.catalog import Catalog
from mesh.recordings.index import VERSION
from mesh.recordings.query import Missing, Occurrence, Query
from nodes.collect.recorder import Recorder
from tests.recordings.made import NOON, SECOND, every_second, frame, note, person, record
from tests.support.disks import mounted, remount


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`door`: 40 s, a silence of a minute, 20 s more; a person from second 5 to 25. `yard`: 15 s, of two
    stages, a car in all. In segments of 10 s."""
    into = tmp_path_factory.mktemp("recordings")
    door = [
        *every_second("door", 0, 5),
        *every_second("door", 5, 25, person(0.6), person(0.4)),
        *every_second("door", 25, 40),
        *every_second("door", 100, 120),
    ]
    car = replace(person(0.9, "cars"), label="car")
    yard = [*every_second("yard", 0, 15, car), *every_second("yard", 0, 15, stage="motion")]
    record(into, [*door, *yard])
    return into


def within(first: float, last: float) -> Query:
    return Query(from_ns=NOON + round(first * SECOND), to_ns=NOON + round(last * SECOND))


def begins(catalog: Catalog, query: Query) -> list[tuple[str, str, float]]:
    return [(row.camera, row.stage, (row.first_ns - NOON) / SECOND) for row in catalog.segments(query)]


def test_segments_are_found_by_camera_stage_and_time(made: Path) -> None:
    with Catalog(made) as catalog:
        door = [("door", "raw", at) for at in (0, 10, 20, 30, 100, 110)]
        assert begins(catalog, Query(cameras=("door",))) == door
        assert begins(catalog, Query(stages=("motion",))) == [("yard", "motion", 0), ("yard", "motion", 10)]
        assert begins(catalog, replace(within(19, 20), cameras=("door",))) == door[1:2]
        assert begins(catalog, replace(within(19.5, 20), cameras=("door",))) == []  # between two frames
        assert begins(catalog, replace(within(29, 100.5), cameras=("door",))) == [door[2], door[3], door[4]]
        assert begins(catalog, Query(cameras=("nobody",))) == []
        assert len(catalog.segments()) == 10


def test_segments_are_found_by_what_was_seen_in_them(made: Path) -> None:
    with Catalog(made) as catalog:
        assert [at for *_, at in begins(catalog, Query(labels=("person",)))] == [0, 10, 20]
        assert [at for *_, at in begins(catalog, Query(labels=("person", "car"), min_score=0.7))] == [0, 10]
        assert begins(catalog, Query(by=("cars",)))[0][0] == "yard"
        assert begins(catalog, Query(labels=("person",), by=("cars",))) == []


def test_an_event_is_one_over_all_the_segments_that_it_lasts(made: Path) -> None:
    seen = Occurrence("door", "raw", "person", "motion", NOON + 5 * SECOND, NOON + 24 * SECOND, 20, 0.6)
    with Catalog(made) as catalog:
        for query in (Query(labels=("person",)), Query(cameras=("door",)), within(12, 13), within(24, 99)):
            found = [each for each in catalog.events(query) if each.label == "person"]
            assert found == [seen], query
        assert catalog.events(Query(labels=("person",), min_score=0.7)) == []
        assert catalog.events(replace(within(25, 99), labels=("person",))) == []
        assert [each.label for each in catalog.events()] == ["car", "person"]


def test_a_gap_is_found_within_a_segment_and_between_two(tmp_path: Path) -> None:
    frames = [*every_second("door", 0, 5), *every_second("door", 30, 35), *every_second("door", 200, 205)]
    record(tmp_path, frames, seconds=60)
    first = Missing("door", "raw", NOON + 4 * SECOND, NOON + 30 * SECOND)
    second = Missing("door", "raw", NOON + 34 * SECOND, NOON + 200 * SECOND)
    with Catalog(tmp_path) as catalog:
        assert len(catalog.segments()) == 2
        assert catalog.gaps() == [first, second]
        assert catalog.gaps(least_ns=100 * SECOND) == [second]
        assert catalog.gaps(within(50, 60)) == [second]  # no segment lies there
        assert catalog.gaps(within(10, 11)) == [first]
        assert catalog.gaps(within(0, 4)) == []
        assert catalog.gaps(Query(cameras=("yard",))) == []


def test_what_a_late_segment_brought_fills_its_gap(tmp_path: Path) -> None:
    frames = [*every_second("door", 0, 10), *every_second("door", 30, 40)]
    late = [frame("door", 10 + k, seq=100 + k) for k in range(20)]
    record(tmp_path, frames, late=late, seconds=10)
    with Catalog(tmp_path) as catalog:
        assert sum(row.late for row in catalog.segments()) == 20
        assert [(gap.last_ns - gap.first_ns) // SECOND for gap in catalog.gaps()] == []


def test_a_slow_camera_has_no_gaps_between_its_frames(tmp_path: Path) -> None:
    record(tmp_path, [frame("door", 20 * k, seq=k) for k in range(30)], seconds=60)
    with Catalog(tmp_path) as catalog:
        assert len(catalog.segments()) > 5
        assert catalog.gaps() == []


def test_it_reads_beside_a_recorder_that_goes_on(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, segment_seconds=60)
    with Catalog(tmp_path) as empty:
        assert empty.segments() == []
    for each in every_second("door", 0, 5):
        recorder.write(each)
    note(tmp_path, recorder.commit().segments)
    with Catalog(tmp_path) as catalog:
        assert [(row.frames, row.open) for row in catalog.segments()] == [(5, True)]
        for each in every_second("door", 5, 9):
            recorder.write(each)
        note(tmp_path, recorder.commit().segments)
        assert [(row.frames, row.open) for row in catalog.segments()] == [(9, True)]
    recorder.close()


def answers(into: Path) -> tuple[object, ...]:
    with Catalog(into) as catalog:
        listed = [replace(row, open=False) for row in catalog.segments()]
        return listed, catalog.events(), catalog.gaps(), catalog.totals()


@pytest.mark.parametrize("harm", ["missing", "no database", "earlier", "other tables"])
def test_without_an_index_the_files_answer_the_same(
    made: Path, tmp_path: Path, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    into = tmp_path / "recordings"
    shutil.copytree(made, into)
    index = into / "index.db"
    if harm == "no database":
        index.write_bytes(b"this is no database" * 100)
    else:
        with sqlite3.connect(index) as db:
            db.execute("PRAGMA user_version = 2" if harm == "earlier" else "DROP TABLE gaps")
        db.close()
    if harm == "missing":
        index.unlink()
    (lines, *_) = (into / "yard").rglob("*.jsonl")
    lost = lines.relative_to(into)
    whole = answers(made)
    caplog.set_level(logging.WARNING)
    assert answers(into) == whole
    assert [f"mesh recordings rebuild {into}" in each for each in caplog.messages] == [True]
    lines.unlink()
    assert len(answers(into)[0]) == len(whole[0]) - 1  # type: ignore[arg-type]
    assert str(lost.with_suffix(".mkv")) in caplog.messages[-1]


def test_the_files_of_other_cameras_and_days_are_not_read_for_nothing(tmp_path: Path) -> None:
    record(tmp_path, [*every_second("door", 0, 3), *every_second("door", 86_400, 86_403)])
    record(tmp_path, every_second("yard", 0, 3))
    shutil.rmtree(tmp_path / "index.db", ignore_errors=True)
    (tmp_path / "index.db").unlink()
    for only in (Query(cameras=("yard",)), within(-9, 9), within(3 * 86_400, 4 * 86_400)):
        with Catalog(tmp_path, only) as catalog:
            found = {row.path.rpartition("/")[0] for row in catalog.segments()}
        asked = {"yard/2026-10-15"} | (set() if only.cameras else {"door/2026-10-15"})
        assert found == (asked if only.from_ns < NOON + 86_400 * SECOND else set())


def test_a_newer_index_and_no_folder_are_refused(made: Path, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "index.db") as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
    db.close()
    with pytest.raises(StorageError, match="was written by a newer version: update this one"):
        Catalog(tmp_path)
    with pytest.raises(StorageError, match="is no folder of recordings: no such file or directory"):
        Catalog(tmp_path / "nowhere")


@pytest.mark.parametrize("crashed", [False, True])
def test_a_folder_that_is_mounted_read_only_is_read(made: Path, tmp_path: Path, crashed: bool) -> None:
    with mounted(tmp_path / "disk", "rw") as disk:
        into = disk / "recordings"
        shutil.copytree(made, into)
        writer = sqlite3.connect(into / "index.db")
        if crashed:  # its newest rows are in the log alone
            writer.execute("DELETE FROM segments WHERE camera = 'yard'")
            writer.commit()
            frozen = {each: each.read_bytes() for each in into.glob("index.db*")}
            writer.close()
            for each, held in frozen.items():
                each.write_bytes(held)
            assert (into / "index.db-wal").stat().st_size
        else:
            writer.close()
        remount(disk, "ro")
        with Catalog(into) as catalog:
            assert catalog.version == VERSION
            assert {camera for camera, _ in catalog.streams()} == ({"door"} if crashed else {"door", "yard"})


def test_no_question_reads_all_that_there_is(made: Path) -> None:
    """But what there is in all."""
    when = within(0, 10)
    asked: list[str] = []
    with Catalog(made) as catalog:
        db = catalog._db
        db.set_trace_callback(asked.append)
        for query in (
            replace(when, cameras=("door",)),
            replace(when, cameras=("door",), stages=("raw",), labels=("person",), min_score=0.5),
            replace(when, labels=("person",)),
            when,
        ):
            catalog.segments(query)
            catalog.events(query)
            catalog.gaps(query)
        catalog.bytes_since(NOON)
        db.set_trace_callback(None)
        plans = {sql: [row[-1] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}")] for sql in asked}
    assert len(plans) > 10
    assert not {sql: plan for sql, plan in plans.items() if any("SCAN" in line for line in plan)}
    used = " ".join(line for plan in plans.values() for line in plan)
    assert "segments_by_time (camera=? AND first_ns>? AND first_ns<?)" in used
    assert "events_by_label (label=? AND first_ns>? AND first_ns<?)" in used
