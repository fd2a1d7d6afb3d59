"""The file as a player sees it: while it is written, when it has ended, and when it was cut."""

import io
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import pytest

from mesh.recordings.ebml import whole
from nodes.collect.layout import SEGMENT_AT, About, Ending, head, picture
from nodes.collect.matroska import PICTURES_A_CALL, MatroskaWriter
from tests.collect.support import START_NS, make

ABOUT = About(96, 64, "front raw", START_NS, {"CAMERA": "front", "FIRST_CAPTURED_NS": str(START_NS)})
PICTURES = [bytes(make(seq).payload) for seq in range(4)]


@pytest.fixture
def file(tmp_path: Path) -> Iterator[io.FileIO]:
    with io.FileIO(tmp_path / "a.mkv", "x+") as opened:
        yield opened


def path_of(file: io.FileIO) -> Path:
    return Path(str(file.name))


def packets(file: io.FileIO) -> list[tuple[int | None, bytes]]:
    """Times in milliseconds, and pictures."""
    with av.open(str(file.name)) as container:
        return [(packet.pts, bytes(packet)) for packet in container.demux(video=0) if packet.size]


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """The disk takes no more than so many bytes of a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def written(file: io.FileIO, frames: int, every_ms: int = 40) -> MatroskaWriter:
    writer = MatroskaWriter(file, ABOUT)
    writer.write(picture(PICTURES[number % 4], number * every_ms) for number in range(frames))
    return writer


@pytest.mark.parametrize("cues_at", [None, 10**12])
def test_a_head_has_one_length(cues_at: int | None) -> None:
    assert len(head(ABOUT)) == len(head(ABOUT, Ending(2 * 10**12, 10**9, cues_at)))


def test_every_frame_is_in_the_file_when_write_returns(file: io.FileIO) -> None:
    writer = MatroskaWriter(file, ABOUT)
    for number in range(4):
        writer.write([picture(PICTURES[number], number * 40)])
        assert path_of(file).stat().st_size == writer.end
        clusters = whole(path_of(file).read_bytes()).clusters
        assert [each.times_ms for each in clusters] == [(n * 40,) for n in range(number + 1)]
        assert packets(file) == [(n * 40, PICTURES[n]) for n in range(number + 1)]


def test_a_file_that_has_ended_says_what_it_is(file: io.FileIO) -> None:
    written(file, 100).finish()
    assert whole(path_of(file).read_bytes()).finished
    with av.open(str(path_of(file))) as container:
        (stream,) = container.streams.video
        assert (stream.codec.name, stream.width, stream.height) == ("mjpeg", 96, 64)
        assert container.duration == 99 * 40 * 1000  # in microseconds
        assert container.metadata["title"] == "front raw"
        assert container.metadata["FIRST_CAPTURED_NS"] == str(START_NS)
    assert packets(file) == [(number * 40, PICTURES[number % 4]) for number in range(100)]


def test_a_player_finds_a_time_without_reading_what_is_before_it(file: io.FileIO) -> None:
    written(file, 300).finish()
    with av.open(str(path_of(file))) as container:
        container.seek(7_500_000)
        first = next(packet for packet in container.demux(video=0) if packet.size)
    assert first.pts is not None
    assert 6_500 <= first.pts <= 7_500


def test_more_frames_than_a_call_takes(file: io.FileIO) -> None:
    written(file, 2 * PICTURES_A_CALL + 3).finish()
    assert packets(file) == [(n * 40, PICTURES[n % 4]) for n in range(2 * PICTURES_A_CALL + 3)]


@pytest.mark.parametrize("over", [-1, 0, 1, 20, 40, 5000])
def test_what_a_disk_that_fills_up_took_whole_counts(file: io.FileIO, over: int) -> None:
    """The system takes a part first, and says why when it is to take the rest."""
    writer = MatroskaWriter(file, ABOUT)
    ends = [writer.end]
    pictures = [picture(jpeg, n * 40) for n, jpeg in enumerate(PICTURES)]
    for each in pictures:
        ends.append(ends[-1] + each.size)
    with files_up_to(ends[2] + over), pytest.raises(OSError, match="File too large"):
        writer.write(pictures)
    assert writer.end == ends[2 if over >= 0 else 1]
    writer.cut(writer.end, 40)
    assert [jpeg for _, jpeg in packets(file)] == PICTURES[: 2 if over >= 0 else 1]


def test_a_file_that_is_cut_back_ends_there(file: io.FileIO) -> None:
    writer = written(file, 3)
    end = writer.end
    writer.write([picture(PICTURES[3], 120)])
    file.seek(0, io.SEEK_END)
    file.write(b"half a frame")
    writer.cut(end, 80)
    assert path_of(file).stat().st_size == end
    assert whole(path_of(file).read_bytes()).finished
    with av.open(str(path_of(file))) as container:
        assert container.duration == 80_000
    assert packets(file) == [(number * 40, PICTURES[number]) for number in range(3)]


def test_times_beyond_an_hour_and_frames_far_apart(file: io.FileIO) -> None:
    writer = MatroskaWriter(file, ABOUT)
    times = [0, 40_000, 3_600_000, 2**33]
    writer.write(map(picture, PICTURES, times))
    writer.finish()
    assert packets(file) == list(zip(times, PICTURES, strict=True))


def test_positions_count_from_where_the_segment_begins() -> None:
    start = head(ABOUT)
    assert start[SEGMENT_AT - 12 : SEGMENT_AT - 8] == bytes.fromhex("18538067")
    assert start[SEGMENT_AT : SEGMENT_AT + 4] == bytes.fromhex("114d9b74")
