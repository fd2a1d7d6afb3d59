"""Names that another process took while a capture node was not heard of: real nodes, in one process."""

import secrets
import threading
from collections.abc import Iterator

import pytest

from mesh.errors import MeshError
from mesh.registry import Registry, open_registry
from mesh.registry.records import NodeRecord
from nodes.capture.fleet import Fleet
from nodes.node import Node, NodeConfig, Work
from tests.support.waiting import wait_for


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


def _steal(registry: Registry, record: NodeRecord) -> None:
    """Take its name for another process, as after the lease of its holder was over."""
    entry = registry.get(record.key)
    assert entry is not None
    registry.revoke(entry.lease)
    registry.put(record.key, record.value() | {"pid": 0, "why": "theirs"}, lease=registry.grant(60))


def test_a_node_whose_name_was_taken_ends_and_leaves_the_other_ones_records(
    url: str, registry: Registry
) -> None:
    running = Running(url, Fleet())
    wait_for(lambda: registry.get("nodes/a"), "it is listed")
    _steal(registry, running.node.presence.node)
    running.thread.join(30)
    assert not running.thread.is_alive()
    assert "another process took the name 'a'" in str(running.failure)
    assert running.failure is not None
    assert running.failure.exit_code == 1
    assert [(e.key, e.value["why"]) for e in registry.list("nodes/")] == [("nodes/a", "theirs")]
