"""Recording to real files, read back with PyAV."""

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mesh.errors import ConfigError, DecodeError, WireError
from nodes.collect.recorder import Recorder, RecorderStats
from tests.collect.support import START_NS, Recorded, make, read, read_lines, segments, the_one
from tests.support.waiting import wait_for


def whole(recorded: Recorded) -> bool:
    """Every packet decodes, has a line that knows its time, and the times rise strictly."""
    rising = all(a < b for a, b in zip(recorded.pts_ms, recorded.pts_ms[1:], strict=False))
    same_times = [entry["pts_ms"] for entry in recorded.lines] == recorded.pts_ms
    return rising and same_times and len(recorded.packets) == len(recorded.lines) > 0


def test_a_recording_is_what_came(tmp_path: Path) -> None:
    frames = [make(seq) for seq in range(50)]
    with Recorder(tmp_path) as recorder:
        for frame in frames:
            recorder.write(frame)
    recorded = the_one(tmp_path)
    assert whole(recorded)
    assert recorded.packets == [bytes(frame.payload) for frame in frames]
    assert recorded.pts_ms == [seq * 40 for seq in range(50)]
    assert [entry["seq"] for entry in recorded.lines] == list(range(50))


def test_where_it_lies_and_what_it_says(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        recorder.write(make(stage="motion"))
    (path,) = segments(tmp_path)
    assert path.relative_to(tmp_path) == Path("front/2026-10-14/17-46-40-motion.mkv")
    assert sorted(each.name for each in path.parent.iterdir()) == [
        "17-46-40-motion.jsonl",
        "17-46-40-motion.mkv",
    ]
    tags = read(path).tags
    assert tags["title"] == "front motion"
    assert tags["creation_time"].startswith("2026-10-14T17:46:40.123456")
    said = [tags[name] for name in ("CAMERA", "STAGE", "BOOT", "FIRST_CAPTURED_NS")]
    assert said == ["front", "motion", "7", str(START_NS)]


def test_two_cameras_at_two_stages(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        for seq in range(20):
            for camera in ("front", "back"):
                for stage in ("raw", "motion"):
                    recorder.write(make(seq, camera=camera, stage=stage))
        assert recorder.stats().open == 4
    assert len(segments(tmp_path)) == 4
    for path in segments(tmp_path):
        recorded = read(path)
        assert whole(recorded)
        assert len(recorded.lines) == 20
        assert {(entry["camera"], entry["stage"]) for entry in recorded.lines} == {
            (path.parent.parent.name, path.stem.rsplit("-", 1)[1])
        }


def test_a_name_that_is_taken_is_never_written_over(tmp_path: Path) -> None:
    for boot in (1, 2, 3):
        with Recorder(tmp_path) as recorder:
            recorder.write(make(boot=boot))
    day = tmp_path / "front" / "2026-10-14"
    assert [each.name for each in segments(tmp_path)] == [
        "17-46-40-raw.mkv",
        "17-46-40.123-raw.mkv",
        "17-46-40.123.1-raw.mkv",
    ]
    stems = ("17-46-40-raw", "17-46-40.123-raw", "17-46-40.123.1-raw")
    assert [read(day / f"{stem}.mkv").tags["BOOT"] for stem in stems] == ["1", "2", "3"]


def test_a_line_file_that_stands_alone_is_not_written_over(tmp_path: Path) -> None:
    alone = tmp_path / "front" / "2026-10-14" / "17-46-40-raw.jsonl"
    alone.parent.mkdir(parents=True)
    alone.write_text("somebody's own\n")
    with Recorder(tmp_path) as recorder:
        recorder.write(make())
    assert alone.read_text() == "somebody's own\n"
    assert [each.name for each in segments(tmp_path)] == ["17-46-40.123-raw.mkv"]


def test_segments_end_by_time(tmp_path: Path) -> None:
    with Recorder(tmp_path, segment_seconds=1) as recorder:
        for seq in range(60):
            recorder.write(make(seq))
    recorded = [read(path) for path in segments(tmp_path)]
    assert [len(each.lines) for each in recorded] == [25, 25, 10]
    assert all(whole(each) and each.pts_ms[0] == 0 for each in recorded)


def test_segments_end_by_bytes(tmp_path: Path) -> None:
    limit = 10 * len(make().payload)
    with Recorder(tmp_path, segment_bytes=limit) as recorder:
        for seq in range(40):
            recorder.write(make(seq))
    recorded = [read(path) for path in segments(tmp_path)]
    assert 4 <= len(recorded) <= 6
    assert all(whole(each) and sum(map(len, each.packets)) <= limit for each in recorded)
    assert sorted(entry["seq"] for each in recorded for entry in each.lines) == list(range(40))


def test_a_frame_above_the_limit_has_a_segment_of_its_own(tmp_path: Path) -> None:
    with Recorder(tmp_path, segment_bytes=10) as recorder:
        for seq in range(3):
            recorder.write(make(seq))
    assert [len(read(path).lines) for path in segments(tmp_path)] == [1, 1, 1]


def test_another_size_and_another_boot_begin_a_segment(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        for seq, (size, boot) in enumerate([((96, 64), 1), ((64, 96), 1), ((64, 96), 2)]):
            for n in range(5):
                recorder.write(make(seq * 25 + n, size=size, boot=boot))
    recorded = [read(path) for path in segments(tmp_path)]
    assert [len(each.lines) for each in recorded] == [5, 5, 5]
    assert [each.tags["BOOT"] for each in recorded] == ["1", "1", "2"]
    assert all(map(whole, recorded))


def test_times_rise_whatever_the_clock_does(tmp_path: Path) -> None:
    after_ms = [0, 0, 0.4, 10, 5, 4, 3, 40, 41]
    with Recorder(tmp_path) as recorder:
        for seq, ms in enumerate(after_ms):
            recorder.write(make(seq, captured_ns=START_NS + int(ms * 1e6)))
    recorded = the_one(tmp_path)
    assert whole(recorded)
    assert recorded.pts_ms == [0, 1, 2, 10, 11, 12, 13, 40, 41]


def test_a_long_pause_and_small_pictures_keep_their_times(tmp_path: Path) -> None:
    seconds = [0, 0.1, 0.2, 40, 41, 3000]
    plain = np.zeros((16, 16, 3), np.uint8)
    with Recorder(tmp_path, segment_seconds=3600) as recorder:
        for seq, at in enumerate(seconds):
            recorder.write(make(seq, captured_ns=START_NS + int(at * 1e9)).with_image(plain).encoded())
    recorded = the_one(tmp_path)
    assert whole(recorded)
    assert recorded.pts_ms == [int(at * 1000) for at in seconds]


def test_raw_frames_are_encoded(tmp_path: Path) -> None:
    image = np.full((64, 96, 3), (20, 120, 220), np.uint8)
    with Recorder(tmp_path) as recorder:
        recorder.write(make(0).with_image(image))
        recorder.write(make(1).with_image(image[:, :, 1].copy()))
    recorded = the_one(tmp_path)
    assert whole(recorded)
    first, second = (replace(make(), payload=packet, _pixels={}) for packet in recorded.packets)
    assert np.abs(first.image.astype(int) - image).max() <= 4
    assert np.abs(second.gray().astype(int) - 120).max() <= 4


def test_a_payload_may_be_a_memoryview(tmp_path: Path) -> None:
    frames = [make(seq) for seq in range(3)]
    with Recorder(tmp_path) as recorder:
        for frame in frames:
            recorder.write(replace(frame, payload=memoryview(frame.payload)))
    assert the_one(tmp_path).packets == [bytes(frame.payload) for frame in frames]


def test_close_in_the_middle_and_go_on(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    for seq in range(5):
        recorder.write(make(seq))
    recorder.close()
    recorder.close()
    for seq in range(25, 30):
        recorder.write(make(seq))
    recorder.close()
    assert [len(read(path).lines) for path in segments(tmp_path)] == [5, 5]


def test_end_closes_one_stream(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        recorder.write(make(camera="front"))
        recorder.write(make(camera="back"))
        recorder.end("front", "raw")
        recorder.end("nobody", "raw")
        assert recorder.stats().open == 1
        assert whole(read(tmp_path / "front/2026-10-14/17-46-40-raw.mkv"))


def test_what_is_flushed_can_be_read_while_recording(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        for seq in range(10):
            recorder.write(make(seq))
        assert [frame.seq for frame in recorder.commit().safe] == list(range(10))
        assert [len(each) for each in (the_one(tmp_path).lines, the_one(tmp_path).packets)] == [10, 10]
    assert whole(the_one(tmp_path))


def test_what_is_written_while_a_commit_is_under_way_is_for_the_next(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        for seq in range(10):
            recorder.write(make(seq))
        landed = threading.Event()
        assert recorder.begin_commit(landed.set)
        for seq in range(10, 15):
            recorder.write(make(seq))
        wait_for(landed.is_set)
        assert recorder.landed
        done = recorder.end_commit()
        assert [frame.seq for frame in done.safe] == list(range(10))
        assert [(each.row.frames, each.row.open) for each in done.segments] == [(10, True)]
        assert [frame.seq for frame in recorder.commit().safe] == list(range(10, 15))
        assert not recorder.begin_commit(landed.set)


def test_a_segment_that_ends_while_it_is_being_synced_is_told_of_once(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        for seq in range(10):
            recorder.write(make(seq))
        recorder.begin_commit(lambda: None)
        recorder.write(make(10))
        recorder.end("front", "raw")
        done = recorder.end_commit()
        assert [frame.seq for frame in done.safe] == list(range(11))
        assert [(each.row.frames, each.row.open) for each in done.segments] == [(11, False)]


def test_a_commit_of_many_cameras(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        for camera in range(20):
            recorder.write(make(camera=f"cam{camera}"))
        done = recorder.commit()
    assert sorted(each.row.camera for each in done.segments) == sorted(f"cam{camera}" for camera in range(20))
    assert all(whole(read(path)) for path in segments(tmp_path))
    assert len(done.safe) == 20


def test_stats(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, segment_seconds=1)
    assert recorder.stats() == RecorderStats()
    for seq in range(30):
        recorder.write(make(seq))
    recorder.close()
    on_disk = sum(path.stat().st_size for path in tmp_path.rglob("*.*") if path.is_file())
    assert recorder.stats() == RecorderStats(segments=2, frames=30, bytes=on_disk)


@pytest.mark.parametrize("name", ["../up", "Front", ""])
def test_names_that_are_none_never_become_paths(tmp_path: Path, name: str) -> None:
    with Recorder(tmp_path / "in") as recorder:
        with pytest.raises(ConfigError, match="is not a name"):
            recorder.write(make(camera=name))
        with pytest.raises(ConfigError, match="is not a name"):
            recorder.write(make(stage=name))
    assert [each for each in tmp_path.rglob("*") if each.name != "in"] == []


def test_what_is_no_picture_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        for frame in (make(payload=b"no jpeg"), make(width=95), make().without_image()):
            with pytest.raises(DecodeError):
                recorder.write(frame)
    assert list(tmp_path.iterdir()) == []


def test_annotations_that_cannot_be_written_leave_the_recording_whole(tmp_path: Path) -> None:
    odd = make(1, attributes={"odd": object()})
    with Recorder(tmp_path) as recorder:
        with pytest.raises(WireError):
            recorder.write(odd)
        assert not segments(tmp_path)
        recorder.write(make(0))
        with pytest.raises(WireError):
            recorder.write(odd)
        recorder.write(make(2))
    recorded = the_one(tmp_path)
    assert whole(recorded)
    assert [entry["seq"] for entry in recorded.lines] == [0, 2]


def test_lines_name_their_frames_in_the_video(tmp_path: Path) -> None:
    """By its `pts_ms` a line's frame is found: the picture there is the one that was recorded."""
    frames = [make(seq, captured_ns=START_NS + seq * seq * 1_000_000) for seq in range(12)]
    with Recorder(tmp_path) as recorder:
        for frame in frames:
            recorder.write(frame)
    (path,) = segments(tmp_path)
    at = dict(zip(read(path).pts_ms, read(path).packets, strict=True))
    for entry in read_lines(path):
        assert at[entry["pts_ms"]] == bytes(frames[entry["seq"]].payload)
