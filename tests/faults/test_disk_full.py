"""The collector's disk fills up while results keep coming, and has room again later: nothing is lost."""

from pathlib import Path

import pytest

from mesh.registry.records import NodeState
from tests.e2e.site import SMALL, Site, check_recording
from tests.faults.figures import LONG, row
from tests.faults.settled import wait_all_recorded
from tests.support.disks import fill, mounted

STAGE = "passthrough"
FRAMES_WHILE_FULL = 1800 if LONG else 45


def why(site: Site) -> str:
    """What the collector says is wrong; empty while it is well."""
    return next((n.why for n in site.mesh.nodes() if n.id == "collect" and n.state is NodeState.DEGRADED), "")


@pytest.mark.timeout(400)
def test_a_disk_that_fills_up_and_is_freed_loses_and_doubles_nothing(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=64m") as disk, Site(tmp_path) as site:
        site.recordings = disk / "recordings"
        collector = site.collect()
        process = site.node("process", STAGE, "--policy", "fifo")
        site.wait_nodes("collect", "process")
        capture = site.capture(f"door={SMALL}")
        site.wait_recorded("door", STAGE, 20)
        ballast = fill(disk)
        site.wait_for(lambda: "full" in why(site), "the collector says that its disk is full")
        group = site.wait_for(lambda: site.count("door")["groups"].get(STAGE), "it has reported")
        made = group["processed"] + FRAMES_WHILE_FULL
        site.wait_for(
            lambda: site.count("door")["groups"][STAGE]["processed"] >= made, "more are made meanwhile", 120
        )
        recorded = site.count("door")["recorded"][STAGE]
        assert recorded < made
        ballast.unlink()
        site.wait_recorded("door", STAGE, made)
        site.wait_nodes("collect")
        assert capture.stop() == 0
        door = wait_all_recorded(site, "door", STAGE)
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
