"""The JPEGs of one camera: what was read from one is used for the next only where it holds."""

import pytest

from mesh import codec
from mesh.errors import DecodeError
from nodes.capture.sources.jpegs import JpegSeries
from tests.capture.sources.support import picture


def test_a_size_is_read_once_and_again_when_it_changes() -> None:
    asked: list[bytes] = []

    def complete(jpeg: bytes) -> bytes:
        asked.append(jpeg)
        return jpeg

    small = [codec.encode(picture(k)) for k in range(3)]
    large = codec.encode(picture(0, 80, 60))
    series = JpegSeries(complete)
    grabs = [series.grab(jpeg, k) for k, jpeg in enumerate([*small, large, small[0]])]
    assert [grab.size for grab in grabs] == [(64, 48)] * 3 + [(80, 60), (64, 48)]
    assert [grab.jpeg(1) for grab in grabs] == [*small, large, small[0]]
    assert [grab.pts_ns for grab in grabs] == [0, 1, 2, 3, 4]
    assert asked == [small[0], large, small[0]]  # the others begin as the one before them


def test_what_breaks_off_in_its_head_is_not_taken_for_the_last_one() -> None:
    whole = codec.encode(picture(0))
    series = JpegSeries(lambda jpeg: jpeg)
    assert series.grab(whole).size == (64, 48)
    scan = whole.index(b"\xff\xda")
    for damaged in (b"", b"\xff\xd8", whole[:scan], whole[: scan + 5], b"\xff\xd8" + whole[scan:]):
        grab = series.grab(damaged)
        with pytest.raises(DecodeError):
            _ = grab.size
        with pytest.raises(DecodeError):
            grab.jpeg(1)
    assert series.grab(whole).size == (64, 48)


def test_what_was_completed_is_completed_each_time() -> None:
    whole, bare = codec.encode(picture(0)), b"\xff\xd8bare"
    series = JpegSeries(lambda jpeg: whole if jpeg == bare else jpeg)
    assert [series.grab(jpeg).jpeg(1) for jpeg in (bare, bare, whole, bare)] == [whole] * 4
