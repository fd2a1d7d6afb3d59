"""`mesh recordings frame`: one picture out of a folder."""

import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from mesh.cli.main import app
from mesh.errors import MeshError
from mesh.frame import Frame
from tests.recordings.support import SECOND_NS, START_NS, record, rich
from tests.support.disks import mounted, remount


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
    assert frame(tmp_path / "rec", "front", "2026-10-14T17:46:42", drawn, "--boxes").exit_code == 0
    seen = cv2.imread(str(drawn))
    assert seen is not None
    assert seen.shape == sent[29].image.shape
    assert (np.abs(seen.astype(int) - sent[29].image).max(axis=2) > 40).any()


@pytest.mark.parametrize(
    ("camera", "time", "out", "code", "said"),
    [
        (
            "front",
            "2020-01-01",
            "a.jpg",
            1,
            "front has no frame of 2020-01-01T00:00:00.000Z: there is none before, the next one of "
            "2026-10-14T17:46:40.123Z; --nearest takes the nearest",
        ),
        ("front", "2030-01-01", "a.jpg", 1, "the last before is of 2026-10-14T17:46:40.203Z, there is none"),
        ("front", "soon", "a.jpg", 2, "is no time"),
        ("front", "-2", "a.jpg", 2, "is no time"),
        ("yard", "now", "a.jpg", 2, "no recording of camera 'yard'; it has: front"),
        ("front", "now", "a.gif", 2, "ends in .jpg"),
        ("front", "2026-10-14T17:46:42", "no/such/a.jpg", 1, "cannot write"),
        ("front", "2026-10-14T17:46:42", "rec/a.jpg", 2, "rec/a.jpg lies among the recordings in"),
        ("front", "2026-10-14T17:46:42", "rec/../rec/front/a.jpg", 2, "lies among the recordings in"),
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


def test_a_read_only_disk_is_one_line(tmp_path: Path) -> None:
    record(tmp_path / "rec", map(rich, range(3)))
    with mounted(tmp_path / "disk", "size=1m") as disk:
        remount(disk, "ro")
        result = frame(tmp_path / "rec", "front", "2026-10-14T17:46:42", disk / "a.jpg")
    assert isinstance(result.exception, MeshError)
    assert str(result.exception).endswith("a.jpg: Read-only file system; choose another place")


def test_a_time_before_now_is_an_argument(tmp_path: Path) -> None:
    record(tmp_path / "rec", map(rich, range(3)))
    result = frame(tmp_path / "rec", "front", "-9999w", tmp_path / "a.jpg")
    assert isinstance(result.exception, MeshError)
    assert "front has no frame of" in str(result.exception)


def at(second: float, seq: int) -> Frame:
    return rich(seq, captured_ns=START_NS + round(second * SECOND_NS))


def answers(folder: Path, times: Mapping[str, str | None], *options: str) -> None:
    """What is said of each time (a clock's, on the day) after the picture's name; None: it is refused."""
    for time, expected in times.items():
        out = folder / "a.jpg"
        result = frame(folder / "rec", "front", f"2026-10-14T{time}Z", out, *options)
        captured = re.escape(str(out)) + r": front, captured 2026-10-14T(\S+)Z(.*)\n"
        found = re.fullmatch(captured, result.output)
        assert (f"{found[1]}{found[2]}" if found else None) == expected, (time, result)
        assert (result.exit_code == 0) == out.exists() == (expected is not None)
        out.unlink(missing_ok=True)


def test_it_says_when_the_picture_was_captured_and_takes_none_out_of_a_gap(tmp_path: Path) -> None:
    record(tmp_path / "rec", [at(second, seq) for seq, second in enumerate((0, 0.5, 1, 600, 600.5))])
    answers(
        tmp_path,
        {
            "17:46:40.7": "17:46:40.623",
            "17:46:44.123": "17:46:41.123, 3.0 s before 2026-10-14T17:46:44.123Z",
            "17:46:47": None,
            "17:56:40": None,
            "17:56:41": "17:56:40.623",
        },
    )
    between = {
        "17:46:44.123": "17:46:41.123, 3.0 s before 2026-10-14T17:46:44.123Z",
        "17:50:00": "17:46:41.123, 3 min before 2026-10-14T17:50:00.000Z",
        "17:56:40": "17:56:40.123, 0.1 s after 2026-10-14T17:56:40.000Z",
        "12:00:00": "17:46:40.123, 6 h after 2026-10-14T12:00:00.000Z",
    }
    answers(tmp_path, between, "--nearest")


def test_of_a_slow_camera_three_intervals_are_no_gap(tmp_path: Path) -> None:
    seconds = (0, 60, 120, 3000, 3060)
    record(tmp_path / "rec", [at(second, seq) for seq, second in enumerate(seconds)], seconds=10)
    answers(
        tmp_path,
        {
            "17:51:40": "17:48:40.123, 3 min before 2026-10-14T17:51:40.000Z",
            "17:51:41": None,
            "18:37:41": "18:37:40.123",
            "18:40:00": "18:37:40.123, 2 min before 2026-10-14T18:40:00.000Z",
            "18:42:00": None,
        },
    )


def test_the_next_one_may_have_been_recorded_late(tmp_path: Path) -> None:
    record(tmp_path / "rec", [at(second, seq) for seq, second in enumerate((0, 600.4, 600.2, 600.6))])
    answers(tmp_path, {"17:56:40": "17:56:40.323, 0.3 s after 2026-10-14T17:56:40.000Z"}, "--nearest")
