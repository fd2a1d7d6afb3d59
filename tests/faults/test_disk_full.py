"""The collector's disk fills up while results keep coming, and has room again later: nothing is lost."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.registry.records import NodeState
from tests.e2e.site import SMALL, Site, check_recording
from tests.faults.figures import LONG, row

STAGE = "passthrough"
FRAMES_WHILE_FULL = 1800 if LONG else 45


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of some megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={64 if LONG else 16}m", "tmpfs", str(disk)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command here")
    if mounted.returncode:
        pytest.skip(f"cannot mount a tmpfs: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """Take all the room that there is."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        while free := os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize:
            try:
                file.write(bytes(min(free, 1 << 20)))
            except OSError:
                break
    return ballast


def why(site: Site) -> str:
    """What the collector says is wrong; empty while it is well."""
    return next((n.why for n in site.mesh.nodes() if n.id == "collect" and n.state is NodeState.DEGRADED), "")


@pytest.mark.timeout(400)
def test_a_disk_that_fills_up_and_is_freed_loses_and_doubles_nothing(
    tmp_path: Path, small_disk: Path
) -> None:
    with Site(tmp_path) as site:
        site.recordings = small_disk / "recordings"
        collector = site.collect()
        process = site.node("process", STAGE, "--policy", "fifo")
        site.wait_nodes("collect", "process")
        capture = site.capture(f"door={SMALL}")
        site.wait_recorded("door", STAGE, 20)
        ballast = fill(small_disk)
        site.wait_for(lambda: "full" in why(site), "the collector says that its disk is full")
        made = site.count("door")["groups"][STAGE]["processed"] + FRAMES_WHILE_FULL
        site.wait_for(
            lambda: site.count("door")["groups"][STAGE]["processed"] >= made, "more are made meanwhile", 120
        )
        recorded = site.count("door")["recorded"][STAGE]
        assert recorded < made
        ballast.unlink()
        site.wait_recorded("door", STAGE, made)
        site.wait_nodes("collect")
        assert capture.stop() == 0
        site.wait_settled("door")
        site.wait_for(
            lambda: site.count("door")["recorded"][STAGE] == site.count("door")["groups"][STAGE]["delivered"],
            "what was delivered is counted as recorded",
        )
        door = site.stats()["door"]
        assert (process.stop(), collector.stop()) == (0, 0)
        lines = check_recording(site, "door", STAGE)
        group = door["groups"][STAGE]
        assert sorted(line["seq"] for line in lines) == sorted({line["seq"] for line in lines})
        assert len(lines) == group["results"] == group["delivered"] == door["recorded"][STAGE]
        in_time = [line["seq"] for line in lines if not line.get("late")]
        assert in_time == sorted(in_time)
        assert door["late"] == len(lines) - len(in_time)
        row(
            "collector's disk full for a while",
            offered=group["results"],
            delivered=group["delivered"],
            dropped=dict(group["undelivered"]),
            lost=group["results"] - len(lines),
            duplicates=door["duplicates"],
        )
