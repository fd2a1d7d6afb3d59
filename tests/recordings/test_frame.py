"""`mesh recordings frame`: one picture out of a folder."""

import logging
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from mesh.cli.main import app
from mesh.errors import MeshError
from tests.recordings.support import record, rich


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """A command sets up logging for its process, which here is everybody's."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def frame(folder: Path, camera: str, time: str, out: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["recordings", "frame", str(folder), camera, time, str(out), *options])


def test_a_picture_is_saved_as_it_was_recorded_or_with_its_boxes(tmp_path: Path) -> None:
    sent = record(tmp_path / "rec", map(rich, range(30)))
    one, drawn = tmp_path / "one.jpg", tmp_path / "drawn.png"
    assert frame(tmp_path / "rec", "front", "2026-10-14T17:46:41.123456Z", one).exit_code == 0
    assert one.read_bytes() == sent[24].payload  # 25 is captured a few hundred nanoseconds later
    assert frame(tmp_path / "rec", "front", "2030-01-01", drawn, "--boxes").exit_code == 0
    seen = cv2.imread(str(drawn))
    assert seen is not None
    assert seen.shape == sent[29].image.shape
    assert (np.abs(seen.astype(int) - sent[29].image).max(axis=2) > 40).any()


@pytest.mark.parametrize(
    ("camera", "time", "out", "code", "said"),
    [
        ("front", "2020-01-01", "a.jpg", 1, "no frame of front was recorded until then"),
        ("front", "soon", "a.jpg", 2, "is no time"),
        ("front", "-2", "a.jpg", 2, "is no time"),
        ("yard", "now", "a.jpg", 2, "no recording of camera 'yard'; it has: front"),
        ("front", "now", "a.gif", 2, "ends in .jpg"),
        ("front", "now", "no/such/a.jpg", 1, "cannot write"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    tmp_path: Path, camera: str, time: str, out: str, code: int, said: str
) -> None:
    record(tmp_path / "rec", map(rich, range(3)))
    result = frame(tmp_path / "rec", camera, time, tmp_path / out)
    assert isinstance(result.exception, MeshError)
    assert (result.exception.exit_code, said in str(result.exception)) == (code, True)
    assert not (tmp_path / out).exists()


def test_a_time_before_now_is_an_argument(tmp_path: Path) -> None:
    record(tmp_path / "rec", map(rich, range(3)))
    result = frame(tmp_path / "rec", "front", "-9999w", tmp_path / "a.jpg")
    assert isinstance(result.exception, MeshError)
    assert "no frame of front" in str(result.exception)
