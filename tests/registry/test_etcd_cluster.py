"""A cluster of three etcd members, the leader of which is killed: a session, its watchers, and a mesh."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mesh.client import Subscription
from mesh.errors import MeshError
from mesh.registry import Delete, Event, Put, Registry, Session, Synced, open_registry
from mesh.scope import Scope
from tests.e2e.site import SMALL, Site
from tests.registry.helpers import take_snapshot, until
from tests.support.etcd_server import Etcd, Member, require_etcd
from tests.support.waiting import PATIENCE_S

KEY = "counters/a"
FRAMES = 20
RUNNING = {("capture", "running"), ("collect", "running")}


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    require_etcd()
    with Etcd(tmp_path_factory.mktemp("etcd"), members=3) as cluster:
        yield cluster


class Counter:
    """Counts up in a registry, each number over the one before it, whatever becomes of the replies."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.said = 0

    def run(self, stopping: threading.Event) -> None:
        while not stopping.is_set():
            try:
                self._say_next()
            except MeshError:
                continue

    def _say_next(self) -> None:
        found = self._registry.get(KEY)
        n = int(found.value["n"]) + 1 if found else 1
        self._registry.put(KEY, {"n": n}, expect=found.revision if found else 0)
        self.said = n


def kill_leader(etcd: Etcd) -> Member:
    """Kill the leader; it, once there is another one."""
    killed = etcd.leader()
    killed.kill()
    until(lambda: etcd.leader() is not killed, "another member leads")
    return killed


def test_a_leader_that_is_killed_costs_no_entry_and_no_event(etcd: Etcd) -> None:
    url = etcd.url
    events: list[Event] = []
    with (
        open_registry(url, timeout=PATIENCE_S) as here,
        open_registry(url, timeout=PATIENCE_S) as there,
        open_registry(url, timeout=PATIENCE_S) as elsewhere,
        Session(here, ttl=2.0) as session,
        Scope("reader") as reader,
        there.watch() as watch,
    ):
        take_snapshot(watch)
        reader.spawn("read", lambda: events.extend(watch))
        session.announce("nodes/a", {"state": "running"})
        counter = Counter(elsewhere)
        with Scope("writer") as writer:
            writer.spawn("count", counter.run, writer.stopping)
            wait_counted(counter)
            killed = kill_leader(etcd)
            wait_counted(counter)
            session.update("nodes/a", {"state": "draining"})
            until(lambda: state(there) == "draining", "the node is heard of")
            etcd.start(killed)
            until(killed.status, "the member is back")
            wait_counted(counter)
        last = there.get(KEY)
        assert last is not None
        until(lambda: Put(last) in events, "the watch has seen the last number")
        watch.close()
    assert numbers(events) == list(range(1, last.value["n"] + 1))
    revisions = [event.entry.revision for event in events if isinstance(event, Put)]
    assert revisions == sorted(set(revisions))
    assert not [event for event in events if isinstance(event, Synced)]
    # Where this machine held up the session for longer than its lease, it came back.
    assert {event.key for event in events if isinstance(event, Delete)} <= {"nodes/a"}


def test_frames_flow_on_while_the_leader_is_killed(etcd: Etcd, tmp_path: Path) -> None:
    with Site(tmp_path, url=etcd.url) as site:
        site.capture(f"door={SMALL}")
        site.wait_camera("door")
        with site.mesh.subscribe("raw", "door", policy="fifo", depth=10_000) as frames:
            last = follow(frames, None)
            killed = kill_leader(etcd)
            last = follow(frames, last)
            site.collect("--input", "raw")  # a node that comes now finds its way
            site.wait_recorded("door", "raw", FRAMES)
            etcd.start(killed)
            follow(frames, last)
            (count,) = frames.counts()
            assert count.lost == 0
        # A node that this machine held up for longer than its lease is announced again.
        until(lambda: states(site.ls()) == (RUNNING, [("door", "online")]), "all are listed")


def states(listed: dict[str, list[dict[str, Any]]]) -> tuple[set[Any], list[Any]]:
    """The state of each node, and of each camera."""
    nodes = {(node["id"], node["state"]) for node in listed["nodes"]}
    return nodes, [(camera["name"], camera["state"]) for camera in listed["cameras"]]


def wait_counted(counter: Counter) -> None:
    """Wait until many more numbers were written."""
    goal = counter.said + 20
    until(lambda: counter.said > goal, "numbers are written")


def follow(subscription: Subscription, last: int | None) -> int:
    """Take some frames after seq `last`, without a gap; the last one's seq."""
    for _ in range(FRAMES):
        frame = subscription.get(30)
        assert frame is not None
        assert last is None or frame.seq == last + 1
        last = frame.seq
    assert last is not None
    return last


def numbers(events: list[Event]) -> list[int]:
    puts = [event.entry for event in events if isinstance(event, Put)]
    return [int(entry.value["n"]) for entry in puts if entry.key == KEY]


def state(registry: Registry) -> object:
    try:
        entry = registry.get("nodes/a")
    except MeshError:
        return None
    return entry.value["state"] if entry else None
