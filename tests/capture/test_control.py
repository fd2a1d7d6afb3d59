"""Cameras of running nodes are paused, resumed, looked at and set: real nodes, sockets and sources."""

import secrets
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
import zmq

from mesh import codec, setups
from mesh.client import Mesh, connect
from mesh.control import Answer, ControlRefused
from mesh.errors import ConfigError, MeshError
from mesh.frame import Frame
from mesh.orders import order
from mesh.registry.records import CameraRecord, CameraState
from mesh.setups import is_member
from mesh.transport.sockets import open_socket
from mesh.wire import Limits, Reply, Request, decode_reply, encode_request
from nodes.capture.camera import CameraConfig
from nodes.capture.node import Capture
from nodes.capture.snapshots import MOST
from nodes.node import Node, NodeConfig
from tests.capture.sources.support import jpegs, picture
from tests.capture.test_decision import camera
from tests.support.fleet import Members
from tests.support.mjpeg_server import MjpegServer
from tests.support.waiting import wait_for

ANSWER_S = 30.0
MOVING = "synthetic:?size=160x120&fps=50&noise=9"


class Told:
    """A capture node that was told its cameras, on a thread, and a mesh to ask it through."""

    def __init__(self, cameras: Sequence[CameraConfig]) -> None:
        url = f"memory:{secrets.token_hex(4)}"
        self.mesh: Mesh = connect(url)
        self.node = Node(Capture(cameras), NodeConfig(url, "cap", drain_s=0.5))
        self._thread = threading.Thread(target=self._run, name="told")
        self._thread.start()

    def _run(self) -> None:
        try:
            self.node.run(signals=False)
        except MeshError:  # its cameras cannot be opened: the test looks at what they say
            return

    def ask(self, name: str, operation: str, **arguments: Any) -> Answer:
        return self.mesh.control(name, operation, timeout=ANSWER_S, **arguments)

    def record(self, name: str) -> CameraRecord | None:
        return {camera.name: camera for camera in self.mesh.cameras()}.get(name)

    def wait_on(self, name: str, state: CameraState = CameraState.ONLINE) -> CameraRecord:
        def found() -> CameraRecord | None:
            record = self.record(name)
            return record if record is not None and record.state is state else None

        record = wait_for(found, f"camera {name} is {state}")
        assert record is not None
        return record

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.node.finish()
        self._thread.join()
        self.mesh.close()


class Asking:
    """Requests on one socket, which are taken up in their order."""

    def __init__(self, node: Node) -> None:
        self.socket = open_socket(zmq.DEALER, hwm=100, limits=Limits())
        self.socket.connect(node.control.endpoints[0])

    def send(self, number: int, operation: str, **arguments: Any) -> None:
        self.socket.send(encode_request(Request(number, operation, arguments)))

    def reply(self) -> Reply:
        assert self.socket.poll(int(ANSWER_S * 1000))
        return decode_reply(self.socket.recv_multipart())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.socket.close(linger=0)


@pytest.fixture
def server() -> Iterator[MjpegServer]:
    with MjpegServer(jpegs(5), period_s=0.02) as server:
        yield server


def test_a_paused_camera_is_closed_and_goes_on_under_its_boot(server: MjpegServer) -> None:
    with (
        Told([CameraConfig("door", server.url)]) as told,
        told.mesh.subscribe("raw", "door", policy="fifo", depth=100_000) as frames,
    ):
        boot = told.wait_on("door").boot
        before = frames.get(ANSWER_S)
        assert told.ask("door", "pause").value == {"paused": ["door"]}
        wait_for(lambda: not server.open, "the connection is closed")
        assert told.wait_on("door", CameraState.PAUSED).boot == boot
        status = told.ask("door", "status").value
        assert (status["state"], status["paused"], status["boot"]) == ("paused", True, boot)
        assert {stream.camera for stream in told.mesh.streams()} == {"door"}
        assert told.ask("door", "pause").value == {"paused": ["door"]}  # again: no harm
        captured = told.ask("door", "status").value["captured"]
        assert told.ask("cap", "status").value["paused"] is True
        for _ in range(2):
            assert told.ask("door", "resume").value == {"resumed": ["door"]}
        seqs = [frame.seq for frame in _until(frames, lambda frame: frame.seq >= captured + 3)]
        assert before is not None
        assert before.boot == boot == told.wait_on("door").boot
        assert seqs == list(range(before.seq + 1, captured + 4))
        assert server.served == 2


def test_a_node_pauses_all_its_cameras(server: MjpegServer) -> None:
    with Told([CameraConfig("door", server.url), CameraConfig("gate", MOVING)]) as told:
        for name in ("door", "gate"):
            told.wait_on(name)
        assert told.ask("cap", "pause").value == {"paused": ["door", "gate"]}
        assert not _settled(lambda: server.open)
        for name in ("door", "gate"):
            told.wait_on(name, CameraState.PAUSED)
        assert told.ask("cap", "resume").value == {"resumed": ["door", "gate"]}
        for name in ("door", "gate"):
            told.wait_on(name)


def test_a_paused_camera_is_opened_for_one_picture_that_all_who_ask_share(server: MjpegServer) -> None:
    with Told([CameraConfig("door", server.url)]) as told, Asking(told.node) as asking:
        told.wait_on("door")
        told.ask("door", "pause")
        captured = told.ask("door", "status").value["captured"]
        server.hold()
        asking.send(1, "snapshot", camera="door")
        asking.send(2, "snapshot", camera="door")
        asking.send(3, "status", camera="door")
        assert asking.reply().id == 3  # then the others have been taken up
        server.release()
        replies = [asking.reply(), asking.reply()]
        assert [(reply.id, reply.ok) for reply in replies] == [(1, True), (2, True)]
        assert replies[0].payload == replies[1].payload
        assert bytes(replies[0].payload) in server.jpegs  # the camera's own, untouched
        value = replies[0].value
        assert {k: value[k] for k in ("camera", "node", "width", "height")} == {
            "camera": "door",
            "node": "cap",
            "width": 64,
            "height": 48,
        }
        wait_for(lambda: not server.open, "it is closed again")
        assert server.served == 2
        status = told.ask("door", "status").value
        assert (status["state"], status["captured"]) == ("paused", captured)


def test_so_many_wait_for_a_picture_and_no_more(server: MjpegServer) -> None:
    with Told([CameraConfig("door", server.url)]) as told, Asking(told.node) as asking:
        told.wait_on("door")
        server.hold()
        told.ask("door", "pause")
        for number in range(MOST + 1):
            asking.send(number, "snapshot", camera="door")
        refused = asking.reply()
        assert (refused.id, refused.ok) == (MOST, False)
        assert f"{MOST} others wait" in refused.value
        server.release()
        assert [asking.reply().ok for _ in range(MOST)] == [True] * MOST


def test_a_running_camera_gives_its_next_picture(server: MjpegServer) -> None:
    with Told([CameraConfig("door", server.url), CameraConfig("gate", MOVING, size=(32, 24))]) as told:
        told.wait_on("door")
        assert bytes(told.ask("door", "snapshot").payload) in server.jpegs
        made = told.ask("gate", "snapshot")
        assert codec.jpeg_size(made.payload) == (made.value["width"], made.value["height"]) == (32, 24)
        assert server.served == 1
        with pytest.raises(ControlRefused, match="a snapshot is of a camera"):
            told.ask("cap", "snapshot")


def test_a_camera_that_cannot_be_opened_says_why_and_no_password() -> None:
    url = "http://viewer:hunter2@127.0.0.1:9/stream.mjpg"  # nobody listens on the port for discarding
    with Told([CameraConfig("door", url), CameraConfig("gate", MOVING)]) as told:
        told.wait_on("door", CameraState.CONNECTING)
        for paused in (False, True):
            with pytest.raises(ControlRefused, match="refuses to snapshot: ") as refused:
                told.ask("door", "snapshot")
            assert "127.0.0.1" in str(refused.value)
            assert "hunter2" not in str(refused.value)
            if not paused:
                told.ask("door", "pause")
        assert "hunter2" not in str(told.ask("door", "status").value)
        told.ask("door", "resume")
        told.wait_on("door", CameraState.CONNECTING)


def test_a_held_file_goes_on_where_it_was_and_no_frame_is_missing(tmp_path: Path) -> None:
    count = 60
    for number in range(count):
        (tmp_path / f"{number:03d}.jpg").write_bytes(codec.encode(picture(number), 90))
    config = CameraConfig("clip", f"images:{tmp_path}?fps=25", lossless=True)
    with Told([config]) as told:
        told.wait_on("clip", CameraState.CONNECTING)
        told.ask("clip", "pause")  # while it waits for a consumer
        first = codec.encode(picture(0), 90)
        assert bytes(told.ask("clip", "snapshot").payload) == first
        with told.mesh.subscribe("raw", "clip", policy="lossless", until_end=True) as frames:
            assert frames.get(0.2) is None
            told.ask("clip", "resume")
            got = [frames.get(ANSWER_S) for _ in range(3)]
            told.ask("clip", "pause")  # while it waits for room: the consumer takes no more
            told.wait_on("clip", CameraState.PAUSED)
            held = told.ask("clip", "status").value["captured"]
            assert 3 <= held < count
            assert bytes(told.ask("clip", "snapshot").payload) == codec.encode(picture(held), 90)
            told.ask("clip", "resume")
            got += list(frames)
    assert [frame.seq for frame in got if frame is not None] == list(range(count))
    assert len({frame.boot for frame in got if frame is not None}) == 1


def test_what_has_ended_is_not_paused(tmp_path: Path) -> None:
    (tmp_path / "0.jpg").write_bytes(codec.encode(picture(0), 90))
    with Told([CameraConfig("clip", f"images:{tmp_path}"), CameraConfig("gate", MOVING)]) as told:
        told.wait_on("clip", CameraState.ENDED)
        for operation in ("pause", "resume", "snapshot"):
            with pytest.raises(ControlRefused, match=f"refuses to {operation}: camera clip has ended$"):
                told.ask("clip", operation)
        assert told.ask("cap", "pause").value == {"paused": ["gate"]}


def test_rate_and_quality_change_while_it_runs() -> None:
    with (
        Told([CameraConfig("door", MOVING)]) as told,
        told.mesh.subscribe("raw", "door", policy="fifo", depth=100_000, view="frame") as frames,
    ):
        told.wait_on("door")
        first = frames.get(ANSWER_S)
        assert first is not None
        assert told.ask("door", "set", quality=5).value == {"fps": None, "quality": 5}
        seen = _until(frames, lambda frame: len(frame.payload) < len(first.payload) / 2)
        assert told.ask("door", "set", fps=10).value == {"fps": 10.0, "quality": 5}
        seen += _until(frames, lambda frame: _pts(frame) - _pts(seen[-1]) > 80e6, seen)
        assert told.ask("cap", "set", fps=None).value == {"cameras": 1, "fps": None}
        seen += _until(frames, lambda frame: _pts(frame) - _pts(seen[-1]) < 40e6, seen)
        assert [frame.seq for frame in seen] == list(range(first.seq + 1, first.seq + 1 + len(seen)))
        assert {frame.boot for frame in seen} == {first.boot}
        assert told.ask("door", "status").value["settings"] == {"fps": None, "quality": 5}


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"quality": 0}, "quality is a whole number from 1 to 100, not 0"),
        ({"quality": 7.5}, "quality is a whole number"),
        ({"quality": True}, "quality is a whole number"),
        ({"quality": None}, "quality is a whole number"),
        ({"fps": 0}, "fps is frames per second, 0.001 at least, or none, not 0"),
        ({"fps": "many"}, "fps is frames per second, .* not 'many'"),
        ({"fps": 5, "size": "1x1"}, "there is no 'size' to set: there are fps, quality"),
        ({}, "nothing to set: there are fps, quality"),
    ],
)
def test_what_cannot_be_set_is_refused(gate: Told, given: dict[str, Any], why: str) -> None:
    for name in ("gate", "cap"):
        with pytest.raises(ControlRefused, match=why):
            gate.ask(name, "set", **given)
    assert gate.ask("gate", "status").value["settings"] == {"fps": None, "quality": 85}


@pytest.fixture(scope="module")
def gate() -> Iterator[Told]:
    with Told([CameraConfig("gate", MOVING)]) as told:
        told.wait_on("gate")
        yield told


def test_names_and_operations_that_there_are_not(gate: Told) -> None:
    with pytest.raises(MeshError, match=r"^no node or camera named 'x': there are cap; cameras: gate$"):
        gate.ask("x", "status")
    with pytest.raises(MeshError, match=r"^no camera named 'cap': there are gate$"):
        gate.ask("camera:cap", "status")
    with pytest.raises(MeshError, match=r"^no node named 'gate': there are cap$"):
        gate.ask("node:gate", "status")
    with pytest.raises(ConfigError, match="use NAME, node:NAME or camera:NAME"):
        gate.ask("x:gate", "status")
    for operation in ("drain", "stop"):
        with pytest.raises(
            ConfigError, match=f"cannot {operation}: `mesh ctl gate pause` .* camera disable gate`"
        ):
            gate.ask("gate", operation)
    with pytest.raises(ControlRefused, match="it does not capture camera 'other'"):
        gate.ask("cap", "pause", camera="other")
    with pytest.raises(ControlRefused, match="pause of a camera takes no arguments"):
        gate.ask("gate", "pause", now=True)
    with pytest.raises(ControlRefused, match="it has no operation 'fly'"):
        gate.ask("gate", "fly")
    assert gate.ask("camera:gate", "status").value["camera"] == "gate"
    assert gate.ask("node:cap", "status").value["kind"] == "capture"


def test_a_name_of_both_is_not_guessed() -> None:
    with Told([CameraConfig("cap", MOVING)]) as told:
        told.wait_on("cap")
        with pytest.raises(ConfigError, match="'cap' is a node and a camera: say node:cap or camera:cap"):
            told.ask("cap", "status")
        assert told.ask("camera:cap", "status").value["camera"] == "cap"


@pytest.fixture
def members() -> Iterator[Members]:
    with Members(f"memory:{secrets.token_hex(4)}") as made:
        yield made


def test_a_configured_camera_stays_paused_wherever_it_goes(members: Members, server: MjpegServer) -> None:
    for name in ("a", "b"):
        members.start(name)
    wait_for(lambda: sum(map(is_member, members.nodes())) == 2, "both nodes take their share")
    setups.add(members.registry, camera("door", url=server.url))
    members.wait_settled(["door"])
    before = members.wait_on("door")
    done = order(members.registry, "door", "pause", timeout=ANSWER_S)
    assert done.kept
    assert setups.find(members.registry, "door")[0].paused
    wait_for(lambda: not server.open, "its connection is closed")
    served = server.served
    members.kill_and_forget(done.node)
    (other,) = members.running
    after = members.wait_on("door", other, CameraState.PAUSED)
    assert after.boot > before.boot
    assert server.served == served  # nobody opened it
    assert bytes(order(members.registry, "door", "snapshot", timeout=ANSWER_S).answer.payload) in server.jpegs
    members.wait_on("door", other, CameraState.PAUSED)
    assert order(members.registry, "door", "resume", timeout=ANSWER_S).kept
    assert members.wait_on("door", other).boot == after.boot
    assert not setups.find(members.registry, "door")[0].paused


def test_a_member_follows_its_configuration(members: Members) -> None:
    setups.add(members.registry, camera("door", url=MOVING))
    with pytest.raises(ControlRefused, match="nobody captures camera 'door': no capture node runs"):
        order(members.registry, "door", "status")
    done = order(members.registry, "door", "pause")
    assert (done.node, done.kept) == ("", True)
    assert "no capture node runs" in done.target.why
    members.start("a")
    boot = members.wait_on("door", "a", CameraState.PAUSED).boot
    for paused, state in ((False, CameraState.ONLINE), (True, CameraState.PAUSED)):
        setup, revision = setups.find(members.registry, "door")
        setups.change(members.registry, setup.model_copy(update={"paused": paused}), revision)
        assert members.wait_on("door", "a", state).boot == boot
    order(members.registry, "door", "set", {"quality": 5}, timeout=ANSWER_S)
    setup, revision = setups.find(members.registry, "door")
    setups.change(members.registry, setups.changed(setup, {"size": "32x24"}), revision)
    wait_for(lambda: (record := members.camera("door")) and record.boot > boot, "it is captured otherwise")
    members.wait_on("door", "a", CameraState.PAUSED)  # and still not opened
    status = order(members.registry, "door", "status", timeout=ANSWER_S).answer.value
    assert status["settings"] == {"fps": None, "quality": 85}


def test_a_pause_that_cannot_be_written_down_says_so(members: Members) -> None:
    members.start("a")
    members.registry.put("config/cameras/door", camera("door", url=MOVING).value())
    members.wait_on("door", "a")
    members.registry.put("config/cameras/door", {"url": ""})  # malformed: the member goes on as it was
    with pytest.raises(
        MeshError, match="camera 'door' is paused on the node that has it, but that was not wri"
    ):
        order(members.registry, "door", "pause", timeout=ANSWER_S)
    members.wait_on("door", "a", CameraState.PAUSED)


def _pts(frame: Frame) -> int:
    assert frame.pts_ns is not None
    return frame.pts_ns


def _until(frames: Any, holds: Any, seen: list[Frame] | None = None) -> list[Frame]:
    """The frames up to the first for which `holds`; it may look at those that were `seen` before."""
    found: list[Frame] = []
    while (frame := frames.get(ANSWER_S)) is not None:
        found.append(frame)
        if holds(frame):
            return found
        if seen is not None:
            seen.append(found.pop())
    raise AssertionError("no more frames came")


def _settled(value: Any) -> Any:
    """A value that others are about to bring to nothing, once they have."""
    return wait_for(lambda: not value(), "it has gone") and value()
