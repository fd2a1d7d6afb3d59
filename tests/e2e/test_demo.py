"""`mesh demo`: it shows a whole mesh, sums it up, and leaves no process behind however it ends."""

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest

from mesh.demo.watch import COLUMNS
from tests.e2e.site import decoded_times
from tests.support.processes import Process, Processes
from tests.support.waiting import wait_for

CAMERAS = ("gate", "yard")
FPS, RECORDED = COLUMNS.index("fps"), COLUMNS.index("recorded")


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    with Processes(tmp_path / "processes") as processes:
        yield processes


def _others(processes: Processes, demo: Process) -> list[str]:
    """What the demo runs: `PID COMMAND` of each."""
    return [line for line in processes.left_behind() if not line.startswith(f"{demo.popen.pid} ")]


def _shown(demo: Process, camera: str) -> bool:
    """Whether frames of a camera have come to the demo, and some are recorded."""
    whole = demo.out.rpartition("\n")[0]
    rows = [line.split("\t")[1:] for line in whole.splitlines() if line.startswith(f"demo\t{camera}\t")]
    return any(float(row[FPS]) and int(row[RECORDED]) for row in rows)


def _watched(processes: Processes, into: Path) -> Process:
    """A demo that shows frames already."""
    demo = processes.start("demo", "--into", into)
    wait_for(lambda: all(_shown(demo, camera) for camera in CAMERAS), "the demo shows its cameras")
    assert len(_others(processes, demo)) == 5
    return demo


def test_the_demo_ends_by_itself_after_some_time(processes: Processes, tmp_path: Path) -> None:
    done = processes.run("demo", "--seconds", 1, "--into", tmp_path / "demo")
    assert (done.code, done.err) == (0, ""), done
    assert not processes.left_behind()
    assert f"recordings: {tmp_path / 'demo' / 'recordings'}" in done.out


def test_ctrl_c_ends_the_demo_which_has_captured_processed_and_recorded_and_sums_up(
    processes: Processes, tmp_path: Path
) -> None:
    into = tmp_path / "demo"
    demo = _watched(processes, into)
    assert demo.stop(signal.SIGINT) == 130
    assert not processes.left_behind()
    assert demo.log == ""
    for camera in CAMERAS:
        (video,) = (into / "recordings" / camera).glob("*/*.mkv")
        lines = [json.loads(line) for line in video.with_suffix(".jsonl").read_text().splitlines()]
        assert decoded_times(video) == [line["pts_ms"] for line in lines]
        counts = re.search(
            rf"^{camera}: captured (\d+), recorded (\d+), unaccounted 0$", demo.out, re.MULTILINE
        )
        assert counts is not None, demo.out
        assert int(counts[1]) >= int(counts[2]) == len(lines) > 0
        still = cv2.imread(str(into / f"{camera}.jpg"))
        assert still is not None
        assert still.shape == (480, 640, 3)
    assert "motion recall against the truth" in demo.out
    assert f"recordings: {into / 'recordings'} (2 files)" in demo.out
    assert "play one:" in demo.out
    assert f"logs:       {into / 'logs'}" in demo.out
    for log in (into / "logs").iterdir():
        assert "Traceback" not in log.read_text(), log


def test_sigterm_ends_the_demo_and_all_that_it_started(processes: Processes, tmp_path: Path) -> None:
    demo = _watched(processes, tmp_path / "demo")
    assert demo.stop(signal.SIGTERM) == 0
    assert not processes.left_behind()
    assert demo.log == ""


def test_the_demo_says_so_when_one_of_its_processes_dies(processes: Processes, tmp_path: Path) -> None:
    demo = _watched(processes, tmp_path / "demo")
    (line,) = (line for line in _others(processes, demo) if "node process motion" in line)
    os.kill(int(line.split()[0]), signal.SIGKILL)
    assert demo.wait() == 1
    assert not processes.left_behind()
    assert "Traceback" not in demo.log
    (said,) = demo.log.splitlines()
    assert said.startswith("mesh: ")
    assert "ended with exit code -9" in said
