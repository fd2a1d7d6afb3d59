"""The client of the server: lost replies, lost changes, a server that goes and comes back."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.errors import ConfigError, LeaseExpired, RegistryUnavailable
from mesh.ports import free_port
from mesh.registry import Delete, Entry, Event, Put, Synced, open_registry
from mesh.registry.remote_watch import PENDING, Listing, RemoteWatch
from mesh.registry.server import RegistryServer
from mesh.registry.wire import Beat, Published
from mesh.scope import Scope
from tests.registry.helpers import exhaust, take, take_snapshot
from tests.registry.proxy import Proxy


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RegistryServer]:
    with RegistryServer("tcp://127.0.0.1:*", state=tmp_path / "state", beat=0.1) as server:
        yield server


def test_a_put_whose_reply_was_lost_does_not_conflict_with_itself(server: RegistryServer) -> None:
    with Proxy(server.url) as proxy, open_registry(proxy.url, timeout=30) as registry:
        entry = registry.put("nodes/a", {"n": 0}, expect=0)
        number = 0
        while server.stats()["repeated"] == 0:  # a heartbeat may be lost in the reply's place
            number += 1
            proxy.swallow_reply()
            entry = registry.put("nodes/a", {"n": number}, expect=entry.revision)
        assert registry.get("nodes/a") == entry


def test_changes_that_were_lost_are_found_by_the_beat(server: RegistryServer) -> None:
    with (
        Proxy(server.url) as proxy,
        open_registry(server.url, timeout=30) as writer,
        open_registry(proxy.url, timeout=30) as registry,
        registry.watch("nodes/") as watch,
    ):
        take_snapshot(watch)
        seen = Put(writer.put("nodes/a", {}))
        while (
            take(watch) != seen
        ):  # the subscription may come after the snapshot, with a difference of its own
            continue
        proxy.cut_changes()
        writer.delete("nodes/a")
        last = writer.put("nodes/c", {})
        proxy.mend()
        events: list[Event] = []
        while not (events and isinstance(events[-1], Synced) and Put(last) in events):
            events.append(take(watch))
        deleted = [event for event in events if isinstance(event, Delete)]
        assert [event.key for event in deleted] == ["nodes/a"]
        assert events.index(Put(last)) < events.index(deleted[0])


def test_a_watch_goes_on_where_it_was_when_the_server_returns(tmp_path: Path) -> None:
    url = f"tcp://127.0.0.1:{free_port()}"
    with RegistryServer(url, state=tmp_path, beat=0.1):
        registry = open_registry(url, timeout=30)
        kept = registry.put("cameras/door", {"n": 1})
        lease = registry.grant(60)
        live = registry.put("nodes/a", {}, lease=lease)
        watch = registry.watch()
        assert take_snapshot(watch)[0] == [kept, live]
    with registry, RegistryServer(url, state=tmp_path, beat=0.1):
        deleted = take(watch)
        assert isinstance(deleted, Delete)
        assert deleted.key == "nodes/a"
        assert deleted.revision > live.revision
        assert isinstance(take(watch), Synced)
        with pytest.raises(LeaseExpired):
            registry.keep_alive(lease)
        changed = registry.put("cameras/door", {"n": 2}, expect=kept.revision)
        assert take(watch) == Put(changed)


def test_nobody_answers() -> None:
    url = f"tcp://127.0.0.1:{free_port()}"
    with open_registry(url, timeout=0.1) as registry, pytest.raises(RegistryUnavailable) as caught:
        registry.list()
    assert str(caught.value) == (
        f'no registry answers at {url}: start one with "mesh registry --bind {url} --state DIR", '
        "or set MESH_REGISTRY or --registry"
    )


def test_a_watch_waits_for_a_server_that_is_not_there_yet() -> None:
    url = f"tcp://127.0.0.1:{free_port()}"
    with open_registry(url, timeout=30) as registry, registry.watch() as watch:
        assert watch.get(0.01) is None
        with RegistryServer(url, beat=0.1):
            assert isinstance(take(watch), Synced)


def test_closing_wakes_a_call_that_waits() -> None:
    registry = open_registry(f"tcp://127.0.0.1:{free_port()}", timeout=600)
    failed = threading.Event()

    def call() -> None:
        with pytest.raises(RegistryUnavailable):
            registry.list()
        failed.set()

    with Scope("test") as scope:
        watch = registry.watch()
        scope.spawn("call", call)
        scope.spawn("read", exhaust, watch)
        registry.close()
        assert failed.wait(30)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "memory",
        "file:",
        "tcp:",
        "tcp:host:1",
        "tcp://",
        "tcp://host",
        "tcp://host:0",
        "tcp://host:70000",
        "tcp://h:*",
        "http://h:1",
    ],
)
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(ConfigError, match="HOST:PORT"):
        open_registry(url)


def entry(name: str, revision: int) -> Entry:
    return Entry(f"nodes/{name}", {}, revision)


def change(name: str, before: int, revision: int, epoch: int = 1) -> Published:
    return Published(epoch, before, Put(entry(name, revision)))


@pytest.fixture
def watch() -> RemoteWatch:
    """A watch at revision 10."""
    watch = RemoteWatch("nodes/", lambda: None)
    watch.resync(Listing(1, 10, [entry("a", 3)]))
    assert take_snapshot(watch) == ([entry("a", 3)], 10)
    return watch


def test_a_chain_is_followed(watch: RemoteWatch) -> None:
    watch.take(change("old", 3, 9))  # the snapshot has it
    watch.take(change("b", 9, 12))
    watch.take(change("c", 12, 15))
    watch.take(change("c", 12, 15))  # twice is once
    watch.take(Beat(1, {"nodes/": 15, "stats/": 99}))
    assert [take(watch), take(watch)] == [Put(entry("b", 12)), Put(entry("c", 15))]
    assert watch.get(0) is None
    assert not watch.wants_snapshot


@pytest.mark.parametrize(
    "message",
    [change("c", 12, 15), Beat(1, {"nodes/": 11}), change("c", 10, 11, epoch=2), Beat(2, {})],
    ids=["gap", "lost tail", "new server", "new server's beat"],
)
def test_a_broken_chain_is_noticed(watch: RemoteWatch, message: Published | Beat) -> None:
    watch.take(message)
    assert watch.wants_snapshot
    watch.take(change("d", 15, 16))  # not to be given before the difference
    assert watch.get(0) is None
    watch.resync(Listing(2, 20, [entry("c", 15), entry("d", 16)]))
    events = [take(watch) for _ in range(4)]
    assert events == [Put(entry("c", 15)), Put(entry("d", 16)), Delete("nodes/a", 20), Synced(20)]


def test_a_server_that_has_started_anew_has_forgotten_what_was_leased() -> None:
    watch = RemoteWatch("nodes/", lambda: None)
    held, kept = Entry("nodes/held", {}, 3, lease=7), entry("kept", 4)
    watch.resync(Listing(1, 10, [held, kept]))
    assert take_snapshot(watch) == ([held, kept], 10)
    watch.take(Beat(2, {}))
    watch.resync(Listing(2, 20, []))
    gone = [Delete("nodes/held", 20, known=False), Delete("nodes/kept", 20)]
    assert [take(watch) for _ in range(3)] == [*gone, Synced(20)]


def test_what_ended_while_changes_were_missed_is_known_to_be_gone(watch: RemoteWatch) -> None:
    held = Entry("nodes/held", {}, 11, lease=7)
    watch.take(Published(1, 3, Put(held)))
    assert take(watch) == Put(held)
    watch.take(Beat(1, {"nodes/": 12}))
    watch.resync(Listing(1, 12, [entry("a", 3)]))
    assert [take(watch), take(watch)] == [Delete("nodes/held", 12), Synced(12)]


def test_a_reader_that_falls_behind_loses_nothing(watch: RemoteWatch) -> None:
    for number in range(PENDING + 5):
        watch.take(change("b", 10 + number, 11 + number))
    assert not watch.wants_snapshot  # not before what is pending was taken
    for number in range(PENDING):
        assert take(watch) == Put(entry("b", 11 + number))
    assert watch.wants_snapshot
    watch.resync(Listing(1, PENDING + 15, [entry("a", 3), entry("b", PENDING + 15)]))
    assert [take(watch), take(watch)] == [Put(entry("b", PENDING + 15)), Synced(PENDING + 15)]
