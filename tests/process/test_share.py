"""A process node among others of its group: how it joins, hands over, and tells what it cannot have."""

import secrets
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mesh.errors import MeshError
from mesh.frame import Frame
from mesh.inbox import Policy
from mesh.registry import Registry, open_registry
from mesh.registry.records import (
    CameraCount,
    GroupCount,
    GroupRecord,
    NodeKind,
    NodeRecord,
    NodeState,
    Record,
    StatsRecord,
    StreamRecord,
)
from mesh.transport import Publisher
from nodes.node import Node, NodeConfig
from nodes.process.node import Process, ProcessConfig
from nodes.process.unreached import SILENT_S, Unreached, published
from tests.support.clock import ManualClock
from tests.support.frames import jpeg_frame
from tests.support.waiting import wait_for

NOWHERE = "tcp://127.0.0.1:1"


class Gate:
    """Passes frames on while it is open."""

    entered, opened = threading.Event(), threading.Event()

    def __call__(self, frame: Frame) -> Frame:
        self.entered.set()
        assert self.opened.wait(30)
        return frame


class Site:
    """A registry in memory, and one node of the group "g" that takes in stage "raw"."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.url = f"memory:{secrets.token_hex(4)}"
        self.registry: Registry = open_registry(self.url, clock=self.clock)
        self.failure: MeshError | None = None

    def start(self, processor: str = "passthrough") -> None:
        work = ProcessConfig((processor,), stage="made", group="g", policy=Policy.FIFO, push=False)
        config = NodeConfig(self.url, "me", lease_s=3600.0, drain_s=10.0)
        self.work = Process(work, self.clock)
        self.node = Node(self.work, config, self.clock)
        self.thread = threading.Thread(target=self._run, name="node me")
        self.thread.start()

    def _run(self) -> None:
        try:
            self.node.run(signals=False)
        except MeshError as error:
            self.failure = error

    def put(self, *records: Record) -> None:
        for record in records:
            self.registry.put(record.key, record.value())  # type: ignore[attr-defined]  # all that are put

    def me(self) -> NodeRecord:
        entry = self.registry.get("nodes/me")
        assert entry is not None
        return NodeRecord.of(entry)

    def wait_listed(self, key: str) -> None:
        wait_for(lambda: self.registry.get(key), f"{key} is listed")

    def wait_seen(self, node: str) -> None:
        """Until the node reckons with another one: of what it is told it shows nothing."""
        share = self.work._share
        assert share is not None
        wait_for(lambda: node in {each.id for each in share._nodes or ()}, f"{node} is seen")

    def wait_draining(self) -> None:
        """Until the node's time to hand over has begun."""
        share = self.work._share
        assert share is not None
        wait_for(lambda: share._draining, "it drains")

    def advance_until(self, condition: Callable[[], object]) -> None:
        self.clock.advance_until(condition)

    def close(self) -> None:
        Gate.opened.set()
        self.node.finish()
        self.clock.advance_until(lambda: not self.thread.is_alive())
        self.thread.join()
        self.registry.close()


@pytest.fixture
def site() -> Iterator[Site]:
    Gate.entered.clear()
    Gate.opened.clear()
    site = Site()
    yield site
    site.close()


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    publisher = Publisher("eye")
    yield publisher
    publisher.close(flush=False)


def member(name: str, group: str = "g", **more: Any) -> NodeRecord:
    return NodeRecord(id=name, kind=NodeKind.PROCESS, group=group, host="h", pid=1, **more)


def stream(endpoint: str = NOWHERE, **more: Any) -> StreamRecord:
    return StreamRecord(stage="raw", camera="door", node="eye", endpoint=endpoint, **more)


def captured(count: int, **more: Any) -> StatsRecord:
    return StatsRecord(
        node="eye", at_ns=1, cameras=(CameraCount(camera="door", boot=7, captured=count),), **more
    )


def test_who_has_only_announced_itself_and_is_refused_keeps_nobody_out(site: Site) -> None:
    other = GroupRecord(group="g", node="wrong", input="raw", stage="other")
    site.put(member("wrong", group=""), other)
    site.start()
    site.wait_listed("groups/g/me")
    assert site.me().group == "", "it is not known yet whether the other one stays"
    site.registry.delete(other.key)
    site.advance_until(lambda: site.me().group == "g")


def test_who_does_something_else_and_is_in_the_group_keeps_others_out(site: Site) -> None:
    site.put(member("first", group=""), GroupRecord(group="g", node="first", input="raw", stage="other"))
    site.start()
    site.wait_listed("groups/g/me")
    site.put(member("first"))
    site.advance_until(lambda: not site.thread.is_alive())
    assert "makes stage 'other' of 'raw' (node 'first')" in str(site.failure)


def test_others_that_do_not_take_over_leave_time_to_finish(
    site: Site, publisher: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    site.put(stream(publisher.endpoint))
    site.start(f"{__name__}:Gate")
    site.advance_until(lambda: publisher.is_taken_in("raw", "door"))
    publisher.publish(jpeg_frame())
    assert Gate.entered.wait(30)
    site.put(member("stuck", weight=1000.0))  # everything is placed on it, and it takes nothing
    site.wait_seen("stuck")
    began = site.clock.monotonic()
    site.node.finish()
    site.wait_draining()
    site.advance_until(lambda: site.clock.monotonic() > began + 6.0)
    # From here on slowly: a thread that is held up has ten seconds of real time for two of the clock's.
    site.clock.advance_until(lambda: "did not take over everything" in caplog.text, step=0.001)
    assert site.clock.monotonic() < began + 8.0
    Gate.opened.set()
    site.advance_until(lambda: not site.thread.is_alive())
    (last,) = (StatsRecord.of(entry) for entry in site.registry.list("stats/me/"))
    (count,) = last.groups
    assert (count.processed, count.results) == (1, 1)


def test_a_stream_that_its_node_publishes_and_that_does_not_come_is_told_of(
    site: Site, publisher: Publisher
) -> None:
    site.put(stream(), captured(10))
    site.start()
    site.wait_listed("groups/g/me")
    began = site.clock.monotonic()
    site.advance_until(lambda: site.clock.monotonic() > began + 2 * SILENT_S)
    assert site.me().state is NodeState.RUNNING, "nothing is published meanwhile"
    site.put(captured(100))
    site.advance_until(lambda: site.me().state is NodeState.DEGRADED)
    assert site.me().why == (
        f"nothing comes of camera 'door' from {NOWHERE}, though node 'eye' publishes it: "
        "can this host reach that address?"
    )
    site.put(stream(publisher.endpoint))
    site.advance_until(lambda: publisher.is_taken_in("raw", "door"))
    publisher.publish(jpeg_frame())
    site.advance_until(lambda: site.me().state is NodeState.RUNNING)
    assert site.me().why == ""


def test_silence_counts_in_proportion_to_what_is_published() -> None:
    with open_registry(f"memory:{secrets.token_hex(4)}") as registry:

        def look(count: int, now: float, partitions: int) -> str:
            stats = captured(count)
            registry.put(stats.key, stats.value())
            return found.look(["door/1"], lambda camera: [stream(partitions=partitions)], now)

        found = Unreached(registry)
        assert [look(count, now, 8) for count, now in ((0, 0.0), (15, 60.0))] == ["", ""], "a slow camera"
        assert look(16, 70.0, 8)
        assert look(16, 71.0, 8), "between two looks"
        assert found.look([], lambda camera: [], 72.0) == ""
        assert look(1000, 80.0, 8) == "", "it begins anew"
        assert look(3, 100.0, 8) == "", "so does who publishes it"


def test_what_is_made_of_partitions_tells_nothing() -> None:
    made = GroupCount(camera="door", boot=7, stage="raw", group="g", output="made", results=5)
    stats = [StatsRecord(node="eye", at_ns=1, groups=(made,)), captured(9)]
    of = stream().model_copy(update={"stage": "made"})
    assert published(stats, of) == 5
    assert published(stats, of.model_copy(update={"partitions": 2})) == 0
    assert published(stats, stream()) == 9
