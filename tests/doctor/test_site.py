"""Clocks, keys, cameras and the ledger, each made to fail by what stands in a real registry."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from mesh.clock import SYSTEM_CLOCK
from mesh.doctor import Finding, Level
from mesh.doctor.forward import judge_way
from mesh.registry import Registry, open_registry
from mesh.registry.records import (
    CameraCount,
    CameraRecord,
    CameraState,
    ForwardCount,
    GroupCount,
    NodeKind,
    NodeState,
    RecordedCount,
    StatsRecord,
)
from mesh.registry.server import RegistryServer
from mesh.registry.setups import CameraSetup
from tests.doctor.support import examined, levels, node, of, write
from tests.support.waiting import PATIENCE_S

BOOT = 7
MS = 1_000_000


class Ahead:
    """This machine's clock, set too far ahead by so much."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def wall_ns(self) -> int:
        return time.time_ns() + round(self._seconds * 1e9)

    monotonic, wait = SYSTEM_CLOCK.monotonic, SYSTEM_CLOCK.wait


@pytest.fixture
def registry() -> Iterator[Registry]:
    with (
        RegistryServer("tcp://127.0.0.1:*") as server,
        open_registry(server.url, timeout=PATIENCE_S) as registry,
    ):
        yield registry


def report(name: str, **more: Any) -> StatsRecord:
    return StatsRecord.model_validate({"node": name, "run": 1, "at_ns": time.time_ns()} | more)


def judged(registry: Registry, check: str, *records: Any) -> list[Finding]:
    write(registry, *records)
    return [finding for finding in examined(registry.url) if finding.check == check]


# Clocks


@pytest.mark.parametrize(
    ("offset_ms", "error_ms", "level"),
    [
        (90, 0, Level.OK),
        (-150, 10, Level.WARNING),
        (150, 60, Level.OK),  # that may be how it was measured
        (-1500, 10, Level.FAILED),
        (2500, 1800, Level.WARNING),
    ],
)
def test_a_nodes_clock_that_is_surely_off_is_told(
    registry: Registry, offset_ms: int, error_ms: int, level: Level
) -> None:
    told = report("edge", clock_offset_ns=offset_ms * MS, clock_error_ns=error_ms * MS)
    findings = judged(registry, "clocks", node("edge", host="edge2"), node("new"), told)
    edge = of(findings, "clocks", "edge")
    assert edge.level is level
    assert "edge2" in edge.do or level is Level.OK
    assert of(findings, "clocks", "this machine").level is Level.OK
    assert of(findings, "clocks", "new").level is Level.NOTE


@pytest.mark.parametrize(("seconds", "level"), [(0.5, Level.WARNING), (-30.0, Level.FAILED)])
def test_this_machines_clock_that_is_off_is_told(registry: Registry, seconds: float, level: Level) -> None:
    assert of(examined(registry.url, clock=Ahead(seconds)), "clocks", "this machine").level is level


# Keys


def test_what_listens_beyond_loopback_is_open_to_its_network(registry: Registry) -> None:
    shut = judged(registry, "keys", node("near", endpoints={"pub": "tcp://127.0.0.1:5000"}))
    assert {finding.level for finding in shut} == {Level.OK}
    far = node("far", place="elsewhere/1", host="edge2", endpoints={"pub": "tcp://0.0.0.0:5000"})
    nodes = of(judged(registry, "keys", far), "keys", "nodes")
    assert nodes.level is Level.WARNING
    assert nodes.found.endswith(": far (edge2)")
    assert "keep that network private" in nodes.do


def test_a_registry_that_listens_beyond_loopback_is_open_to_its_network() -> None:
    with RegistryServer("tcp://0.0.0.0:*") as server:
        found = of(examined(server.url), "keys", "registry")
    assert found.level is Level.WARNING
    assert found.found.endswith("it listens on 0.0.0.0")


@pytest.mark.parametrize(
    ("bind", "level"), [("tcp://127.0.0.1:*", Level.NOTE), ("tcp://0.0.0.0:*", Level.WARNING)]
)
def test_passwords_that_the_registry_keeps_are_told_and_never_shown(bind: str, level: Level) -> None:
    with RegistryServer(bind) as server, open_registry(server.url, timeout=PATIENCE_S) as registry:
        for name, url in (
            ("door", "rtsp://u:hunter2@192.0.2.1/"),
            ("gate", "rtsp://u:{GATE_PASSWORD}@192.0.2.2/"),
        ):
            setup = CameraSetup.made(name, {"url": url})
            registry.put(setup.key, setup.value())
        findings = examined(server.url)
    found = of(findings, "keys", "passwords")
    assert found.level is level
    assert "the passwords of door in" in found.found
    assert "mesh camera set door" in found.do
    assert "hunter2" not in str(findings)


# Nodes and cameras


def camera(name: str, state: CameraState, why: str = "") -> CameraRecord:
    return CameraRecord(name=name, source="rtsp://192.0.2.1/", state=state, why=why, node="capture")


def test_a_degraded_node_has_failed_with_its_reason(registry: Registry) -> None:
    sick = node("collect", state=NodeState.DEGRADED, why="the disk is full")
    found = of(judged(registry, "nodes", sick), "nodes", "collect")
    assert (found.level, found.found) == (Level.FAILED, "degraded: the disk is full")


@pytest.mark.parametrize(
    ("state", "level"),
    [
        (CameraState.ONLINE, Level.OK),
        (CameraState.ENDED, Level.OK),
        (CameraState.CONNECTING, Level.WARNING),
        (CameraState.RECONNECTING, Level.WARNING),
        (CameraState.FAILED, Level.FAILED),
    ],
)
def test_a_camera_is_as_its_state_is_and_says_why(
    registry: Registry, state: CameraState, level: Level
) -> None:
    found = of(judged(registry, "cameras", camera("door", state, "no route to host")), "cameras", "door")
    assert found.level is level
    assert state is CameraState.ONLINE or "no route to host" in found.found


def test_what_to_do_about_a_camera_fits_how_it_was_given(registry: Registry) -> None:
    configure(registry, "gate")
    write(registry, camera("gate", CameraState.FAILED), camera("door", CameraState.FAILED))
    findings = examined(registry.url)
    assert "mesh camera set gate --url" in of(findings, "cameras", "gate").do
    assert "mesh camera set" not in of(findings, "cameras", "door").do


def configure(registry: Registry, name: str, **options: Any) -> None:
    setup = CameraSetup.made(name, {"url": "rtsp://192.0.2.1/", **options})
    registry.put(setup.key, setup.value())


def test_configured_cameras_that_nobody_captures_are_told(registry: Registry) -> None:
    configure(registry, "door")
    configure(registry, "pinned", node="attic")
    configure(registry, "off", enabled=False)
    findings = judged(registry, "cameras")
    told = {name: of(findings, "cameras", name) for name in ("door", "pinned", "off")}
    assert {name: f.level for name, f in told.items()} == {
        "door": Level.FAILED,
        "pinned": Level.FAILED,
        "off": Level.NOTE,
    }
    assert (told["door"].do, told["off"].do) == ("mesh node capture", "mesh camera enable off")
    findings = judged(registry, "cameras", node("capture", group="capture"))
    told = {name: of(findings, "cameras", name) for name in ("door", "pinned")}
    assert [told["door"].level, told["pinned"].level] == [Level.WARNING, Level.FAILED]
    assert "--node none" in told["pinned"].do


def test_a_camera_that_went_with_its_node_has_failed(registry: Registry) -> None:
    assert of(judged(registry, "cameras"), "cameras", "cameras").level is Level.NOTE
    counts = (CameraCount(camera="door", boot=BOOT), CameraCount(camera="clip", boot=BOOT, ended=True))
    (found,) = judged(registry, "cameras", report("capture", cameras=counts))
    assert (found.subject, found.level) == ("door", Level.FAILED)
    assert "node capture, which did, is gone" in found.found


# The ledger


def group(**more: Any) -> GroupCount:
    usual = {"camera": "door", "boot": BOOT, "stage": "raw", "group": "motion", "output": "motion"}
    return GroupCount.model_validate(usual | more)


def captured(count: int) -> StatsRecord:
    return report("capture", cameras=(CameraCount(camera="door", boot=BOOT, captured=count),))


def test_frames_that_nobody_can_account_for_are_a_bug_to_report(registry: Registry) -> None:
    write(registry, node("capture"), node("process", kind=NodeKind.PROCESS, group="motion"))
    counted = report("process", groups=(group(offered=10, processed=7, spans=((0, 1, 0, 10),)),))
    findings = judged(registry, "ledger", captured(10), counted)
    found = of(findings, "ledger", "door")
    assert (found.level, found.found) == (Level.WARNING, "3 frames cannot be accounted for")
    assert "mesh stats --json" in found.do


def test_a_group_whose_last_node_was_killed_has_failed(registry: Registry) -> None:
    write(registry, node("capture"))
    counted = report("process", groups=(group(offered=10, processed=10, spans=((0, 1, 0, 10),)),))
    found = of(judged(registry, "ledger", captured(10), counted), "ledger", "door, group motion")
    assert found.level is Level.FAILED
    assert "its last node (process) was killed or hangs" in found.found


def test_results_that_wait_for_a_collector_are_told(registry: Registry) -> None:
    process = node("process", kind=NodeKind.PROCESS, group="motion")
    counts = group(
        offered=10, processed=10, spans=((0, 1, 0, 10),), results=10, delivered=6, waiting=4, pushes=True
    )
    write(registry, node("capture"), process, captured(10), report("process", groups=(counts,)))
    (found,) = judged(registry, "ledger")
    assert (found.level, found.found) == (
        Level.WARNING,
        "4 results wait for a collector, and none runs",
    )
    recorded = RecordedCount(camera="door", boot=BOOT, stage="motion", recorded=6)
    (found,) = judged(registry, "ledger", report("collect", final=True, recorded=(recorded,)))
    assert found.level is Level.FAILED  # there was one, and now nothing is recorded
    (found,) = judged(registry, "ledger", node("other", kind=NodeKind.COLLECT))
    assert found.level is Level.OK


@pytest.mark.parametrize(("waits", "level"), [(2, Level.WARNING), (0, Level.NOTE)])
def test_results_that_were_given_up_are_a_warning_while_that_goes_on(
    registry: Registry, waits: int, level: Level
) -> None:
    process = node("process", kind=NodeKind.PROCESS, group="motion")
    counts = group(
        offered=10,
        processed=10,
        spans=((0, 1, 0, 10),),
        results=10,
        delivered=6 - waits,
        waiting=waits,
        undelivered={"spool_full": 4},
        pushes=True,
    )
    write(registry, node("capture"), process, node("collect", kind=NodeKind.COLLECT))
    (found,) = judged(registry, "ledger", captured(10), report("process", groups=(counts,)))
    assert found.level is level
    assert found.found == "4 results were given up: the spool was full, since its capture began"


# Forwarding

HQ = "tcp://hq.example:7700"
AWAY = "no registry answers there"


@pytest.mark.parametrize(
    ("count", "level", "found", "do"),
    [
        ({"forwarded": 9, "waiting": 1}, Level.OK, "9 frames forwarded, 1 frames wait", ""),
        ({"why": AWAY}, Level.NOTE, f"held up: {AWAY}; 0 frames wait", "reached from edge2"),
        ({"why": AWAY, "waiting": 160}, Level.WARNING, f"held up: {AWAY}; 160 frames wait", "--keep…"),
        (
            {"why": AWAY, "waiting": 160, "dropped": {"removed": 5}},
            Level.FAILED,
            "5 frames were removed from the folder before, and never get there; held up: ",
            "keep recordings for longer",
        ),
        (
            {"forwarded": 90, "dropped": {"damaged": 2, "refused": 1, "filtered": 7}},
            Level.WARNING,
            "2 frames cannot be read; 1 frames were refused by the other end, since the node started",
            "mesh recordings verify DIR, on edge2",
        ),
        (
            {"forwarded": 3, "dropped": {"refused": 4}},
            Level.FAILED,
            "4 frames were refused by the other end, and never get there",
            "the node's log on edge2",
        ),
    ],
)
def test_a_destination_that_is_held_up_or_loses_frames_is_told(
    registry: Registry, count: dict[str, Any], level: Level, found: str, do: str
) -> None:
    edge = node("edge", kind=NodeKind.COLLECT, host="edge2")
    told = report("edge", forwards=({"to": HQ, **count},))
    way = of(judged(registry, "forward", edge, told), "forward", f"edge to {HQ}")
    assert (way.level, way.found.startswith(found)) == (level, True), way
    assert do in way.do


def test_since_when_a_destination_is_held_up_is_told_by_the_registrys_clock() -> None:
    """The node's own clock is a minute ahead."""
    node_ns = 1_000_000_000_000
    count = ForwardCount(to=HQ, waiting=1, why=AWAY, since_ns=node_ns)
    at = report("edge", clock_offset_ns=60_000 * MS, clock_error_ns=0)
    way = judge_way(node("edge"), at, count, node_ns + 120_000 * MS)
    assert way.found == f"held up for 3 min: {AWAY}; 1 frames wait"


def test_a_node_that_is_gone_forwards_nothing(registry: Registry) -> None:
    told = report("edge", forwards=({"to": HQ, "why": AWAY, "waiting": 3},))
    (found,) = judged(registry, "forward", told)
    assert (found.level, found.found) == (Level.OK, "nothing is forwarded")


def test_all_of_them_are_well_where_nothing_is_wrong(registry: Registry) -> None:
    told = report("capture", clock_offset_ns=0, clock_error_ns=0)
    write(registry, node("capture"), told, camera("door", CameraState.ONLINE))
    findings = examined(registry.url)
    for check in ("nodes", "reach", "clocks", "keys", "cameras"):
        assert levels(findings, check) == {Level.OK}, check
