"""The benches of whole pipelines: their rows through the real command, and what they decide."""

import json
from pathlib import Path

import pytest

from mesh.bench.cameras import highest, is_held
from mesh.bench.site import Window
from tests.support.processes import Processes

SHORT = ("--seconds", 1, "--runs", 1, "--sizes", "64x48", "--cameras", 2, "--fps", 20, "--json")


def window(missed: int = 0, due: int = 1000, slowest_ms: float = 20.0) -> Window:
    return Window(1.0, due, missed, {}, [10.0] * 900 + [slowest_ms] * 20, {}, {})


@pytest.mark.parametrize(
    ("found", "held"),
    [
        (window(), True),
        (window(missed=1), True),
        (window(missed=2), False),
        (window(slowest_ms=299), True),
        (window(slowest_ms=301), False),
        (Window(1.0, 10, 0, {}, [], {}, {}), False),
    ],
)
def test_what_holds(found: Window, held: bool) -> None:
    assert is_held(found) is held


@pytest.mark.parametrize("limit", [1.0, 2.5, 25.0, 99.0, 239.0])
def test_the_search_ends_near_the_limit(limit: float) -> None:
    tried: list[float] = []

    def holds(fps: float) -> bool:
        tried.append(fps)
        return fps <= limit

    found = highest(holds, 1.0, 240.0)
    assert limit / 1.08 <= found <= limit + 0.1
    assert len(tried) < 10


def test_the_search_at_its_bounds() -> None:
    assert highest(lambda fps: False, 1.0, 240.0) == 0.0
    assert highest(lambda fps: True, 1.0, 240.0) == 240.0


@pytest.mark.parametrize(("bench", "rows"), [("cameras", 6), ("pipeline", 1)])
@pytest.mark.timeout(200)
def test_a_short_run(tmp_path: Path, bench: str, rows: int) -> None:
    with Processes(tmp_path / "logs") as processes:
        done = processes.run("bench", bench, *SHORT, "--into", tmp_path, within=150)
    assert done.code == 0, done
    found = json.loads(done.out)["rows"]
    assert len(found) == rows
    for row in found:
        assert row["work"] == bench
        assert "2 cameras at 20 fps" in row["case"]
        assert row["ours"]["median"] >= 0
        assert not row["skipped"]
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        done = processes.run("bench", "cameras", "--into", tmp_path / "none")
    assert done.code == 2
    assert "no such folder" in done.last_line
