"""Names that another process took while a capture node was not heard of: real nodes, in one process."""

import secrets
import threading
from collections.abc import Iterator

import pytest

from mesh.errors import MeshError
from mesh.registry import Entry, Registry, open_registry
from mesh.registry.records import CameraRecord, NodeRecord
from nodes.capture.camera import CameraConfig
from nodes.capture.fleet import Fleet
from nodes.capture.node import Capture
from nodes.node import Node, NodeConfig, Work
from tests.support.waiting import wait_for

TINY = "synthetic:?size=32x32&fps=10&objects=0"


class Running:
    """A node on a thread of its own; `failure` is what it has ended with."""

    def __init__(self, url: str, work: Work) -> None:
        self.node = Node(work, NodeConfig(url, "a", lease_s=1.5, drain_s=0.5))
        self.failure: MeshError | None = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.node.run(signals=False)
        except MeshError as error:
            self.failure = error

    def end(self) -> None:
        self.node.finish()
        self.thread.join()


@pytest.fixture
def url() -> str:
    return f"memory:{secrets.token_hex(4)}"


@pytest.fixture
def registry(url: str) -> Iterator[Registry]:
    with open_registry(url) as registry:
        yield registry


def found(registry: Registry, key: str) -> Entry:
    """What stands there; a holder whose lease has ended announces itself again."""
    entry = wait_for(lambda: registry.get(key), f"{key} is listed")
    assert entry is not None
    return entry


def _steal(registry: Registry, record: CameraRecord | NodeRecord) -> None:
    """Take its name for another process, as after the lease of its holder was over."""
    registry.revoke(found(registry, record.key).lease)
    registry.put(record.key, record.value() | {"pid": 0, "why": "theirs"}, lease=registry.grant(60))


def test_a_node_whose_name_was_taken_ends_and_leaves_the_other_ones_records(
    url: str, registry: Registry
) -> None:
    running = Running(url, Fleet())
    found(registry, "nodes/a")
    _steal(registry, running.node.presence.node)
    running.thread.join(30)
    assert not running.thread.is_alive()
    assert "another process took the name 'a'" in str(running.failure)
    assert running.failure is not None
    assert running.failure.exit_code == 1
    assert [(e.key, e.value["why"]) for e in registry.list("nodes/")] == [("nodes/a", "theirs")]


def test_a_camera_that_another_node_took_is_captured_here_no_more(url: str, registry: Registry) -> None:
    running = Running(url, Capture([CameraConfig("door", TINY), CameraConfig("gate", TINY)]))

    def listed() -> list[str]:
        return [entry.key for entry in registry.list("streams/")]

    try:
        wait_for(lambda: listed() == ["streams/raw/door/a", "streams/raw/gate/a"], "both are captured")
        _steal(
            registry, CameraRecord.of(found(registry, "cameras/door")).model_copy(update={"node": "thief"})
        )
        wait_for(lambda: listed() == ["streams/raw/gate/a"], "one is captured here no more")
        assert not running.node.finished.is_set()
        _steal(
            registry, CameraRecord.of(found(registry, "cameras/gate")).model_copy(update={"node": "thief"})
        )
        wait_for(running.node.finished.is_set, "no camera is left")
    finally:
        running.end()
    assert "camera door: another node took it; camera gate: another node took it" in str(running.failure)
    assert {entry.value["node"] for entry in registry.list("cameras/")} == {"thief"}
