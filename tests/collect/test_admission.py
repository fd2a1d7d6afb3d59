"""What is recorded by choice, with real files: every result is recorded, held or skipped, and counted so."""

import shutil
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mesh.choice import Choice, choices_of
from mesh.frame import Detection, Frame
from mesh.recordings.catalog import Catalog
from mesh.recordings.day import day_of
from mesh.recordings.held import read_lines
from mesh.recordings.index import Index, StreamRow
from mesh.recordings.verify import verify
from mesh.wire import Message, Topic, View
from nodes.collect.admission import Room
from nodes.collect.commits import CommitPolicy
from nodes.collect.gate import FRAME_BYTES, Held
from nodes.collect.rebuild import rebuild
from nodes.collect.recovery import recover
from nodes.collect.reorder import Bounds
from nodes.collect.streams import Stream
from tests.collect.support import START_NS, make, segments
from tests.collect.test_recording import (
    Bench,
    lines,
    no_file_may_grow_beyond,
    recording,
    seqs,
)
from tests.support.clock import ManualClock
from tests.support.waiting import wait_for

STEP_NS = 40_000_000
MOVES = (Detection("motion", 0.5, (1, 1, 4, 4), "motion"),)


class Said:
    """What a collector was told, and may be told otherwise."""

    def __init__(self, *texts: str) -> None:
        self.choices = choices_of(texts)

    def __call__(self, camera: str) -> Choice:
        return self.choices.of(camera, None)

    def now(self, *texts: str) -> None:
        self.choices = choices_of(texts)


def push(bench: Bench, first: int, stop: int, *found: int, begin: int = 0, **changes: Any) -> None:
    """Results of which some show that something moves; the first that its sender made is of `begin`."""
    for seq in range(first, stop):
        bench.push(seq, n=seq - begin, **{"detections": MOVES if seq in found else (), **changes})


def fate(bench: Bench, camera: str = "front") -> tuple[int, int, int]:
    """Recorded, skipped, and of those held."""
    found = [count for count in bench.recording.counts() if count.camera == camera]
    recorded, skipped, held = (
        sum(getattr(count, name) for count in found) for name in ("recorded", "skipped", "held")
    )
    return recorded, skipped, held


def settled(bench: Bench, count: int) -> None:
    wait_for(lambda: sum(fate(bench)[:2]) == count, f"{count} are recorded or skipped")


AT_ONCE = CommitPolicy(0.0)
MOTION = "motion,pre=0.4,post=0.4"  # ten frames each


def test_what_is_not_recorded_is_acknowledged_and_counted(tmp_path: Path) -> None:
    with recording(tmp_path, chooses=Said(MOTION)) as bench:
        push(bench, 0, 100, 50)
        settled(bench, 100)
        assert fate(bench) == (21, 79, 11)
        wait_for(lambda: sorted(bench.acked) == list(range(100)))
    assert fate(bench) == (21, 79, 0)
    assert seqs(tmp_path) == bench.forwarded == list(range(40, 61))
    with recording(tmp_path, chooses=Said(MOTION)) as again:
        assert fate(again) == (21, 79, 0)
        (count,) = again.recording.counts()
        assert (count.found.recorded, count.found.skipped) == (21, 79)


def has_acknowledged(bench: Bench, count: int) -> bool:
    return len(bench.acked) >= count


@pytest.mark.parametrize("policy", [CommitPolicy(3600.0, 64), CommitPolicy(3600.0, 10**9, 64 * 4096)])
def test_what_is_passed_over_or_known_does_not_wait_where_commits_are_rare(
    tmp_path: Path, policy: CommitPolicy
) -> None:
    """A sender has only so much on its way: who is not heard waits for that, and sends nothing."""
    with recording(tmp_path, policy, chooses=Said("off")) as bench:
        for times in (1, 2):
            push(bench, 0, 70, payload=bytes(4096))
            wait_for(partial(has_acknowledged, bench, 64 * times))


def test_a_kill_costs_what_was_held_and_no_count(tmp_path: Path) -> None:
    """A copy of the folder at any moment is what a kill at that moment leaves."""
    live = tmp_path / "live"
    live.mkdir()
    with recording(live, chooses=Said(MOTION)) as bench:
        for number, (stop, told) in enumerate([(30, (0, 30)), (36, (11, 25)), (80, (21, 59))]):
            push(bench, (0, 30, 36)[number], stop, 35)
            settled(bench, stop)
            copy = shutil.copytree(live, tmp_path / f"copy-{number}")
            found = recover(copy)
            found.index.close()
            stream = found.streams["motion", "front", 7]
            assert (stream.recorded, stream.skipped) == told
            assert seqs(copy) == list(range(25, 25 + told[0])) if told[0] else not segments(copy)
            assert rebuild(copy).frames == told[0]
            index = Index(copy)
            assert [(row.recorded, row.skipped) for row in index.streams()] == [told]
            index.close()


def test_each_stretch_is_a_file_and_what_lies_between_is_no_gap(tmp_path: Path) -> None:
    with recording(tmp_path, chooses=Said(MOTION), segment_seconds=3600.0) as bench:
        push(bench, 0, 700, 50, 60, 400)
        settled(bench, 700)
        bench.end(700)
    assert len(segments(tmp_path)) == 2
    told = lines(tmp_path)
    assert [line["seq"] for line in told] == [*range(40, 71), *range(390, 411)]
    assert {line["seq"]: line["skipped_ns"] for line in told if "skipped_ns" in line} == {
        40: START_NS,
        390: START_NS + 71 * STEP_NS,
    }
    with Catalog(tmp_path) as catalog:
        assert catalog.gaps() == []
        (spans,) = catalog.recorded().values()
        assert [span.first_ns for span in spans] == [START_NS + 40 * STEP_NS, START_NS + 390 * STEP_NS]
    assert list(verify(tmp_path)) == []


def test_a_gap_that_is_no_choice_is_one_beside_what_was_left_out(tmp_path: Path) -> None:
    with recording(tmp_path, chooses=Said(MOTION)) as bench:
        push(bench, 0, 60, 50)
        settled(bench, 60)
    with recording(tmp_path, chooses=Said(MOTION)) as bench:  # it was off for most of a minute
        push(bench, 1000, 1100, 1050, begin=1000, boot=8)
        settled(bench, 160)
    with Catalog(tmp_path) as catalog:
        (gap,) = catalog.gaps()
        assert gap.first_ns == START_NS + 59 * STEP_NS
        assert gap.last_ns == START_NS + 1000 * STEP_NS


@pytest.mark.parametrize("boot", [7, 8])
def test_what_was_left_out_before_a_collector_or_a_camera_began_anew_is_no_gap(
    tmp_path: Path, boot: int
) -> None:
    """Once the last that was recorded, half a minute passes in which nothing is; then there is a restart."""
    with recording(tmp_path, chooses=Said(MOTION), segment_seconds=5.0) as bench:
        push(bench, 0, 800, 50)
        settled(bench, 800)
    begin = 801 if boot == 8 else 0
    with recording(tmp_path, chooses=Said(MOTION), segment_seconds=5.0) as bench:
        push(bench, 801, 1600, 1500, begin=begin, boot=boot)
        settled(bench, 1599)
        assert gaps(tmp_path) == []
    assert gaps(tmp_path) == []
    assert sum(rebuild(tmp_path).frames for _ in range(2)) == 2 * 42
    assert gaps(tmp_path) == []
    day = day_of(tmp_path, "front", datetime.fromtimestamp(START_NS / 1e9, UTC).date())
    assert day.gaps == ()


def gaps(into: Path) -> list[tuple[int, int]]:
    """In frames since the first."""
    with Catalog(into) as catalog:
        return [
            ((gap.first_ns - START_NS) // STEP_NS, (gap.last_ns - START_NS) // STEP_NS)
            for gap in catalog.gaps()
        ]


def test_a_gap_between_two_boots_is_told_from_what_was_left_out(tmp_path: Path) -> None:
    with recording(tmp_path, chooses=Said(MOTION)) as bench:
        push(bench, 0, 800, 50)
        settled(bench, 800)
        push(bench, 2000, 2100, begin=2000, boot=8)
        settled(bench, 900)
        assert gaps(tmp_path) == [(799, 2000)]


def test_what_was_held_or_passed_over_and_comes_again_is_acknowledged_and_told_apart(tmp_path: Path) -> None:
    with recording(tmp_path, chooses=Said(MOTION)) as bench:
        push(bench, 0, 30)
        settled(bench, 30)
        push(bench, 0, 30)
        wait_for(lambda: len(bench.acked) == 60)
        assert fate(bench) == (0, 30, 11)
        assert bench.count()[1] == 30
        push(bench, 30, 40, 30)
        settled(bench, 40)
        push(bench, 15, 40)
        wait_for(lambda: len(bench.acked) == 95)
    assert fate(bench) == (20, 20, 0)
    assert seqs(tmp_path) == list(range(20, 40))


def test_another_choice_holds_from_the_next_frame_on(tmp_path: Path) -> None:
    said = Said(MOTION, "back=off")
    with recording(tmp_path, chooses=said) as bench:
        push(bench, 0, 20)
        push(bench, 0, 20, 5, camera="back")
        settled(bench, 20)
        wait_for(lambda: fate(bench, "back") == (0, 20, 0))
        said.now("continuous", "back=continuous,stage=motion")
        push(bench, 20, 30)
        push(bench, 20, 30, camera="back")
        settled(bench, 30)
        wait_for(lambda: fate(bench, "back")[0] == 10)
        said.now("continuous,stage=codes")
        push(bench, 30, 40, 35)
        settled(bench, 40)
    assert (fate(bench), fate(bench, "back")) == ((10, 30, 0), (10, 20, 0))
    assert seqs(tmp_path) == list(range(20, 30))


def test_held_frames_take_so_much_memory_and_the_oldest_go_first(tmp_path: Path) -> None:
    size = len(make(0, size=(32, 32)).payload) + FRAME_BYTES
    with recording(tmp_path, chooses=Said("motion,pre=60,post=0"), held_bytes=20 * size) as bench:
        push(bench, 0, 30, size=(32, 32))
        settled(bench, 30)
        push(bench, 0, 30, 29, camera="back", size=(32, 32))
        wait_for(lambda: fate(bench, "back")[0] > 10)
        overflow = bench.recording.counters.get("held_overflow")
        assert overflow > 30
        push(bench, 30, 31, 30, size=(32, 32))
        settled(bench, 31)
    front, back = seqs(tmp_path), seqs(tmp_path, "back")
    assert back == list(range(30 - len(back), 30))
    assert front == [30]  # what it held was older
    assert bench.recording.counters.get("held_overflow") == overflow
    assert fate(bench)[1] == 30


def test_frames_almost_without_a_picture_take_memory_too(tmp_path: Path) -> None:
    """Of a clock that stands still none is ever too old."""
    with recording(tmp_path, chooses=Said("motion"), held_bytes=20 * FRAME_BYTES) as bench:
        push(bench, 0, 100, payload=b"x", captured_ns=START_NS)
        settled(bench, 100)
        assert 10 < fate(bench)[2] < 20


def test_a_disk_that_refuses_costs_no_frame_of_a_pre_roll(tmp_path: Path) -> None:
    with recording(tmp_path, chooses=Said("motion,pre=2,post=2")) as bench:
        push(bench, 0, 20)
        settled(bench, 20)
        (tmp_path / "front").write_text("")  # where its folder should be

        def is_refused() -> bool:
            push(bench, 20, 21, 20)
            return "a file stands where a folder is needed" in bench.why

        wait_for(is_refused)
        assert 20 not in bench.acked
        (tmp_path / "front").unlink()

        def is_recorded() -> bool:
            push(bench, 20, 21, 20)
            return fate(bench)[0] == 21

        wait_for(is_recorded)
        wait_for(lambda: bench.why == "")
    assert seqs(tmp_path) == list(range(21))
    assert fate(bench) == (21, 0, 0)


def test_a_disk_that_refuses_for_longer_than_a_stream_may_be_quiet_costs_no_pre_roll(tmp_path: Path) -> None:
    clock, choice = ManualClock(), Said("motion,pre=2,post=2")
    with recording(tmp_path, AT_ONCE, chooses=choice, segment_seconds=2.0, clock=clock) as bench:
        (tmp_path / "front").write_text("")  # where its folder should be
        push(bench, 0, 21, 20)
        wait_for(lambda: "a file stands where a folder is needed" in bench.why)
        push(bench, 0, 5, camera="back")
        wait_for(lambda: fate(bench, "back") == (0, 5, 5))
        clock.advance(2.1)
        wait_for(lambda: fate(bench, "back") == (0, 5, 0), "another is quiet")
        assert fate(bench) == (0, 20, 20)
        (tmp_path / "front").unlink()

        def is_recorded() -> bool:
            push(bench, 20, 21, 20)
            return fate(bench) == (21, 0, 0)

        clock.advance_until(is_recorded)
    assert seqs(tmp_path) == list(range(21))


def test_a_disk_that_fills_while_a_pre_roll_is_written_costs_none_of_it(tmp_path: Path) -> None:
    with recording(tmp_path, chooses=Said("motion,pre=4,post=4")) as bench:
        push(bench, 0, 60)
        settled(bench, 60)
        with no_file_may_grow_beyond(120_000) as lift:
            push(bench, 60, 61, 60)
            wait_for(lambda: "would pass the size" in bench.why, bench.why)
            lift()

        def is_recorded() -> bool:
            push(bench, 60, 61, 60)
            return fate(bench)[0] == 61

        wait_for(is_recorded)
    assert seqs(tmp_path) == list(range(61))
    assert fate(bench) == (61, 0, 0)


def test_what_is_no_picture_costs_the_rest_of_a_pre_roll_nothing(tmp_path: Path) -> None:
    with recording(tmp_path, chooses=Said(MOTION)) as bench:
        push(bench, 0, 8)
        push(bench, 8, 9, payload=b"no jpeg")
        push(bench, 9, 12, 11)
        settled(bench, 12)
    assert seqs(tmp_path) == [1, 2, 3, 4, 5, 6, 7, 9, 10, 11]
    assert fate(bench) == (10, 2, 0)
    assert bench.recording.counters.get("held_decode") == 1


def test_what_is_held_of_a_stream_that_has_ended_is_passed_over(tmp_path: Path) -> None:
    with recording(tmp_path, chooses=Said(MOTION)) as bench:
        push(bench, 0, 5)
        settled(bench, 5)
        assert fate(bench) == (0, 5, 5)
        bench.end(5)
        wait_for(lambda: fate(bench) == (0, 5, 0))
    assert segments(tmp_path) == []


def test_what_is_held_of_a_stream_that_has_gone_quiet_is_passed_over(tmp_path: Path) -> None:
    clock = ManualClock()
    with recording(tmp_path, AT_ONCE, chooses=Said(MOTION), segment_seconds=0.2, clock=clock) as bench:
        push(bench, 0, 5)
        wait_for(lambda: fate(bench) == (0, 5, 5))
        clock.advance_until(lambda: fate(bench) == (0, 5, 0))


def test_a_stage_that_is_subscribed_to_is_recorded_by_choice_too(tmp_path: Path) -> None:
    with recording(tmp_path, chooses=Said("events,pre=0.4,post=0.4,label=code")) as bench:
        for seq in range(60):
            found = (Detection("code", 1.0, (0, 0, 1, 1), "codes"),) if seq == 30 else MOVES
            one = make(seq, detections=found)
            bench.inbox.offer(Message(Topic(View.FRAME, "raw", "front"), 1, seq, one))
        settled(bench, 60)
        (count,) = bench.inbox.counts()
        assert (count.processed, count.dropped) == (60, {})
    assert seqs(tmp_path) == list(range(20, 41))


def test_what_comes_late_is_recorded_within_a_stretch_and_in_order_before_one(tmp_path: Path) -> None:
    impatient = Bounds(seconds=0.01, quiet_seconds=0.01)
    with recording(tmp_path, bounds=impatient, chooses=Said(MOTION)) as bench:
        push(bench, 0, 5)
        push(bench, 6, 20)
        settled(bench, 19)
        push(bench, 5, 6)  # it is late, and passed over
        settled(bench, 20)
        push(bench, 20, 22)
        push(bench, 23, 25, 24)
        settled(bench, 24)
        push(bench, 22, 23)
        settled(bench, 25)
    told = lines(tmp_path)
    assert sorted(line["seq"] for line in told) == list(range(14, 25))
    assert [line["seq"] for line in told if line.get("late")] == [22]
    assert list(verify(tmp_path)) == []


def test_partitions_are_one_stream(tmp_path: Path) -> None:
    with recording(tmp_path, chooses=Said(MOTION)) as bench:
        for number in range(2):
            for seq in range(number, 60, 2):
                found = MOVES if seq == 30 else ()
                bench.push(seq, run=number + 1, n=seq // 2, partitions=2, detections=found)
        for number in range(2):
            bench.end(60, run=number + 1, n=30, partition=number, partitions=2)
        settled(bench, 60)
    assert seqs(tmp_path) == list(range(20, 41))


def _frames(count: int) -> list[Frame]:
    return [make(seq, size=(16, 16)) for seq in range(count)]


@pytest.mark.parametrize("cameras", [1, 3])
def test_the_room_for_what_is_held_is_kept_whatever_comes_and_goes(cameras: int) -> None:
    choice = choices_of(["motion,pre=600"]).of("front", None)
    streams = [Stream.of(StreamRow("motion", f"c{n}", 7), Bounds()) for n in range(cameras)]
    frames = _frames(40)
    limit = 10 * max(Held(frame, 0, 0.0).bytes for frame in frames)
    room, came = Room(limit), 0.0
    for number, frame in enumerate(frames):
        for stream in streams:
            came += 1
            stream.gate.judge(frame, choice, came)
            room.look(stream)
            while (oldest := room.oldest()) is not None:
                first = min(s.gate.held[0].came for s in streams if s.gate.held)
                assert oldest.gate.held[0].came == first
                oldest.gate.pass_over(1)
                room.look(oldest)
            assert room.bytes == sum(s.gate.bytes for s in streams) <= limit
        if number % 9 == 8:
            streams[0].gate.pass_over(len(streams[0].gate.held))
            room.look(streams[0])
    assert len(room) == sum(bool(stream.gate.held) for stream in streams)


def test_lines_tell_when_what_is_seen_began_as_the_index_does(tmp_path: Path) -> None:
    with recording(tmp_path, segment_seconds=3600.0) as bench:
        push(bench, 0, 400, *range(10, 20), *range(30, 40), *range(300, 310))
        wait_for(lambda: bench.count()[0] == 400)
    (path,) = segments(tmp_path)
    told = {line["seq"]: line["events"] for line in lines(tmp_path) if "events" in line}
    assert set(told) == {*range(10, 20), *range(30, 40), *range(300, 310)}
    first, second = (["motion", "motion", START_NS + seq * STEP_NS] for seq in (10, 300))
    assert told[10] == told[39] == [first]
    assert told[300] == told[309] == [second]
    with Catalog(tmp_path) as catalog:
        held = catalog.segment(str(path.relative_to(tmp_path)))
    assert held is not None
    assert [[e.label, e.by, e.first_ns] for e in held.events] == [first, second]
    assert len(read_lines(path.with_suffix(".jsonl"))[0]) == 400
