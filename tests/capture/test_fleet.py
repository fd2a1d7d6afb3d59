"""Capture nodes that share the configured cameras: real nodes, sockets and sources, in one process."""

import logging
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh import codec, setups
from mesh.frame import draw_boot
from mesh.ports import free_port
from mesh.registry import Session
from mesh.registry.records import CameraRecord, CameraState
from mesh.registry.server import RegistryServer
from tests.capture.sources.support import picture
from tests.capture.test_decision import camera
from tests.support.clock import ManualClock
from tests.support.fleet import Members
from tests.support.waiting import wait_for

AN_HOUR_NS = 3600 * 10**9
TINY = "synthetic:?size=32x32&fps=10&objects=0"


@pytest.fixture
def members() -> Iterator[Members]:
    with Members(f"memory:{secrets.token_hex(4)}") as made:
        yield made


def _add(members: Members, *names: str, **options: object) -> None:
    for name in names:
        setups.add(members.registry, camera(name, **{"url": TINY, **options}))


def _set(members: Members, name: str, **values: object) -> None:
    setup, revision = setups.find(members.registry, name)
    setups.change(members.registry, setups.changed(setup, values), revision)


def test_cameras_are_added_changed_disabled_and_removed_while_a_node_runs(members: Members) -> None:
    node = members.start("a")
    _add(members, "door", "gate")
    before = members.wait_on("door", "a")
    members.wait_on("gate", "a")
    with members.mesh.subscribe("raw", "gate", policy="fifo") as frames:
        first = frames.get(30)
        _set(members, "door", size="48x32")
        wait_for(lambda: (record := members.camera("door")) and record.width == 48, "it has its new size")
        assert members.wait_on("door", "a").boot > before.boot
        _set(members, "door", node="a")  # no new start
        assert (found := frames.get(30)) is not None
        assert first is not None
        assert found.boot == first.boot  # the other one was left alone
    _set(members, "door", enabled=False)
    members.wait_gone("door")
    assert {s.camera for s in members.mesh.streams()} == {"gate"}
    _set(members, "door", enabled=None)
    members.wait_on("door", "a")
    setups.remove(members.registry, "gate", setups.find(members.registry, "gate")[1])
    members.wait_gone("gate")
    assert members.running == ["a"]
    assert {c.camera for c in node.work.stats().cameras} == {"door", "gate"}  # its counts stay readable


def _shared(members: Members, *names: str) -> dict[str, CameraRecord]:
    """Two nodes that share so many cameras; each camera's record, once all are where they belong."""
    members.start("a")
    members.start("b")
    wait_for(lambda: len(members.nodes()) == 2, "both nodes are there")
    _add(members, *names)
    members.wait_settled(names)
    found = {camera.name: camera for camera in members.mesh.cameras()}
    assert {camera.node for camera in found.values()} == {"a", "b"}
    return found


SIX = tuple(f"cam{number}" for number in range(6))


@pytest.mark.parametrize("end", ["stopped", "killed"])
def test_two_nodes_share_and_the_cameras_of_one_that_goes_move(members: Members, end: str) -> None:
    before = _shared(members, *SIX)
    (members.stop if end == "stopped" else members.kill_and_forget)("a")
    for name in before:
        after = members.wait_on(name, "b")
        assert after.boot > before[name].boot or before[name].node == "b"
    wait_for(lambda: {stream.node for stream in members.mesh.streams()} == {"b"}, "a's streams are gone")


def test_pins_and_labels_are_kept(members: Members) -> None:
    _add(members, "usb", node="b")
    _add(members, "gate", label="site=gate")
    members.start("a")
    members.start("b")
    members.wait_on("usb", "b")
    assert members.camera("gate") is None
    members.start("c", labels={"site": "gate"})
    members.wait_on("gate", "c")
    members.stop("b")
    members.wait_gone("usb")


def test_a_camera_that_another_node_was_told_to_capture_is_waited_for(members: Members) -> None:
    _add(members, "door")
    with Session(members.registry, ttl=60) as other:
        held = CameraRecord(
            name="door", source=TINY, node="told", boot=draw_boot(time.time_ns() + AN_HOUR_NS)
        )
        other.claim(held.key, held.value())
        members.start("a")
        _add(members, "gate")
        members.wait_on("gate", "a")
        found = members.camera("door")
        assert found is not None
        assert found.node == "told"
    assert members.wait_on("door", "a").boot == held.boot + 1  # above the last, though that clock was ahead


def test_a_claim_that_was_lost_stops_the_camera_here(members: Members) -> None:
    node = members.start("a")
    _add(members, "door")
    before = members.wait_on("door", "a")
    thief = members.registry.grant(60)
    record = before.model_copy(update={"node": "thief"})
    members.registry.put(record.key, record.value(), lease=thief)
    node.presence.show(before.model_copy(update={"why": "so that it is written again"}))
    wait_for(lambda: not members.mesh.streams(), "it has stopped here")
    members.registry.revoke(thief)
    assert members.wait_on("door", "a").boot > before.boot


def test_a_registry_that_starts_anew_stops_nothing(tmp_path: Path) -> None:
    with RegistryServer(bind=f"tcp://127.0.0.1:{free_port()}", state=tmp_path) as server:
        members = Members(server.url, lease_s=6.0)  # and at a third of that they announce themselves again
        before = _shared(members, *SIX)
    with RegistryServer(bind=server.url, state=tmp_path), members:
        wait_for(lambda: len(members.nodes()) == 2, "both nodes are there again")
        after = {name: members.wait_on(name) for name in before}
    assert {name: (record.node, record.boot) for name, record in after.items()} == {
        name: (record.node, record.boot) for name, record in before.items()
    }


def test_a_new_node_leaves_a_registry_that_started_anew_the_time_to_hear_of_owners(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    clock = ManualClock()
    url = f"tcp://127.0.0.1:{free_port()}"
    with RegistryServer(bind=url, state=tmp_path), Members(url) as members:
        _add(members, "door")
    with (
        RegistryServer(bind=url, state=tmp_path, clock=clock),
        Members(url) as members,
        Session(members.registry, ttl=60) as owner,
    ):
        members.start("new", clock=clock)
        wait_for(lambda: "waiting for those who capture" in caplog.text, "it waits for the owners")
        held = CameraRecord(name="door", source=TINY, node="owner")
        assert owner.take(held.key, held.value()) is None  # it was left free
        clock.advance_until(lambda: "is captured by node owner" in caplog.text)
        owner.withdraw(held.key)
        clock.advance_until(lambda: (found := members.camera("door")) and found.node == "new")


def test_a_camera_that_failed_is_tried_again_and_at_once_when_it_changes(
    members: Members, tmp_path: Path
) -> None:
    clock = ManualClock()
    jpegs = tmp_path / "pictures"
    _add(members, "late", url=f"images:{jpegs}?fps=10", loop=True)
    _add(members, "wrong", url="rtsp://viewer:{NOT_THERE}@127.0.0.1:9/x")
    members.start("a", clock=clock)
    assert "no such" in members.wait_on("late", "a", CameraState.FAILED).why
    why = members.wait_on("wrong", "a", CameraState.FAILED).why
    assert why.startswith("the secret NOT_THERE is not known here")
    _set(members, "wrong", url=TINY)
    members.wait_on("wrong", "a")  # though the clock stands
    _pictures(jpegs)
    assert members.state("late") is CameraState.FAILED
    clock.advance_until(lambda: members.state("late") is CameraState.ONLINE, step=1.0)


@pytest.mark.parametrize("end", ["stopped", "killed"])
def test_a_clip_that_has_ended_is_not_captured_again_until_it_changes(
    members: Members, tmp_path: Path, end: str
) -> None:
    _pictures(tmp_path / "clip")
    clips = tuple(f"clip{number}" for number in range(4))
    members.start("a")
    _add(members, *clips, url=f"images:{tmp_path / 'clip'}?fps=100")
    boots = {name: members.wait_on(name, "a", CameraState.ENDED).boot for name in clips}
    members.start("b")
    _add(members, "live", node="b")
    members.wait_on("live", "b")  # it has seen all that there is
    assert {name: members.wait_on(name, "a", CameraState.ENDED).boot for name in clips} == boots
    (members.stop if end == "stopped" else members.kill_and_forget)("a")
    assert {name: members.wait_on(name, "b", CameraState.ENDED).boot for name in clips} == boots
    members.stop("b")
    assert {name: members.state(name) for name in clips} == dict.fromkeys(clips, CameraState.ENDED)
    members.start("c")
    assert {name: members.wait_on(name, "c", CameraState.ENDED).boot for name in clips} == boots
    _set(members, "clip0", quality=50)
    wait_for(
        lambda: (
            (found := members.camera("clip0"))
            and found.state is CameraState.ENDED
            and found.boot > boots["clip0"]
        ),
        "what changed is captured again",
    )
    assert members.wait_on("clip1", "c", CameraState.ENDED).boot == boots["clip1"]


def test_a_lossless_camera_that_nobody_consumes_is_let_go_of_at_once(tmp_path: Path) -> None:
    _pictures(tmp_path / "clip")
    with Members(f"memory:{secrets.token_hex(4)}", drain_s=120.0) as members:
        members.start("a")
        _add(members, "clip", url=f"images:{tmp_path / 'clip'}", lossless=True, partitions=2)
        members.wait_on("clip", "a", CameraState.CONNECTING)
        setups.remove(members.registry, "clip", setups.find(members.registry, "clip")[1])
        members.wait_gone("clip")
        _add(members, "clip", url=TINY)  # it has let go, too
        members.wait_on("clip", "a")


def _pictures(folder: Path) -> None:
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.jpg").write_bytes(codec.encode(picture(number), 90))
