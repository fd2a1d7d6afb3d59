"""Films of what was recorded, read back with PyAV."""

import signal
from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np
import pytest

import mesh
from mesh import codec
from mesh.codec import Image
from mesh.errors import ConfigError, StorageError
from mesh.frame import Frame
from mesh.recordings.export import Film, Written, check_size, export
from mesh.recordings.grid import Grid, columns_of, even, tile_of
from tests.collect.support import segments
from tests.recordings.support import SECOND_NS, START_NS, make, record, rich
from tests.support.frames import picture
from tests.support.processes import Processes
from tests.support.terminal import Terminal


@dataclass(frozen=True)
class Seen:
    """A film as a player has it."""

    codec: str
    size: tuple[int, int]
    times: list[float]
    pictures: list[Image]
    packets: list[bytes]


def play(path: Path) -> Seen:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        packets = [bytes(packet) for packet in container.demux(stream) if packet.size]
        name, size = stream.codec_context.name, (stream.width, stream.height)
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    pictures = [np.asarray(frame.to_ndarray(format="bgr24"), np.uint8) for frame in frames]
    return Seen(name, size, [round(float(frame.time or 0), 3) for frame in frames], pictures, packets)


def written(folder: Path, out: Path, *cameras: str, **film: object) -> Written:
    with mesh.open_recordings(folder) as recordings:
        return export(recordings, Film(cameras or ("front",), **film), out)  # type: ignore[arg-type]


def smooth(seq: int, at_s: float, camera: str = "front") -> Frame:
    """A frame of a picture that survives H.264, captured so many seconds after the start."""
    jpeg = codec.encode(picture(96, 64, seed=seq))
    return make(seq, camera=camera, payload=jpeg, captured_ns=START_NS + round(at_s * SECOND_NS))


def near(one: Image, other: Image) -> bool:
    return float(np.abs(one.astype(int) - other).mean()) < 6


LATER_NS = START_NS + 9 * SECOND_NS
TIMES = [0.0, 0.04, 0.08, 0.5, 0.54, 3.0, 3.1]


@pytest.fixture
def uneven(tmp_path: Path) -> list[Frame]:
    """A folder of a camera that was not steady."""
    return record(tmp_path / "rec", [smooth(seq, at) for seq, at in enumerate(TIMES)])


def test_mkv_holds_the_pictures_as_they_are(tmp_path: Path, uneven: list[Frame]) -> None:
    assert written(tmp_path / "rec", tmp_path / "a.mkv") == Written(7, 3.1)
    seen = play(tmp_path / "a.mkv")
    assert (seen.codec, seen.times) == ("mjpeg", TIMES)
    assert seen.packets == [frame.payload for frame in uneven]


def test_mp4_plays_in_browsers_and_keeps_the_times(tmp_path: Path, uneven: list[Frame]) -> None:
    assert written(tmp_path / "rec", tmp_path / "a.mp4", speed=2.0) == Written(7, 1.55)
    seen = play(tmp_path / "a.mp4")
    assert (seen.codec, seen.size) == ("h264", (96, 64))
    assert seen.times == [at / 2 for at in TIMES]
    assert all(near(one, frame.image) for one, frame in zip(seen.pictures, uneven, strict=True))
    data = (tmp_path / "a.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # it plays while it is being loaded
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"


def test_a_range_a_size_and_a_rate(tmp_path: Path, uneven: list[Frame]) -> None:
    start, end = START_NS + SECOND_NS // 2, START_NS + 3 * SECOND_NS + 1
    done = written(tmp_path / "rec", tmp_path / "a.mp4", start=start, end=end, size=(51, 51), fps=4)
    assert done == Written(2, 2.5)
    seen = play(tmp_path / "a.mp4")
    assert (seen.size, seen.times) == ((50, 50), [0.0, 2.5])
    assert seen.pictures[0][:6].max() < 30  # black, where the shape leaves something over
    assert seen.pictures[0][20:30].mean() > 40


def test_boxes_are_drawn(tmp_path: Path) -> None:
    record(tmp_path / "rec", map(rich, range(3)))
    written(tmp_path / "rec", tmp_path / "plain.mp4")
    written(tmp_path / "rec", tmp_path / "boxes.mp4", boxes=True)
    plain, boxes = (play(tmp_path / f"{name}.mp4").pictures[0] for name in ("plain", "boxes"))
    assert np.abs(plain.astype(int) - boxes).max() > 60


def test_several_cameras_stand_side_by_side_on_one_clock(tmp_path: Path) -> None:
    door = [smooth(seq, seq * 0.5, "door") for seq in range(3)]
    yard = [smooth(50 + seq, 1 + seq * 0.5, "yard") for seq in range(20)]
    record(tmp_path / "rec", sorted(door + yard, key=lambda frame: frame.captured_ns))
    done = written(tmp_path / "rec", tmp_path / "a.mp4", "door", "yard", fps=2)
    assert done == Written(22, 10.5)
    seen = play(tmp_path / "a.mp4")
    assert (seen.size, seen.times) == ((192, 64), [at / 2 for at in range(22)])
    above = slice(0, 40)  # of the text
    left, right = (
        [image[above, side] for image in seen.pictures] for side in (slice(0, 96), slice(96, None))
    )
    assert near(left[0], door[0].image[above])
    assert right[0].max() < 30  # nothing of it was captured yet
    assert near(left[3], door[2].image[above])
    assert near(right[3], yard[1].image[above])
    assert left[20].max() < 30  # in a gap
    assert near(right[20], yard[18].image[above])
    assert seen.pictures[0][44:, 96:].max() > 90  # its name and the time


def test_mkv_has_a_track_for_each_of_several_cameras_on_one_clock(tmp_path: Path) -> None:
    door = [smooth(seq, seq * 0.5, "door") for seq in range(3)]
    yard = [smooth(50 + seq, 0.75 + seq * 0.5, "yard") for seq in range(4)]
    record(tmp_path / "rec", [*sorted(door + yard, key=lambda f: f.captured_ns), smooth(90, 99, "attic")])
    names = "yard", "attic", "door"
    assert written(tmp_path / "rec", tmp_path / "a.mkv", *names, end=LATER_NS) == Written(7, 2.25)
    with av.open(str(tmp_path / "a.mkv")) as container:
        tracks = {stream.metadata["title"]: stream.index for stream in container.streams}
        packets = [packet for packet in container.demux() if packet.size]
    assert list(tracks) == ["yard raw", "door raw"]
    for title, frames in (("yard raw", yard), ("door raw", door)):
        held = [packet for packet in packets if packet.stream_index == tracks[title]]
        assert [bytes(packet) for packet in held] == [frame.payload for frame in frames]
        times = [(frame.captured_ns - START_NS) // 1_000_000 for frame in frames]
        assert [packet.pts for packet in held] == times


def test_gaps_are_left_out_where_asked_for(tmp_path: Path) -> None:
    """Of one camera, of which each gap shows a second, and of two: what no camera recorded."""
    times = [0.0, 0.5, 600.0, 600.5, 605.0, 4000.0]
    record(tmp_path / "rec", [smooth(seq, at) for seq, at in enumerate(times)])
    for name in ("a.mkv", "a.mp4"):
        assert written(tmp_path / "rec", tmp_path / name, skip_gaps=True).pictures == len(times)
        assert play(tmp_path / name).times == [0.0, 0.5, 1.5, 2.0, 6.5, 7.5]
    assert play_times(tmp_path, skip_gaps=False)[-1] == 4000.0


def play_times(folder: Path, **film: object) -> list[float]:
    written(folder / "rec", folder / "b.mkv", **film)
    return play(folder / "b.mkv").times


def test_what_no_camera_recorded_is_left_out_of_several(tmp_path: Path) -> None:
    door = [smooth(seq, at, "door") for seq, at in enumerate((0.0, 0.5, 600.0))]
    yard = [smooth(50 + seq, 598 + seq * 0.5, "yard") for seq in range(3)]
    record(tmp_path / "rec", door + yard)
    written(tmp_path / "rec", tmp_path / "a.mp4", "door", "yard", fps=2, skip_gaps=True)
    seen = play(tmp_path / "a.mp4")
    assert seen.times == [0.0, 0.5, 1.0, 2.0, 2.5, 3.0, 4.0]  # at 1.0 the clock of the empty tile changed
    assert near(seen.pictures[3][:40, 96:], yard[0].image[:40])
    assert seen.pictures[3][:40, :96].max() < 30, "of the door, it is a gap"
    assert near(seen.pictures[6][:40, :96], door[2].image[:40])


def test_damage_is_left_out_and_counted(tmp_path: Path) -> None:
    frames = [smooth(seq, seq / 10) for seq in range(5)]
    record(tmp_path / "rec", frames)
    (video,) = segments(tmp_path / "rec")
    data = bytearray(video.read_bytes())
    data[data.index(bytes(frames[2].payload)) + 300] ^= 0xFF
    video.write_bytes(data)
    assert written(tmp_path / "rec", tmp_path / "a.mp4").pictures == 4
    assert play(tmp_path / "a.mp4").times == [0.0, 0.1, 0.3, 0.4]


@pytest.mark.parametrize(
    ("out", "film", "error", "said"),
    [
        ("a.avi", {}, ConfigError, "ends in .mp4, or in .mkv"),
        ("a.mkv", {"boxes": True}, ConfigError, "write .mp4 for boxes or a size"),
        (
            "a.mp4",
            {"start": START_NS + 9 * SECOND_NS},
            StorageError,
            "was recorded from 2026-10-14T17:46:49Z",
        ),
        ("a.mp4", {"size": (99_999, 2)}, ConfigError, "99999x2 is too large for H.264, .*: give a smaller"),
        ("a.mp4", {"size": (16_384, 16_384)}, ConfigError, "16384x16384 is too large for H.264"),
        ("no/a.mp4", {}, StorageError, "cannot write .*/no/a.mp4: no such file"),
    ],
)
def test_what_cannot_be_written_is_one_line_and_leaves_nothing(
    tmp_path: Path, uneven: list[Frame], out: str, film: dict[str, object], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=f"(?i){said}"):
        written(tmp_path / "rec", tmp_path / out, **film)
    assert [path.name for path in tmp_path.iterdir()] == ["rec"]


def test_all_cameras_are_those_that_have_the_stage_in_that_time(tmp_path: Path) -> None:
    door = [replace(smooth(seq, seq / 2, "door"), stage="motion") for seq in range(3)]
    hall = [replace(smooth(seq, 60 + seq, "hall"), stage="motion") for seq in range(3)]
    yard = [smooth(seq, 0.1 + seq / 2, "yard") for seq in range(3)]
    record(tmp_path / "rec", sorted(door + hall + yard, key=lambda frame: frame.captured_ns))
    with mesh.open_recordings(tmp_path / "rec") as recordings:
        assert export(recordings, Film(stage="motion", end=LATER_NS), tmp_path / "a.mp4").pictures == 3
        assert play(tmp_path / "a.mp4").size == (96, 64)  # of one camera
        for film, names in ((Film(stage="motion"), "door, hall"), (Film(end=LATER_NS), "door, yard")):
            assert export(recordings, film, tmp_path / "a.mkv").pictures == 6
            with av.open(str(tmp_path / "a.mkv")) as container:
                assert container.metadata["title"].startswith(f"{names} 2026-10-14")
        with pytest.raises(
            ConfigError, match="no camera is recorded at the stage 'codes'; there are: motion, raw"
        ):
            export(recordings, Film(stage="codes"), tmp_path / "b.mkv")
    (tmp_path / "empty").mkdir()
    with (
        mesh.open_recordings(tmp_path / "empty") as recordings,
        pytest.raises(ConfigError, match="no recording"),
    ):
        export(recordings, Film(), tmp_path / "b.mkv")


def test_a_stage_need_not_be_named_where_there_is_one_in_that_time(tmp_path: Path) -> None:
    old = [replace(smooth(seq, seq / 2 - 3 * 86_400), stage="motion") for seq in range(3)]
    record(tmp_path / "rec", [*old, *(smooth(seq, seq / 2) for seq in range(4))])
    assert written(tmp_path / "rec", tmp_path / "a.mkv", start=START_NS).pictures == 4
    with pytest.raises(ConfigError, match="motion, raw: name one"):
        written(tmp_path / "rec", tmp_path / "b.mkv")


@pytest.mark.parametrize("size", [(16_384, 2), (2, 16_384)])
def test_the_encoder_takes_the_longest_pictures_that_are_allowed(
    tmp_path: Path, uneven: list[Frame], size: tuple[int, int]
) -> None:
    written(tmp_path / "rec", tmp_path / "a.mp4", size=size, fps=0.1)
    assert play(tmp_path / "a.mp4").size == size


def test_a_picture_is_as_large_as_the_highest_level_of_h264_allows() -> None:
    for size in ((8192, 4352), (16_384, 2176), (5968, 5968)):
        check_size(size)
        with pytest.raises(ConfigError, match="too large for H\\.264"):
            check_size((size[0], size[1] + 16))


def test_ctrl_c_leaves_nothing_half_written(tmp_path: Path) -> None:
    """Of a film that takes a minute to write, so that it is written still, however late that is seen."""
    jpeg = codec.encode(picture(96, 64))
    record(tmp_path / "rec", [make(seq, payload=jpeg) for seq in range(5000)], seconds=600)
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.mp4").write_bytes(b"an older film")
    with (
        Processes(tmp_path / "logs") as processes,
        Terminal(
            processes, "recordings", "export", tmp_path / "rec", out / "a.mp4", "--size", "1920x1280"
        ) as terminal,
    ):
        terminal.wait_for(
            lambda: terminal.has("a.mp4", "%") and len(list(out.iterdir())) == 2, "it is writing"
        )
        terminal.process.send(signal.SIGINT)
        assert terminal.wait() == 130
    assert [path.name for path in out.iterdir()] == ["a.mp4"]
    assert (out / "a.mp4").read_bytes() == b"an older film"


def test_tiles_fill_the_picture_and_are_even() -> None:
    assert [columns_of(count) for count in (1, 2, 3, 4, 5, 9, 10)] == [1, 2, 2, 2, 3, 3, 4]
    assert even((641, 1)) == (640, 2)
    assert tile_of(2, (640, 480), None) == (640, 480)
    assert tile_of(4, (1920, 1080), None) == (960, 540)
    assert tile_of(3, (640, 480), (1001, 800)) == (500, 400)


def test_a_camera_is_called_as_its_folder_is(tmp_path: Path) -> None:
    record(tmp_path / "rec", map(rich, range(5)))
    (tmp_path / "rec" / "front").rename(tmp_path / "rec" / "before")
    record(tmp_path / "rec", [rich(seq, camera="yard") for seq in range(5)], index=False)
    assert written(tmp_path / "rec", tmp_path / "film.mkv", "before", "yard").pictures == 10
    assert written(tmp_path / "rec", tmp_path / "film.mp4", "before", "yard").pictures > 1


def test_what_is_behind_a_late_frame_is_no_gap(tmp_path: Path) -> None:
    times = (0, 1, 20, 21, 2, 22, 23)
    record(tmp_path / "rec", [smooth(seq, at_s) for seq, at_s in enumerate(times)], seconds=60)
    written(tmp_path / "rec", tmp_path / "film.mp4", skip_gaps=True)
    assert play(tmp_path / "film.mp4").times[-2:] == [4, 5]


def test_a_late_frame_does_not_take_the_place_of_a_later_one() -> None:
    frames = [smooth(seq, at_s) for seq, at_s in enumerate((0, 1, 2, 0.5))]
    grid = Grid(("front",), (96, 64))
    pictures = grid.pictures({"front": frames}, START_NS, START_NS + 3 * SECOND_NS, SECOND_NS)
    shown = [image[:32].copy() for _, image in pictures]
    assert near(shown[2], frames[2].image[:32])


def test_a_films_name_is_no_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(tmp_path / "rec", map(rich, range(5)))
    monkeypatch.chdir(tmp_path)
    for name in ("front-10:00.mkv", "front-10:00.mp4"):
        assert written(tmp_path / "rec", Path(name)).pictures == 5
        assert (tmp_path / name).stat().st_size
