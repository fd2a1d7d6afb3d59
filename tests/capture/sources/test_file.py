"""Files, and what every container shares: passing through, converting, looping, stopping."""

import threading
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.stream import VideoStream

from mesh import codec
from mesh.errors import DecodeError, SourceError, SourceRefused
from nodes.capture.sources.base import SourceOptions
from nodes.capture.sources.catalog import open_source
from nodes.capture.sources.container import MAX_DAMAGED_IN_A_ROW, with_huffman_tables
from nodes.capture.sources.jpegs import lacks_huffman_tables
from tests.capture.sources.support import CLIP, CLIP_FRAMES, grabs, jpegs, needs_clip, picture


def write_mjpeg(
    path: Path, pictures: list[bytes], fps: int = 10, options: dict[str, str] | None = None
) -> None:
    """Mux JPEGs as they are."""
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream("mjpeg", rate=fps)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for index, jpeg in enumerate(pictures):
            packet = av.Packet(jpeg)
            packet.pts = packet.dts = index
            packet.time_base, packet.stream = Fraction(1, fps), stream
            packet.is_keyframe = True
            container.mux(packet)


def write_video(
    path: Path, encoder: str, pixels: str, count: int = 20, size: tuple[int, int] = (64, 48)
) -> None:
    """Encode `picture(0)`, `picture(1)`, … at 10 frames per second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(encoder, rate=10)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        for k in range(count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(k, *size), "bgr24")))
        container.mux(stream.encode())


@needs_clip
def test_the_shared_clip_gives_every_frame_with_rising_times() -> None:
    source = open_source(str(CLIP))
    assert (source.live, source.codec, source.fps) == (False, "h264", 10.0)
    times = [grab.pts_ns for grab in source]
    assert len(times) == CLIP_FRAMES
    assert times[0] == 0
    assert all(later - earlier == 100_000_000 for earlier, later in pairwise(t or 0 for t in times))


@needs_clip
def test_a_relative_path_and_a_file_url_open_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CLIP.parent)
    one, other = grabs(CLIP.name, 1)[0], grabs(CLIP.resolve().as_uri(), 1)[0]
    assert one.jpeg(80) == other.jpeg(80)
    assert (one.width, one.height) == (768, 432)


@needs_clip
def test_scaling() -> None:
    grab = grabs(str(CLIP), 1)[0]
    for size in ((384, 216), (100, 100), (800, 450)):
        assert codec.jpeg_size(grab.jpeg(80, size)) == size


@pytest.mark.parametrize("suffix", ["mkv", "avi", "mov"])
def test_a_cameras_own_jpegs_pass_through_untouched(tmp_path: Path, suffix: str) -> None:
    sent = jpegs(12)
    write_mjpeg(tmp_path / f"a.{suffix}", sent)
    got = grabs(str(tmp_path / f"a.{suffix}"))
    assert [grab.jpeg(1) for grab in got] == sent
    assert [grab.jpeg(1, (64, 48)) for grab in got] == sent
    assert {(grab.width, grab.height) for grab in got} == {(64, 48)}
    assert [grab.pts_ns for grab in got] == [k * 100_000_000 for k in range(12)]
    assert codec.jpeg_size(got[0].jpeg(80, (32, 24))) == (32, 24)


def test_a_jpeg_without_huffman_tables_gets_them(tmp_path: Path) -> None:
    whole = jpegs(3)
    bare = [without_huffman_tables(jpeg) for jpeg in whole]
    assert all(lacks_huffman_tables(jpeg) for jpeg in bare)
    write_mjpeg(tmp_path / "a.avi", bare)
    got = [grab.jpeg(80) for grab in grabs(str(tmp_path / "a.avi"))]
    assert not any(lacks_huffman_tables(jpeg) for jpeg in got)
    for mended, jpeg in zip(got, whole, strict=True):
        assert np.array_equal(codec.decode_bgr(mended, 64, 48), codec.decode_bgr(jpeg, 64, 48))


def test_a_damaged_jpeg_is_one_damaged_picture(tmp_path: Path) -> None:
    sent = jpegs(12)
    sent[5] = b"\x00" * 500
    write_mjpeg(tmp_path / "a.mkv", sent)
    got = grabs(str(tmp_path / "a.mkv"))
    assert len(got) == 12
    with pytest.raises(DecodeError):
        got[5].jpeg(80)
    with pytest.raises(DecodeError):
        _ = got[5].width
    assert got[6].jpeg(80) == sent[6]
    assert with_huffman_tables(b"\xff\xd8\xff\xda\x00\x02") is not None


@pytest.mark.parametrize(
    ("encoder", "pixels", "size"),
    [
        ("libx264", "yuv420p", (64, 48)),
        ("libx264", "yuvj420p", (64, 48)),
        ("libx264", "yuv444p", (66, 50)),
        ("ffv1", "yuv420p", (67, 49)),
        ("ffv1", "bgr0", (67, 49)),
        ("ffv1", "gray", (64, 48)),
        ("rawvideo", "yuyv422", (64, 48)),
    ],
)
def test_colours_survive(tmp_path: Path, encoder: str, pixels: str, size: tuple[int, int]) -> None:
    write_video(tmp_path / "a.mkv", encoder, pixels, size=size)
    got = grabs(str(tmp_path / "a.mkv"))
    assert len(got) == 20
    for k, grab in enumerate(got):
        seen = codec.decode_bgr(grab.jpeg(95), *size)
        assert np.abs(seen.astype(int) - picture(k, *size)).mean() < 6


def test_packets_that_do_not_decode_are_skipped(tmp_path: Path) -> None:
    damaged_copy(tmp_path, every=10)
    got = grabs(str(tmp_path / "damaged.mkv"))
    assert 0 < len(got) < 40
    assert all(codec.jpeg_size(grab.jpeg(80)) == (64, 48) for grab in got)


def test_a_hundred_packets_in_a_row_that_do_not_decode_are_an_error(tmp_path: Path) -> None:
    damaged_copy(tmp_path, every=1, count=MAX_DAMAGED_IN_A_ROW + 20)
    with pytest.raises(SourceError, match="in a row do not decode"):
        grabs(str(tmp_path / "damaged.mkv"))


@pytest.mark.parametrize("content", ["mjpeg", "h264"])
def test_looping_goes_on_rising(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.mkv"
    write_mjpeg(path, jpegs(7)) if content == "mjpeg" else write_video(path, "libx264", "yuv420p", 7)
    got = grabs(str(path), 20, loop=True)
    assert [grab.pts_ns for grab in got] == [k * 100_000_000 for k in range(20)]
    assert got[7].jpeg(80) == got[0].jpeg(80)


def test_stop_ends_a_loop(tmp_path: Path) -> None:
    write_mjpeg(tmp_path / "a.mkv", jpegs(3))
    stop = threading.Event()
    source = open_source(str(tmp_path / "a.mkv"), SourceOptions(loop=True, stop=stop))
    pictures = iter(source)
    list(islice(pictures, 10))
    stop.set()
    assert list(pictures) == []
    source.close()


def test_close_ends_the_reading_and_may_be_repeated(tmp_path: Path) -> None:
    write_mjpeg(tmp_path / "a.mkv", jpegs(9))
    source = open_source(str(tmp_path / "a.mkv"))
    pictures = iter(source)
    held = next(pictures)
    source.close()
    source.close()
    assert list(pictures) == []
    assert list(source) == []
    assert held.jpeg(80) == jpegs(1)[0]


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("no video at all\n" * 50)
    (tmp_path / "empty.mp4").touch()
    for path, said in (
        (tmp_path / "missing.mp4", "no such file"),
        (tmp_path / "a.txt", "not a video"),
        (tmp_path / "empty.mp4", "not a video"),
        (tmp_path, "images:"),
    ):
        with pytest.raises(SourceRefused, match=said):
            open_source(str(path))


def without_huffman_tables(jpeg: bytes) -> bytes:
    """The JPEG with its DHT segments left out, as USB cameras send them."""
    kept, at = [jpeg[:2]], 2
    while jpeg[at + 1] != 0xDA:
        length = 2 + int.from_bytes(jpeg[at + 2 : at + 4])
        if jpeg[at + 1] != 0xC4:
            kept.append(jpeg[at : at + length])
        at += length
    return b"".join([*kept, jpeg[at:]])


def damaged_copy(directory: Path, every: int, count: int = 40) -> None:
    """A video (FFV1: its packets say when they are damaged) of which each `every`-th packet is rubbish."""
    write_video(directory / "whole.mkv", "ffv1", "yuv420p", count)
    with (
        av.open(str(directory / "whole.mkv")) as whole,
        av.open(str(directory / "damaged.mkv"), "w") as damaged,
    ):
        stream = damaged.add_stream_from_template(whole.streams.video[0])
        for index, packet in enumerate(p for p in whole.demux(video=0) if p.size):
            rubbish = (index % every == 0 and index > 0) or every == 1
            copy = av.Packet(b"\x00" if rubbish else bytes(packet))
            copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
            copy.is_keyframe, copy.stream = packet.is_keyframe, stream
            damaged.mux(copy)
