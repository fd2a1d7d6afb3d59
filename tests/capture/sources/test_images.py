"""Directories of pictures."""

import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from mesh import codec
from mesh.errors import DecodeError, SourceRefused
from nodes.capture.sources.base import SourceOptions
from nodes.capture.sources.catalog import open_source
from tests.capture.sources.support import grabs, jpegs, picture


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """b.jpg, c.png, a.JPEG, d.bmp and what is no picture."""
    first, second = jpegs(2)
    (tmp_path / "b.jpg").write_bytes(second)
    (tmp_path / "a.JPEG").write_bytes(first)
    cv2.imwrite(str(tmp_path / "c.png"), picture(2))
    cv2.imwrite(str(tmp_path / "d.bmp"), picture(3))
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def test_sorted_jpegs_untouched_others_encoded(directory: Path) -> None:
    source = open_source(f"images:{directory}?fps=4")
    got = list(source)
    assert (source.live, source.fps, source.codec) == (False, 4.0, "mjpeg")
    assert [grab.jpeg(1) for grab in got[:2]] == jpegs(2)
    assert [grab.pts_ns for grab in got] == [0, 250_000_000, 500_000_000, 750_000_000]
    for k in (2, 3):
        assert (got[k].width, got[k].height) == (64, 48)
        seen = codec.decode_bgr(got[k].jpeg(95), 64, 48)
        assert np.abs(seen.astype(int) - picture(k)).mean() < 3
        assert codec.jpeg_size(got[k].jpeg(80, (32, 24))) == (32, 24)


def test_looping_goes_on_rising_until_stopped(directory: Path) -> None:
    got = grabs(f"images:{directory}", 9, loop=True)
    assert [grab.pts_ns for grab in got] == [k * 40_000_000 for k in range(9)]
    assert got[8].jpeg(1) == got[0].jpeg(1)
    stop = threading.Event()
    stop.set()
    assert list(open_source(f"images:{directory}", SourceOptions(loop=True, stop=stop))) == []


def test_a_damaged_picture_is_one_damaged_picture(directory: Path) -> None:
    (directory / "b.jpg").write_bytes(b"rubbish")
    (directory / "c.png").write_bytes(b"rubbish")
    got = grabs(f"images:{directory}")
    for damaged in got[1:3]:
        with pytest.raises(DecodeError):
            damaged.jpeg(80)
    assert got[0].jpeg(1) == jpegs(1)[0]


def test_no_pictures_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, said in (
        (tmp_path, "holds no pictures"),
        (tmp_path / "nowhere", "no such directory"),
        (tmp_path / "file", "not a directory"),
    ):
        with pytest.raises(SourceRefused, match=said):
            open_source(f"images:{path}")
