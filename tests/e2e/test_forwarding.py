"""An edge that forwards what it records to the collectors of another site, with real processes on both."""

import json
from pathlib import Path
from typing import Any

import pytest

from mesh import open_recordings
from mesh.registry.records import NodeState, StatsRecord
from tests.e2e.site import Site, check_recording

STAGE = "passthrough"
CAMERAS = ("door", "gate")
SOURCE = "synthetic:?size=160x120&fps=20"

pytestmark = pytest.mark.timeout(300)


def forwarding(edge: Site) -> dict[str, Any]:
    """What the edge's collector says of its destination when it is asked."""
    done = edge.run("ctl", "collect", "status", "--json", "--timeout", 30)
    assert done.code == 0, done
    (told,) = json.loads(done.out)["forward"]
    return dict(told)


def counted(edge: Site) -> tuple[int, int, int]:
    """Recorded in all, and what its collector counted of its destination: waiting, removed. Raises `KeyError`
    as long as it has not."""
    records = [StatsRecord.of(entry) for entry in edge.mesh.registry.list("stats/collect/")]
    told = {record.run: record for record in records if record.forwards}
    newest = told[max(told, default=0)]
    (forward,) = newest.forwards
    return sum(c.recorded for c in newest.recorded), forward.waiting, forward.dropped.get("removed", 0)


def lines(site: Site, camera: str) -> int:
    return sum(path.read_bytes().count(b"\n") for path in (site.recordings / camera).glob("*/*.jsonl"))


def wait_lines(site: Site, more: int) -> None:
    """Wait until so many more frames of each camera are in a site's files."""
    before = {camera: lines(site, camera) for camera in CAMERAS}
    site.wait_for(
        lambda: all(lines(site, camera) >= before[camera] + more for camera in CAMERAS),
        f"{more} more frames of each camera",
    )


def frames(site: Site, camera: str) -> list[tuple[Any, ...]]:
    """Every frame of a camera as it is in a site's files, picture and all."""
    with open_recordings(site.recordings) as recordings:
        return [
            (
                f.boot,
                f.seq,
                f.part,
                f.stage,
                f.captured_ns,
                bytes(f.payload),
                f.detections,
                dict(f.attributes),
            )
            for f in recordings.frames(camera)
        ]


def listed(site: Site) -> dict[str, tuple[int, int, int]]:
    """How many frames of each camera there are, from when to when, as `mesh recordings list` says."""
    done = site.processes.run("recordings", "list", site.recordings, "--json")
    assert done.code == 0, done
    found: dict[str, tuple[int, int, int]] = {}
    for each in json.loads(done.out)["segments"]:
        count, first, last = found.get(each["camera"], (0, each["from_ns"], each["to_ns"]))
        ends = min(first, each["from_ns"]), max(last, each["to_ns"])
        found[each["camera"]] = (count + each["frames"], *ends)
    return found


def test_another_site_holds_exactly_what_the_edge_recorded_whoever_dies_in_between(tmp_path: Path) -> None:
    with Site(tmp_path / "hq", registry=False) as hq, Site(tmp_path / "edge") as edge:
        options = ("--forward", hq.url, "--segment", 1)
        near = edge.collect(*options)
        edge.node("process", STAGE, "--policy", "fifo", "--depth", 2000)
        edge.wait_nodes("collect", "process")
        capture = edge.capture(*(f"{name}={SOURCE}" for name in CAMERAS))
        wait_lines(edge, 25)
        away = f"no registry answers at {hq.url}"
        edge.wait_for(lambda: away in forwarding(edge)["why"], "it is said why nothing is forwarded")
        edge.wait_for(
            lambda: edge.listed("collect").why == f"forwarding held up: {away}",
            "who lists nodes is told, too",
        )
        assert edge.listed("collect").state is NodeState.RUNNING, "a link that is down is no illness"

        hq.start_registry()
        far = hq.collect("--segment", 1)
        wait_lines(hq, 25)  # what had been recorded meanwhile, and what goes on
        hq.restart_registry()
        far.kill()
        hq.free_name("collect")
        wait_lines(edge, 10)
        far = hq.collect("--segment", 1)
        wait_lines(hq, 10)
        near.kill()
        edge.free_name("collect")
        near = edge.collect(*options)
        wait_lines(hq, 10)

        assert capture.stop() == 0
        for camera in CAMERAS:
            edge.wait_settled(camera)
        edge.wait_for(lambda: counted(edge)[1] == 0 and forwarding(edge)["waiting"] == 0, "all is forwarded")
        hq.wait_for(lambda: lines(hq, "door") >= lines(edge, "door"), "the files have it")
        assert (near.stop(), far.stop()) == (0, 0)
        for camera in CAMERAS:
            assert frames(hq, camera) == frames(edge, camera)
            assert len(check_recording(hq, camera, STAGE)) == len(frames(edge, camera)) > 50
        assert listed(hq) == listed(edge)
        assert hq.processes.run("recordings", "verify", hq.recordings).code == 0


def test_what_retention_takes_before_it_is_forwarded_is_counted_and_the_rest_goes(tmp_path: Path) -> None:
    with Site(tmp_path / "hq", registry=False) as hq, Site(tmp_path / "edge") as edge:
        near = edge.collect("--forward", hq.url, "--segment", 1, "--keep-gb", 0.0002)
        edge.node("process", STAGE, "--policy", "fifo", "--depth", 2000)
        edge.wait_nodes("collect", "process")
        capture = edge.capture(f"door={SOURCE}")
        edge.wait_for(lambda: counted(edge)[2] > 0, "something was removed")
        assert forwarding(edge)["removed"] > 0
        assert capture.stop() == 0
        edge.wait_settled("door")
        hq.start_registry()
        far = hq.collect()
        edge.wait_for(lambda: counted(edge)[1] == 0, "the rest is forwarded")
        recorded, _, removed = counted(edge)
        assert (near.stop(), far.stop()) == (0, 0)
        assert len(frames(hq, "door")) == recorded - removed


def test_a_destination_that_cannot_be_is_refused_in_a_line(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        refused = site.collect("--forward", site.url)
        assert (refused.wait(), "this node itself" in refused.log.splitlines()[-1]) == (2, True)
        wrong = site.processes.run("node", "collect", "--into", tmp_path / "x", "--forward", "ftp://hq/door")
        assert (wrong.code, "tcp://HOST:PORT" in wrong.last_line) == (2, True)
