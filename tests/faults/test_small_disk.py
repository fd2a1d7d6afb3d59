"""A small disk that is recorded to for longer than it lasts, and that is read-only for a while: what is
younger than what was removed is all there, once, and what was acknowledged is not lost."""

import os
from pathlib import Path

import pytest

from mesh.registry.records import NodeState, StatsRecord
from nodes.collect.recovery import recover
from tests.e2e.site import SMALL, Site, check_recording
from tests.faults.figures import LONG, row
from tests.faults.settled import wait_all_recorded
from tests.support.disks import mounted

STAGE = "passthrough"
DISK = 12 << 20
REMOVED = (64 << 20) if LONG else 1  # before the disk is read-only
LARGE = "synthetic:?size=1280x720&fps=20"


def why(site: Site) -> str:
    """What the collector says is wrong; empty while it is well."""
    return next((n.why for n in site.mesh.nodes() if n.id == "collect" and n.state is NodeState.DEGRADED), "")


def counters(site: Site) -> dict[str, int]:
    records = [StatsRecord.of(entry) for entry in site.mesh.registry.list("stats/")]
    return next((dict(record.counters) for record in records if record.node == "collect"), {})


@pytest.mark.timeout(400)
def test_a_small_disk_is_recorded_to_for_ever_and_over_a_time_when_it_is_read_only(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", f"size={DISK}") as disk, Site(tmp_path) as site:
        site.recordings = disk / "recordings"
        collector = site.collect("--segment", 1, "--keep-free", "40%")
        process = site.node("process", STAGE, "--policy", "fifo")
        site.wait_nodes("collect", "process")
        capture = site.capture(f"door={SMALL}", f"gate={LARGE}")
        site.wait_for(lambda: counters(site).get("removed_bytes", 0) > REMOVED, "it removes the oldest", 120)
        with mounted(site.recordings / "door", "ro,size=1m"):
            site.wait_for(
                lambda: "the disk is read-only: mount it for writing" in why(site), "it says what is wrong"
            )
            before = site.count("gate")["recorded"][STAGE]
            site.wait_recorded("gate", STAGE, before + 10)  # the other goes on
        site.wait_for(lambda: why(site) == "", "it goes on by itself")
        assert capture.stop() == 0
        counts = {camera: wait_all_recorded(site, camera, STAGE) for camera in ("door", "gate")}
        assert (process.stop(), collector.stop()) == (0, 0)
        assert os.statvfs(disk).f_bavail > 0
        found = recover(site.recordings)  # as the next collector does
        found.index.close()
        removed = 0
        for camera, count in counts.items():
            lines = check_recording(site, camera, STAGE)
            group = count["groups"][STAGE]
            assert group["results"] == group["delivered"] == count["recorded"][STAGE]
            after = [each.recorded for (_, name, _), each in found.streams.items() if name == camera]
            assert after == [group["results"]], "a restart does not make less of what was recorded"
            seqs = sorted(line["seq"] for line in lines)
            assert len(set(seqs)) == len(seqs)
            removed += group["results"] - len(seqs)
        assert removed > 0
        row(
            "small disk, recorded to for ever, read-only for a while",
            offered=sum(count["groups"][STAGE]["results"] for count in counts.values()),
            removed=removed,
        )
