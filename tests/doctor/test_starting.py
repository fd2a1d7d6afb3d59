"""What to do about what does not run, where a site's file has it: `mesh up` starts it, nobody by hand."""

import time
from pathlib import Path

import pytest

from mesh.doctor import Finding, Level, Part, Process, UpSeen, Written, cameras, ledger, nodes, registry
from mesh.doctor.registry import Seen
from mesh.doctor.site import Site
from mesh.doctor.starting import Starting
from mesh.ledger import summarise
from mesh.registry.records import CameraCount, GroupCount, StatsRecord
from mesh.registry.setups import CameraSetup
from tests.doctor.support import node

URL = "tcp://127.0.0.1:7866"
PARTS = {
    "registry": Part("registry"),
    "capture-all": Part("capture"),
    "process-motion": Part("process"),
    "collect-all": Part("collect"),
}
UP = "mesh up site.toml"


def starting(*processes: Process, parts: dict[str, Part] = PARTS, url: str = URL) -> Starting:
    ups = [UpSeen("mesh up", 7, processes)] if processes else []
    return Starting(Written(Path("site.toml"), ups=ups, registry=URL, parts=parts), url)


def well(name: str, pid: int) -> Process:
    return Process(name, True, 0, "", pid)


def away(by: Starting) -> Finding:
    (found,) = registry.judge(Seen(URL, away="no registry answers there"), None, {}, "here", by)
    return found


def test_a_registry_that_mesh_up_runs_is_not_started_by_hand() -> None:
    assert (away(starting()).do, away(starting()).cause) == (UP, "file")
    looping = Process("registry", False, 2, "mesh: the port is taken")
    assert away(starting(looping)).do.startswith("mend what registry says: `mesh up` starts it again")
    assert away(starting(well("registry", 9))).do.endswith("kill -9 9, and `mesh up` starts it again")
    for other in (Starting(), starting(url="tcp://127.0.0.1:1"), starting(parts={})):
        assert away(other).do.startswith("on its machine: mesh registry --bind")


def test_what_runs_on_another_device_is_started_there() -> None:
    parts = {"registry": Part("registry", "hub"), "capture-gate": Part("capture", "gate")}
    assert starting(parts=parts).of_kind("capture") == f"on gate: {UP} --only @gate"
    assert starting(well("capture-gate", 8), parts=parts).of_kind("registry") == f"on hub: {UP} --only @hub"


def test_a_part_that_no_mesh_up_has_is_named() -> None:
    assert starting(well("registry", 8)).of_kind("capture") == f"{UP} --only capture-all"
    hung = Written(Path("site.toml"), ups=[UpSeen("mesh up", 7, None)], registry=URL, parts=PARTS)
    assert Starting(hung, URL).of_kind("capture") == "see why `mesh up` (process 7) does not answer"


def test_one_that_was_asked_to_end_takes_a_reload() -> None:
    ended = Process("capture-all", False, 0, "")
    assert starting(ended).of(["capture-all"]) == "mesh reload site.toml"


def silent() -> Site:
    """A camera, and a group whose one node went without a word."""
    counts = (
        StatsRecord(
            node="capture-all",
            run=1,
            at_ns=time.time_ns(),
            cameras=(CameraCount(camera="door", boot=7, captured=10),),
        ),
        StatsRecord(
            node="process-motion",
            run=1,
            at_ns=time.time_ns(),
            groups=(
                GroupCount(
                    camera="door",
                    boot=7,
                    stage="raw",
                    group="motion",
                    output="motion",
                    offered=10,
                    processed=10,
                    spans=((0, 1, 0, 10),),
                ),
            ),
        ),
    )
    capture = node("capture-all")
    return Site(nodes=(capture,), stats=counts, ledger=summarise(counts, (capture,)))


@pytest.mark.parametrize(
    ("process", "level", "do"),
    [
        (well("process-motion", 9), Level.FAILED, "kill -9 9, and `mesh up` starts it again"),
        (
            Process("process-motion", False, 3, "mesh: no model"),
            Level.WARNING,
            "mend what process-motion says: `mesh up` starts it again by itself",
        ),
    ],
)
def test_a_node_that_mesh_up_keeps_is_killed_or_left(process: Process, level: Level, do: str) -> None:
    by, site = starting(process), silent()
    (silence,) = nodes.judge(site, by)
    assert (silence.level, silence.do) == (level, do)
    gone = next(found for found in ledger.judge(site, by) if found.level is Level.FAILED)
    assert gone.cause == nodes.CHECK
    assert "mesh node" not in gone.do
    assert "mesh node process" in next(f for f in ledger.judge(site, Starting()) if "killed or" in f.found).do


def test_a_camera_without_a_capture_node_is_left_to_mesh_up() -> None:
    site = Site(setups=(CameraSetup.made("door", {"url": "rtsp://192.0.2.1/"}),))
    (found,) = cameras.judge(site, starting(Process("capture-all", False, 1, "mesh: no secrets")))
    assert (found.level, found.cause) == (Level.FAILED, "file")
    assert found.do == "mend what capture-all says: `mesh up` starts it again by itself"
    assert "mesh node" not in found.found
