"""`mesh bench` as people run it: its rows and fields, never its figures."""

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mesh.cli.main import app
from mesh.errors import ConfigError
from tests.support.processes import Processes
from tests.support.waiting import wait_for

FIELDS = {
    *("work", "case", "unit", "floor", "floor_is", "ours"),
    *("ratio", "target", "met", "note", "skipped", "failed", "command"),
}
QUICK = ("--seconds", "0.02", "--runs", "1", "--sizes", "64x48", "--json")
AGAIN = "--seconds 0.02 --runs 1 --sizes 64x48"
# How many rows each gives, and how many of them have a floor and a target.
EXPECTED = {
    "codec": (4, 4, 0),
    "transport": (7, 6, 6),
    "latency": (2, 2, 2),
    "overload": (7, 2, 7),
    "idle": (6, 0, 5),
    "record": (6, 4, 4),
    "registry": (5, 4, 0),
    "fleet": (8, 0, 0),
}
SMALL = {"fleet": ("--nodes", "10")}


pytestmark = pytest.mark.timeout(400)  # a bench starts dozens of processes
BENCH_S = 300.0


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    with Processes(tmp_path / "processes") as processes:
        yield processes


def rows_of(processes: Processes, *arguments: str) -> list[dict[str, Any]]:
    done = processes.run("bench", *arguments, within=BENCH_S)
    assert done.code == 0, done
    assert not processes.left_behind()
    report = json.loads(done.out)
    assert set(report) == {"started", "machine", "pictures", "rows"}
    assert {"cpu", "cores", "memory", "kernel", "python", "mesh", "libzmq"} <= set(report["machine"])
    assert "unknown" not in report["machine"].values()
    rows: list[dict[str, Any]] = report["rows"]
    assert all(set(row) == FIELDS for row in rows)
    return rows


@pytest.mark.parametrize("name", EXPECTED)
def test_a_bench_gives_its_rows(processes: Processes, name: str) -> None:
    more = SMALL.get(name, ())
    rows = rows_of(processes, name, *QUICK, *more)
    floors = [row for row in rows if row["floor"] is not None]
    targets = [row for row in rows if row["target"] is not None]
    assert (len(rows), len(floors), len(targets)) == EXPECTED[name]
    assert len({(row["case"], row["unit"]) for row in rows}) == len(rows)
    for row in rows:
        assert row["work"] == name
        assert row["command"] == " ".join([f"mesh bench {name} {AGAIN}", *more])
        assert len(row["ours"]["runs"]) == 1
        assert not row["failed"]
        assert row["ours"]["median"] >= 0
        assert row["unit"]
    for row in floors:
        assert row["floor"]["median"] > 0
        assert row["ratio"] > 0
        assert row["floor_is"]
    assert all(row["met"] in (True, False) for row in targets)


def test_other_ways_are_set_beside_ours_or_skipped_with_a_reason(processes: Processes) -> None:
    rows = rows_of(processes, "transport", "--against", "http,imagezmq,redis", *QUICK)
    commands = {f"mesh bench transport {AGAIN} --against {name}" for name in ("http", "imagezmq", "redis")}
    assert {row["command"] for row in rows} == commands
    for row in rows:
        if row["skipped"]:
            assert "install" in row["skipped"]
            assert row["ours"] is None
        else:
            assert row["floor"]["median"] > 0
            assert row["ours"]["median"] > 0


def test_a_piped_table_is_whole_and_says_what_is_missing(processes: Processes, tmp_path: Path) -> None:
    done = processes.run("bench", "transport", "--against", "redis", PATH=str(tmp_path))
    assert done.code == 0
    assert "base64 JPEG under a Redis key, publish, poll for the answer" in done.out
    assert "framemesh[bench]" in done.out or "apt install" in done.out
    assert "again: mesh bench transport --seconds 2 --runs 5 --against redis" in done.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fast"], "'fast' is no bench; there are: codec, transport"),
        (["codec", "--seconds", "0"], "--seconds 0"),
        (["codec", "--seconds", "nan"], "--seconds nan"),
        (["codec", "--runs", "0"], "--runs 0"),
        (["codec", "--sizes", "640x480,big"], "--sizes 640x480,big"),
        (["codec", "--sizes", "640x4"], "sides of 32 to 8192"),
        (["codec", "--video", "nowhere.mp4"], "--video nowhere.mp4: no such file"),
        (["codec", "--against", "redis"], "--against belongs to transport"),
        (["transport", "--against", "pigeons"], "--against 'pigeons': there are http, redis, imagezmq"),
        (["codec", "--markdown", "page.md"], "mesh bench all --markdown page.md"),
        (["all", "--markdown", "nowhere/page.md"], "there is no folder nowhere"),
    ],
)
def test_what_is_wrong_is_refused_before_anything_runs(arguments: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        app(["bench", *arguments], standalone_mode=False)


def test_what_is_wrong_is_said_in_one_line(processes: Processes) -> None:
    done = processes.run("bench", "codec", "--runs", "0")
    assert done.code == 2
    assert done.err == "mesh: --runs 0: give 1 to 100\n"


def test_a_bench_that_fails_says_why_and_shows_what_it_has(processes: Processes, tmp_path: Path) -> None:
    video = tmp_path / "clip.mp4"
    video.write_text("not a video")
    done = processes.run("bench", "latency", "--video", str(video), *QUICK)
    assert done.code == 1
    assert done.last_line.startswith("mesh: latency: mesh.bench.")
    assert "clip.mp4" in done.last_line
    assert "Traceback" not in done.err
    (row,) = json.loads(done.out)["rows"]
    assert f"mesh: latency: {row['failed']}" == done.last_line


def test_ctrl_c_ends_a_bench_and_all_that_it_started(processes: Processes) -> None:
    bench = processes.start("bench", "overload", "--seconds", 60)
    wait_for(lambda: len(processes.left_behind()) == 3, "a publisher and a consumer run")
    assert bench.stop(signal.SIGINT) == 130
    assert not processes.left_behind()
    assert bench.log == ""
