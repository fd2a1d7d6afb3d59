"""Recordings read back as frames: whole, damaged, with an index and without, and while they are written."""

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mesh
from mesh.errors import ConfigError
from mesh.recordings.ebml import places
from mesh.recordings.files import WINDOW, FileBytes
from mesh.recordings.index import NAME
from mesh.recordings.reading import ReadingStats
from nodes.collect.recorder import Recorder
from tests.collect.support import segments
from tests.recordings.support import SECOND_NS, START_NS, STEP_NS, make, record, rich, same
from tests.support.clock import ManualClock

HOUR_NS = 3600 * SECOND_NS


def seqs(folder: Path, start: int | None = None, end: int | None = None) -> list[int]:
    with mesh.open_recordings(folder) as recordings:
        return [frame.seq for frame in recordings.frames("front", start, end)]


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(data)


@pytest.fixture(params=[True, False], ids=["index", "files alone"])
def index(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_frames_come_back_as_they_were_recorded(tmp_path: Path, index: bool) -> None:
    sent = record(tmp_path, [rich(seq, part=seq % 2) for seq in range(60)], index=index)
    with mesh.open_recordings(tmp_path) as recordings:
        assert (recordings.cameras(), recordings.stages("front")) == (["front"], ["motion"])
        got = list(recordings.frames("front"))
        assert recordings.stats() == ReadingStats(segments=3, frames=60)
    assert len(segments(tmp_path)) == 3
    assert all(same(one, other) for one, other in zip(got, sent, strict=True))
    assert np.array_equal(got[7].image, sent[7].image)


def test_a_range_is_exact_and_opens_only_what_it_needs(tmp_path: Path, index: bool) -> None:
    sent = record(tmp_path, map(make, range(100)), index=index)
    start, end = START_NS + 30 * STEP_NS, START_NS + 40 * STEP_NS
    assert seqs(tmp_path, start, end) == list(range(30, 40))
    assert seqs(tmp_path, start + 1, end + 1) == list(range(31, 41))
    assert seqs(tmp_path, sent[-1].captured_ns + 1) == []
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=start // 1000)
    with mesh.open_recordings(tmp_path) as recordings:
        assert next(recordings.frames("front", at)).seq == 30
        assert recordings.stats().segments == (1 if index else 2)
        with pytest.raises(ConfigError, match="time zone"):
            recordings.frames("front", at.replace(tzinfo=None))


def test_times_may_be_texts_as_commands_take_them(tmp_path: Path) -> None:
    record(tmp_path, map(make, range(100)))
    clock = ManualClock()
    clock.set_wall_ns(START_NS + 100 * STEP_NS)
    with mesh.open_recordings(tmp_path, clock=clock) as recordings:

        def got(start: Any, end: Any = None) -> list[int]:
            frames, again = (each("front", start, end) for each in (recordings.frames, recordings.numbered))
            found = [frame.seq for frame in frames]
            assert [frame.seq for frame in again] == found
            return found

        assert got("-2s", "-1s") == list(range(50, 75))
        assert got("2026-10-14T17:46:43", "now") == list(range(72, 100))
        assert got(np.int64(START_NS + 98 * STEP_NS), "2026-10-15") == [98, 99]
        assert (got(-1, 2**70), got(2**70)) == (list(range(100)), []), "any number is a time"
        assert recordings.stages("front", "yesterday", "now") == ["raw"]
        at = recordings.frame_at("front", "-1s")
        assert at is not None
        assert at.seq == 75
        for wrong in ("soon", START_NS / 1, datetime(2026, 10, 14, tzinfo=UTC).date()):
            for ask in (got, lambda time: recordings.frame_at("front", time)):
                with pytest.raises(ConfigError, match="is no time: "):
                    ask(wrong)
        with pytest.raises(ConfigError, match="of camera 'nope'; it has: front"):
            recordings.frames("nope", "-1h", "now", "motion")


def test_the_frame_at_a_time_is_the_last_one_until_then(tmp_path: Path, index: bool) -> None:
    early = [make(seq, boot=6, captured_ns=START_NS - 50 * HOUR_NS + seq * STEP_NS) for seq in range(3)]
    record(tmp_path, early + [make(seq) for seq in range(60)], index=index)
    with mesh.open_recordings(tmp_path) as recordings:

        def at(time: int) -> tuple[int, int] | None:
            frame = recordings.frame_at("front", time)
            return None if frame is None else (frame.boot, frame.seq)

        assert at(START_NS) == (7, 0)
        assert at(START_NS + 41 * STEP_NS) == (7, 41)
        assert at(START_NS + 42 * STEP_NS - 1) == (7, 41)
        assert at(START_NS + 999 * HOUR_NS) == (7, 59)
        assert at(START_NS - 1) == (6, 2)
        assert at(early[0].captured_ns - 1) is None


def test_midnight_lies_within_a_segment(tmp_path: Path, index: bool) -> None:
    midnight = datetime(2026, 10, 15, tzinfo=UTC)
    ns = int(midnight.timestamp()) * SECOND_NS
    record(tmp_path, [make(seq, captured_ns=ns + (seq - 5) * STEP_NS) for seq in range(10)], index=index)
    assert len(segments(tmp_path)) == 1
    assert seqs(tmp_path, ns) == [5, 6, 7, 8, 9]
    with mesh.open_recordings(tmp_path) as recordings:
        frame = recordings.frame_at("front", midnight)
    assert frame is not None
    assert frame.seq == 5


def test_two_stages_are_told_apart(tmp_path: Path) -> None:
    record(tmp_path, [make(seq, stage=stage) for seq in range(30) for stage in ("raw", "motion")])
    with mesh.open_recordings(tmp_path) as recordings:
        with pytest.raises(ConfigError, match="the stages motion, raw: name one \\(--stage"):
            recordings.frames("front")
        assert {frame.stage for frame in recordings.frames("front", stage="raw")} == {"raw"}
        with pytest.raises(ConfigError, match="not recorded at the stage 'codes'"):
            recordings.frames("front", stage="codes")
        with pytest.raises(ConfigError, match="no recording of camera 'yard'; it has: front"):
            recordings.frames("yard")
        with pytest.raises(ConfigError, match="name"):
            recordings.frames("../front")


def test_boots_and_a_clock_that_is_set_back_keep_the_order_of_time(tmp_path: Path, index: bool) -> None:
    before = [make(seq) for seq in range(30)]
    back = [make(seq, captured_ns=START_NS - HOUR_NS + seq * STEP_NS) for seq in range(30, 60)]
    later = [make(seq, boot=8, captured_ns=START_NS + HOUR_NS + seq * STEP_NS) for seq in range(5)]
    record(tmp_path, before + back + later, index=index)
    with mesh.open_recordings(tmp_path) as recordings:
        got = [(frame.boot, frame.seq) for frame in recordings.frames("front")]
        at = recordings.frame_at("front", START_NS - 1)
    assert got == [(f.boot, f.seq) for f in back + before + later]
    assert at is not None
    assert at.seq == 59


def test_a_small_step_back_within_a_segment_loses_nothing(tmp_path: Path, index: bool) -> None:
    moved = {5: -3 * SECOND_NS, 6: -3 * SECOND_NS}
    frames = [make(seq, captured_ns=START_NS + seq * STEP_NS + moved.get(seq, 0)) for seq in range(8)]
    record(tmp_path, frames, seconds=60, index=index)
    assert seqs(tmp_path, START_NS - 5 * SECOND_NS, START_NS) == [5, 6]
    with mesh.open_recordings(tmp_path) as recordings:
        at = recordings.frame_at("front", frames[6].captured_ns)
    assert at is not None
    assert at.seq == 6


@pytest.mark.parametrize("part", ["picture", "head of its cluster", "line"])
def test_a_flipped_byte_costs_one_frame(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, index: bool, part: str
) -> None:
    record(tmp_path, map(make, range(30)), seconds=60, index=index)
    (video,) = segments(tmp_path)
    at = list(places(video.read_bytes()))[11]
    if part == "line":
        lines = video.with_suffix(".jsonl")
        flip(lines, lines.read_bytes().index(b'"seq":11') + 2)
    else:
        flip(video, at.start + 40 if part == "picture" else at.covered - 9)
    with caplog.at_level(logging.WARNING), mesh.open_recordings(tmp_path) as recordings:
        assert [frame.seq for frame in recordings.frames("front")] == [*range(11), *range(12, 30)]
        assert len(list(recordings.frames("front"))) == 29
        stats = recordings.stats()
    assert (stats.bad_files, stats.bad_frames) == (0, 1)
    assert [record.getMessage() for record in caplog.records] == [f"{video}: 1 of its frames cannot be read"]


def test_a_bad_file_is_passed_over_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, index: bool
) -> None:
    record(tmp_path, map(make, range(125)), index=index)
    first, second, third, *_ = segments(tmp_path)
    first.write_bytes(b"no video at all" * 99)
    second.with_suffix(".jsonl").unlink()
    third.unlink()
    (first.parent / "notes.txt").write_text("foreign")
    (first.parent / "17-00-00-raw.mkv").mkdir()
    with caplog.at_level(logging.WARNING), mesh.open_recordings(tmp_path) as recordings:
        assert [frame.seq for frame in recordings.frames("front")] == list(range(75, 125))
        assert len(list(recordings.frames("front"))) == 50
        assert recordings.stats().bad_files == 4
    assert sum("is passed over" in record.getMessage() for record in caplog.records) == 4


def test_a_truncated_video_gives_what_is_whole(tmp_path: Path, index: bool) -> None:
    record(tmp_path, map(make, range(30)), seconds=60, index=index)
    (video,) = segments(tmp_path)
    last = list(places(video.read_bytes()))[20]
    video.write_bytes(video.read_bytes()[: last.end - 1])
    assert seqs(tmp_path) == list(range(20))


def test_a_segment_is_read_while_it_is_written(tmp_path: Path) -> None:
    frames = [make(seq) for seq in range(12)]
    with Recorder(tmp_path) as recorder:
        for frame in frames[:9]:
            recorder.write(frame)
        recorder.commit()
        assert seqs(tmp_path) == list(range(9))
        (video,) = segments(tmp_path)
        with video.open("ab") as file:  # a cluster that has begun
            file.write(b"\x1f\x43\xb6\x75\x10\x00\x20\x00\xbf\x84")
        assert seqs(tmp_path) == list(range(9))
        for frame in frames[9:]:
            recorder.write(frame)
        recorder.commit()
        assert seqs(tmp_path) == list(range(12))


@pytest.mark.parametrize("damage", ["rubbish", "another version"])
def test_an_index_that_cannot_be_read_is_done_without(tmp_path: Path, damage: str) -> None:
    record(tmp_path, map(make, range(40)), index=damage != "rubbish")
    if damage == "rubbish":
        (tmp_path / NAME).write_bytes(b"rubbish" * 999)
    else:
        flip(tmp_path / NAME, 63)  # the version, in the database's head
    assert seqs(tmp_path) == list(range(40))


def test_a_folder_that_is_none_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such folder"):
        mesh.open_recordings(tmp_path / "nowhere")
    with mesh.open_recordings(tmp_path) as recordings:
        assert recordings.cameras() == []
        with pytest.raises(ConfigError, match="it has: none"):
            recordings.frames("front")


def test_bytes_of_a_file_are_those_of_the_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    data = rng.integers(0, 255, 3 * WINDOW + 77, dtype=np.uint8).tobytes()
    mark = b"\x1f\x43\xb6\x75"
    data = data[: WINDOW - 2] + mark + data[WINDOW - 2 :]
    (tmp_path / "a").write_bytes(data)
    with (tmp_path / "a").open("rb", buffering=0) as file:
        seen = FileBytes(file.fileno(), len(data))
        for start, end in [
            (0, 4),
            (5, 9),
            (WINDOW - 3, WINDOW + 3),
            (10, 2 * WINDOW + 40),
            (len(data) - 3, 10**9),
        ]:
            assert seen[start:end] == data[start:end]
        assert seen.find(mark, 0) == data.find(mark)
        assert seen.find(b"nowhere to be found", 3) == -1
        (tmp_path / "a").write_bytes(data[:WINDOW])
        with pytest.raises(mesh.StorageError, match="became shorter"):
            _ = seen[WINDOW + 9 : WINDOW + 99]
