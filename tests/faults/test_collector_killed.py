"""`kill -9` the collector, again and again, while two cameras at 30 fps are recorded: each result is recorded
exactly once, none is missing, and they are in order."""

import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.site import Site, check_recording
from tests.faults.figures import LONG, row
from tests.faults.settled import wait_all_recorded
from tests.support.processes import Process
from tests.support.waiting import wait_for

CAMERAS = ("door", "gate")
STAGE = "passthrough"
KILLS = 5
# Between two kills each camera is recorded for so many frames; the long version fills a minute.
FRAMES_BETWEEN = 120 if LONG else 20


def recorded_lines(site: Site, camera: str) -> int:
    return sum(path.read_bytes().count(b"\n") for path in (site.recordings / camera).glob("*/*.jsonl"))


def wait_lines(site: Site, more: int) -> None:
    """Wait until so many more frames of each camera are in files."""
    before = {camera: recorded_lines(site, camera) for camera in CAMERAS}
    wait_for(
        lambda: all(recorded_lines(site, camera) >= before[camera] + more for camera in CAMERAS),
        f"{more} more frames of each camera are recorded",
    )


def kill_and_restart(site: Site, collector: Process) -> tuple[Process, float]:
    """The next collector, and the seconds until it recorded."""
    collector.kill()
    at = time.monotonic()
    if not LONG:
        site.free_name("collect")
    again = site.collect()
    wait_lines(site, 1)
    return again, time.monotonic() - at


def check_camera(site: Site, camera: str, count: dict[str, Any]) -> None:
    """What was made of a camera is recorded once, in order, as its part of the ledger says."""
    group = count["groups"][STAGE]
    lines = check_recording(site, camera, STAGE)
    seqs = [line["seq"] for line in lines]
    assert sorted(seqs) == sorted(set(seqs)), "a result was recorded twice"
    assert len(lines) == group["results"] == group["delivered"] == count["recorded"][STAGE]
    assert not any(group["undelivered"].values())
    assert sum(line.get("late", False) for line in lines) == count["late"]
    in_time = [line["seq"] for line in lines if not line.get("late")]
    assert in_time == sorted(in_time)
    assert count["unaccounted"] == 0


@pytest.mark.timeout(300)
def test_a_collector_that_is_killed_again_and_again_loses_and_doubles_nothing(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        collector = site.collect()
        process = site.node("process", STAGE, "--policy", "fifo")
        site.wait_nodes("collect", "process")
        capture = site.capture(*(f"{name}=synthetic:?size=320x240&fps=30" for name in CAMERAS))
        second = site.collect(name="second")
        assert (second.wait(), "another collector" in second.log.splitlines()[-1]) == (1, True)
        took = []
        wait_lines(site, FRAMES_BETWEEN)
        for _ in range(KILLS):
            collector, seconds = kill_and_restart(site, collector)
            took.append(seconds)
            wait_lines(site, FRAMES_BETWEEN)
        assert capture.stop() == 0
        counts = [wait_all_recorded(site, camera, STAGE) for camera in CAMERAS]
        for camera, count in zip(CAMERAS, counts, strict=True):
            check_camera(site, camera, count)
        assert (process.stop(), collector.stop()) == (0, 0)
        groups = [count["groups"][STAGE] for count in counts]
        row(
            f"1 collector killed {KILLS} times",
            offered=sum(group["results"] for group in groups),
            delivered=sum(group["delivered"] for group in groups),
            lost=sum(group["results"] for group in groups)
            - sum(count["recorded"][STAGE] for count in counts),
            duplicates=sum(count["duplicates"] for count in counts),
            recovery_s=round(max(took), 1),
        )
        assert not any(count["late"] for count in counts), "order is kept"
