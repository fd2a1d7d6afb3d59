"""What a day holds, and the picture of it."""

from datetime import UTC, date, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from mesh.cli.main import app
from mesh.errors import MeshError
from mesh.frame import Detection, Frame
from mesh.recordings.day import Day, day_of, joined
from mesh.recordings.names import DAY_NS, begin_of
from mesh.recordings.timeline import (
    EMPTY,
    GAP,
    LEAST,
    LEFT,
    MINUTES,
    RECORDED,
    TOP,
    filled,
    timeline,
    touched,
)
from nodes.collect.recorder import Recorder
from tests.recordings.support import SECOND_NS, make, record
from tests.recordings.test_frame import logging_as_it_was

__all__ = ["logging_as_it_was"]

DAY = date(2026, 10, 14)
BEGIN_NS = begin_of(DAY)
MINUTE_NS = 60 * SECOND_NS
HOUR_NS = 60 * MINUTE_NS


def at(minute: float, seq: int, *labels: str, **changes: object) -> Frame:
    found = tuple(Detection(label, 0.9, (0.0, 0.0, 9.0, 9.0), "model") for label in labels)
    return make(seq, captured_ns=BEGIN_NS + round(minute * MINUTE_NS), detections=found, **changes)


def steady(first: int, last: int, *labels: str) -> list[Frame]:
    """Frames two seconds apart, from one minute to another."""
    return [at(first + k / 30, 1000 + first * 30 + k, *labels) for k in range((last - first) * 30 + 1)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    record(
        tmp_path / "rec",
        [*steady(-2, 1), *steady(61, 62, "person"), *steady(65, 66, "car", "person")],
        seconds=60,
    )
    return tmp_path / "rec"


def minutes(stretches: object) -> list[tuple[float, float]]:
    return [((a - BEGIN_NS) / MINUTE_NS, (b - BEGIN_NS) / MINUTE_NS) for a, b in stretches]  # type: ignore[attr-defined]


@pytest.mark.parametrize("index", [True, False], ids=["index", "files alone"])
def test_a_day_by_its_stretches_gaps_and_what_was_seen(folder: Path, index: bool) -> None:
    if not index:
        (folder / "index.db").unlink()
    day = day_of(folder, "front", DAY)
    assert minutes(day.recorded) == [(0, 1), (61, 62), (65, 66)]
    assert minutes(day.gaps) == [(1, 61), (62, 65)]
    assert {label: minutes(seen) for label, seen in day.seen.items()} == {
        "car": [(65, 66)],
        "person": [(61, 62), (65, 66)],
    }
    assert day.seconds == 180
    assert minutes(day_of(folder, "front", date(2026, 10, 13)).recorded) == [(-2, -1 / 30)]
    assert day_of(folder, "yard", DAY) == Day("yard", DAY)


def test_a_day_knows_what_is_being_written_and_passes_over_what_is_bad(folder: Path) -> None:
    with Recorder(folder) as recorder:
        for frame in steady(70, 71):
            recorder.write(frame)
        recorder.commit()
        (bad := folder / "front" / "2026-10-14" / "23-00-00-raw.mkv").write_bytes(b"rubbish")
        assert minutes(day_of(folder, "front", DAY).recorded)[-1] == (70, 71)
        assert bad.exists()


def test_stretches_of_a_day_are_clipped_and_joined() -> None:
    end = BEGIN_NS + DAY_NS
    second = SECOND_NS
    stretches = [(end - second, end + second), (BEGIN_NS - second, BEGIN_NS + second), (BEGIN_NS, BEGIN_NS)]
    assert joined(stretches, DAY) == ((BEGIN_NS, BEGIN_NS + second), (end - second, end))
    assert joined([(BEGIN_NS - 9, BEGIN_NS - 1), (end + 1, end + 9)], DAY) == ()
    near = [(BEGIN_NS + 9 * second, BEGIN_NS + 10 * second), (BEGIN_NS, BEGIN_NS + 5 * second)]
    assert joined(near, DAY) == ((BEGIN_NS, BEGIN_NS + 10 * second),)


def test_a_minute_is_as_strong_as_it_is_filled() -> None:
    stretches = [
        (BEGIN_NS + MINUTE_NS // 2, BEGIN_NS + 2 * MINUTE_NS),
        (BEGIN_NS + DAY_NS - 1, BEGIN_NS + DAY_NS),
    ]
    assert filled(stretches, DAY)[:4].tolist() == [0.5, 1.0, 0.0, 0.0]
    assert touched(stretches, DAY)[[0, 1, 3, -1]].tolist() == [LEAST, 1.0, 0.0, LEAST]
    assert filled([], DAY).sum() == 0


def test_the_picture_shows_what_was_recorded_and_what_was_not(folder: Path) -> None:
    image = timeline([day_of(folder, "front", DAY), Day("yard", DAY)], DAY)
    assert image.shape[1] > LEFT + MINUTES
    row = image[TOP + 4, LEFT : LEFT + MINUTES]
    assert row[0].tolist() == list(RECORDED)
    assert row[30].tolist() == list(GAP)
    assert row[61].tolist() == row[65].tolist() == list(RECORDED)
    assert row[600].tolist() == list(EMPTY)


def test_the_command_draws_it(folder: Path, tmp_path: Path) -> None:
    def run(*arguments: object) -> MeshError | None:
        result = CliRunner().invoke(app, ["recordings", "timeline", *map(str, arguments)])
        said.append(result.output)
        assert result.exception is None or isinstance(result.exception, MeshError)
        return result.exception

    said: list[str] = []
    assert run(folder, tmp_path / "a.png", "--day", f"{DAY}T11:00") is None
    assert said[-1] == f"{tmp_path}/a.png: {DAY}, 1 camera recorded\n"
    seen = cv2.imread(str(tmp_path / "a.png"))
    assert seen is not None
    assert np.array_equal(seen, timeline([day_of(folder, "front", DAY)], DAY))
    for arguments, code, what in (
        (
            (folder, tmp_path / "b.png", "--day", "2020-01-01"),
            1,
            "of front was recorded on 2020-01-01",
        ),
        ((folder, tmp_path / "b.png", "--day", "yesterday"), 1, "of front was recorded on 2"),
        ((folder, tmp_path / "b.png", "--day", "soon"), 2, "'soon' is no time: use now, today"),
        (
            (folder, tmp_path / "b.png", "--day", DAY, "--camera", "yard"),
            2,
            "of camera 'yard'; it has: front",
        ),
        ((folder, folder / "b.png", "--day", DAY), 2, "lies among the recordings"),
        ((folder, tmp_path / "b.jpg"), 2, "ends in .png"),
        ((folder / "nowhere", tmp_path / "b.png"), 2, "no such folder"),
        ((folder, tmp_path / "b.png", "--camera", "../x"), 2, "name"),
    ):
        error = run(*arguments)
        assert error is not None
        assert (error.exit_code, what in str(error)) == (code, True), error
        assert not (tmp_path / "b.png").exists()
    assert not (folder / "b.png").exists()


def test_the_beginning_of_a_day_is_utc() -> None:
    assert begin_of(DAY) == int(datetime(2026, 10, 14, tzinfo=UTC).timestamp()) * SECOND_NS
