"""`mesh ctl`: nodes and cameras are asked how they are, and to do something, by hand."""

import signal
from pathlib import Path
from typing import Any

import pytest

from mesh import codec
from mesh.control import ControlRefused
from mesh.errors import TransportError
from mesh.registry.records import CameraState, NodeState, StatsRecord
from tests.capture.sources.support import jpegs
from tests.e2e.site import Site, check_recording
from tests.support.mjpeg_server import MjpegServer

STAGE = "passthrough"
MOVING = "synthetic:?size=320x240&fps=30"
PATIENT = ("--timeout", 30)  # with an answer


def test_a_node_is_asked_how_it_is_and_drained_without_losing_a_frame(tmp_path: Path) -> None:
    with Site(tmp_path, lasting=True) as site:
        collect = site.collect()
        options = ("--policy", "fifo", "--depth", 2000, "--label", "site=gate")
        process = site.node("process", STAGE, *options)
        site.wait_nodes("collect", "process")
        capture = site.capture("door=synthetic:?size=320x240&fps=20")
        site.wait_recorded("door", STAGE, 10)
        assert site.listed("process").labels == {"site": "gate"}

        asked = site.run("ctl", "process", "status", *PATIENT)
        status = dict(line.split("\t")[1:] for line in asked.out.splitlines())
        assert asked.code == 0
        assert (status["kind"], status["state"], status["cameras"]) == ("process", "running", "1")
        assert int(status["processed"]) >= 10

        process.suspend()  # for less time than the publisher's queue lasts
        with pytest.raises(TransportError, match=r"^node .process. did not answer within 0.3 s: it hangs"):
            site.mesh.control("process", "status", timeout=0.3)  # it may be answered yet, to nobody
        process.send(signal.SIGCONT)

        drained = site.run("ctl", "process", "drain", "--timeout", 90, within=120)
        assert (drained.code, drained.out) == (0, "process has drained\n")
        assert site.listed("process").state is NodeState.ENDED
        assert process.wait() == 0

        assert capture.stop() == 0
        group = site.group("door", STAGE)
        assert group["results"] == group["delivered"]
        site.wait_for(
            lambda: site.count("door")["recorded"][STAGE] == group["delivered"], "all of it is recorded"
        )
        (stats,) = (s for s in map(StatsRecord.of, site.mesh.registry.list("stats/process/")))
        assert stats.counters["control_answered"] in (2, 3)
        assert collect.stop() == 0
        seqs = [line["seq"] for line in check_recording(site, "door", STAGE)]
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))


def test_nodes_rest_and_go_on_and_nothing_is_lost(tmp_path: Path) -> None:
    """A process node that rests drops by its policy, and a collector that rests nothing; each is drained out
    of its rest."""
    with Site(tmp_path, lasting=True) as site:
        collect = site.collect()
        process = site.node("process", STAGE)
        site.wait_nodes("collect", "process")
        capture = site.capture(f"door={MOVING}")
        site.wait_recorded("door", STAGE, 5)

        _says(site, ("process", "pause"), "process is paused")
        site.wait_nodes("process", state=NodeState.PAUSED)
        assert _ask(site, "process", "pause") == {"state": "paused"}
        processed = _ask(site, "process", "status")["processed"]
        site.wait_for(lambda: _group(site)["dropped"].get("overwritten", 0) > 20, "frames are replaced")
        status = _ask(site, "process", "status")
        assert status["processed"] <= processed + 1  # the one that it was at
        assert status["paused"] is True
        assert _ask(site, "process", "set", quality=60, max_age=3) == {"quality": 60, "max_age": 3.0}
        assert _ask(site, "process", "resume") == {"state": "running"}
        site.wait_for(lambda: _group(site)["processed"] > processed + 5, "it works again")

        folder = _ask(site, "collect", "status")["folders"][0]
        assert folder.keys() == {"path", "free_bytes", "total_bytes", "writable"}
        assert (folder["path"], folder["writable"]) == (str(site.recordings), True)
        assert 0 < folder["free_bytes"] <= folder["total_bytes"]
        _says(site, ("collect", "pause"), "collect is paused")
        site.wait_nodes("collect", state=NodeState.PAUSED)
        site.wait_for(lambda: _group(site)["waiting"] > 30, "results wait at their sender")
        with pytest.raises(ControlRefused, match="refuses to set: a collect node has nothing to set"):
            _ask(site, "collect", "set", quality=5)
        _says(site, ("collect", "resume"), "collect is resumed")
        site.wait_for(lambda: _group(site)["waiting"] < 20, "they are delivered")

        _ask(site, "collect", "pause")
        _ask(site, "process", "pause")
        assert capture.stop() == 0
        _ask(site, "collect", "resume")
        assert process.stop() == 0
        site.wait_settled("door")
        _ask(site, "collect", "pause")
        assert collect.stop() == 0
        door = site.count("door")
        group = door["groups"][STAGE]
        assert door["unaccounted"] == 0
        assert group["results"] == group["delivered"] == door["recorded"][STAGE] > 30
        assert (group["lost"], group["in_flight"]) == (0, 0)
        check_recording(site, "door", STAGE)


def test_a_node_stops_at_once_and_its_results_wait_on_its_disk(tmp_path: Path) -> None:
    with Site(tmp_path, lasting=True) as site:
        site.collect()
        process = site.node("process", STAGE, "--drain", 600)
        drains = site.node("process", STAGE, "--drain", 600, "--group", "other", name="drains")
        site.wait_nodes("collect", "process", "drains")
        _ask(site, "collect", "pause")
        site.capture(f"door={MOVING}")
        site.wait_for(lambda: _group(site)["waiting"] > 10, "results wait for a collector that rests")
        _says(site, ("process", "stop"), "process has stopped")
        assert process.wait() == 0
        (stats,) = (s for s in map(StatsRecord.of, site.mesh.registry.list("stats/process/")))
        (count,) = stats.groups
        assert stats.final
        assert count.spooled == count.waiting == count.results > 10

        site.wait_for(lambda: site.group("door", "other")["waiting"] > 10, "its results wait, too")
        drains.send(signal.SIGTERM)
        site.wait_nodes("drains", state=NodeState.DRAINING)
        with pytest.raises(ControlRefused, match="node 'drains' refuses to pause: it is draining"):
            _ask(site, "drains", "pause")
        _ask(site, "drains", "stop")  # while it waits for the collector
        assert drains.wait() == 0
        for name in ("capture", "collect"):
            _ask(site, name, "stop")


def test_a_camera_is_paused_and_looked_at_by_hand(tmp_path: Path) -> None:
    with MjpegServer(jpegs(5)) as server, Site(tmp_path, lasting=True) as site:
        capture = site.node("capture")
        assert site.run("camera", "add", "door", server.url).code == 0
        site.wait_camera("door")
        _says(site, ("door", "pause"), "camera door is paused, and stays so on any node")
        site.wait_for(lambda: not server.open, "its connection is closed")
        site.wait_camera("door", CameraState.PAUSED)
        assert "\tpaused\tcapture\t" in site.run("camera", "list").out
        served, file = server.served, tmp_path / "door.jpg"
        seen = site.run("ctl", "door", "snapshot", file, *PATIENT)
        size = file.stat().st_size
        assert (seen.code, seen.out) == (0, f"{file}: 64x48, {size} bytes, of camera door\n")
        assert file.read_bytes() in server.jpegs
        assert codec.decode_bgr(file.read_bytes(), 64, 48).shape == (48, 64, 3)
        site.wait_for(lambda: not server.open, "it is closed again")
        assert server.served == served + 1
        _says(site, ("door", "set", "fps=5", "quality=70"), f"door: fps=5.0 quality=70; {HOLDS}")
        off = site.run("ctl", "door", "set", "fps=-1", *PATIENT)
        assert (off.code, "fps is frames per second" in off.last_line) == (1, True)
        assert site.run("ctl", "door", "set", "fps").code == 2

        assert capture.stop() == 0  # a pause outlives who captures
        capture = site.node("capture", name="next")
        site.wait_for(lambda: site.camera("door").node == "next", "another node has it")
        site.wait_camera("door", CameraState.PAUSED)
        assert server.served == served + 1

        capture.suspend()
        for name, operation, arguments in HANGING:
            with pytest.raises(TransportError, match=r"node 'next' did not answer within 0.1 s: it hangs"):
                site.mesh.control(name, operation, timeout=0.1, **arguments)
        hangs = site.run("ctl", "door", "snapshot", tmp_path / "never.jpg", "--timeout", 0.1)
        assert (hangs.code, hangs.out, len(hangs.err.splitlines())) == (1, "", 1)
        assert "node 'next' did not answer within 0.1 s: it hangs, or " in hangs.last_line
        assert not (tmp_path / "never.jpg").exists()
        assert site.camera("door").state is CameraState.PAUSED
        capture.send(signal.SIGCONT)


HOLDS = (
    "this holds until another node has it or it is configured otherwise; for good: "
    "mesh camera set door --fps 5 --quality 70"
)
HANGING: tuple[tuple[str, str, dict[str, Any]], ...] = (
    *((name, operation, {}) for name in ("next", "door") for operation in ("status", "pause", "resume")),
    ("door", "snapshot", {}),
    ("next", "set", {"fps": 1}),
    ("door", "set", {"fps": 1}),
    ("next", "drain", {}),
    ("next", "stop", {}),
)


def _says(site: Site, arguments: tuple[str, ...], line: str) -> None:
    done = site.run("ctl", *arguments, *PATIENT)
    assert (done.code, done.out) == (0, f"{line}\n"), done


def _ask(site: Site, name: str, operation: str, **arguments: Any) -> Any:
    return site.mesh.control(name, operation, timeout=30, **arguments).value


def _group(site: Site) -> Any:
    return site.group("door", STAGE)
