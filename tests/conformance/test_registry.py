"""What every registry backend must do. Each test runs against all of them."""

import itertools
import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mesh.errors import Conflict, LeaseExpired, RegistryError, RegistryUnavailable
from mesh.registry import Delete, Entry, Event, Put, Registry, Synced, open_registry
from mesh.registry.server import RegistryServer
from mesh.registry.view import key_of
from mesh.scope import Scope
from tests.registry.helpers import exhaust, hold, take, take_snapshot, until
from tests.support.clock import ManualClock
from tests.support.etcd_server import Etcd, require_etcd

NAMES = itertools.count()


@dataclass
class Backend:
    """One store: `open` makes another client of it, `clock` times its leases; None: real time does.

    `ttl` is a lease's time, in seconds, that tests can wait for; where time is real a machine that is held up
    may let it pass at any moment.
    """

    open: Callable[[], Registry]
    clock: ManualClock | None
    ttl: float = 5.0

    def elapse(self, seconds: float) -> None:
        """Let time pass for the leases."""
        if self.clock is None:
            threading.Event().wait(seconds)
        else:
            self.clock.advance(seconds)

    def elapse_until(self, condition: Callable[[], object], what: str) -> None:
        """Let time pass until `condition` holds, which a lease's end must bring about."""
        if self.clock is None:
            until(condition, what)
        else:
            self.clock.advance_until(condition)


@pytest.fixture(scope="session")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    require_etcd()
    with Etcd(tmp_path_factory.mktemp("etcd")) as server:
        yield server


@pytest.fixture(params=["memory", "file", "tcp", "etcd"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    if request.param == "etcd":
        url = request.getfixturevalue("etcd").url
        yield Backend(lambda: open_registry(url, timeout=30), None, ttl=1.0)
        return
    clock = ManualClock()
    if request.param == "tcp":
        with RegistryServer(
            "tcp://127.0.0.1:*", state=tmp_path / "state", clock=clock, beat=0.1, stall=math.inf
        ) as server:
            yield Backend(lambda: open_registry(server.url, timeout=30), clock)
        return
    url = f"memory:conformance-{next(NAMES)}" if request.param == "memory" else f"file:{tmp_path}/mesh.toml"
    yield Backend(lambda: open_registry(url, clock=clock), clock)


@pytest.fixture
def registry(backend: Backend) -> Iterator[Registry]:
    with backend.open() as registry:
        yield registry


def test_put_get_list_delete(registry: Registry) -> None:
    assert registry.get("nodes/a") is None
    made = registry.put("nodes/a", {"n": 1})
    assert (made.key, made.value, made.lease) == ("nodes/a", {"n": 1}, 0)
    assert registry.get("nodes/a") == made
    other = registry.put("cameras/door", {})
    assert registry.list() == [other, made]
    assert registry.list("nodes/") == [made]
    assert registry.delete("nodes/a") is True
    assert registry.delete("nodes/a") is False
    assert registry.get("nodes/a") is None
    assert registry.list() == [other]


def test_it_says_whether_it_keeps_what_is_configured(registry: Registry) -> None:
    about = registry.about()
    assert about.keeps is not registry.url.startswith("memory:")
    assert all(folder.writable and folder.total_bytes for folder in about.folders)


def test_revisions_grow(registry: Registry) -> None:
    one = registry.put("nodes/a", {})
    two = registry.put("nodes/a", {})
    assert registry.delete("nodes/a")
    three = registry.put("nodes/b", {})
    assert one.revision < two.revision < three.revision - 1


def test_expect_makes_a_write_conditional(registry: Registry) -> None:
    made = registry.put("nodes/a", {"n": 1}, expect=0)
    with pytest.raises(Conflict, match="exists already"):
        registry.put("nodes/a", {"n": 2}, expect=0)
    changed = registry.put("nodes/a", {"n": 3}, expect=made.revision)
    with pytest.raises(Conflict, match="another writer was first"):
        registry.put("nodes/a", {"n": 4}, expect=made.revision)
    with pytest.raises(Conflict):
        registry.delete("nodes/a", expect=made.revision)
    assert registry.get("nodes/a") == changed
    assert registry.delete("nodes/a", expect=changed.revision)
    with pytest.raises(Conflict, match="is gone"):
        registry.put("nodes/a", {}, expect=changed.revision)
    with pytest.raises(Conflict, match="is gone"):
        registry.delete("nodes/a", expect=changed.revision)


VALUES = [
    {},
    {"text": "Tür 門 🚪", "quotes": "\"'\\\n\t\x00", "": "empty name"},
    {"dotted.name": {"a b": {"deep": [[1, [2, {"x": None}]], []]}}},
    {"large": 2**63 - 1, "small": -(2**63), "yes": True, "no": False, "nothing": None},
    {"floats": [0.1, 1.0, 1e300, -1e-300, 123456789.123456789]},
    {"maps": [{"a": 1}, {"b": {"c": None}}, {}]},
]


@pytest.mark.parametrize("value", VALUES)
def test_values_come_back_as_they_were(registry: Registry, value: dict[str, object]) -> None:
    registry.put("nodes/a", {"before": [1, 2], "text": 7})
    registry.put("nodes/a", value)
    lease = registry.grant(60)
    registry.put("nodes/b", value, lease=lease)
    for key in ("nodes/a", "nodes/b"):
        found = registry.get(key)
        assert found is not None
        assert repr(sorted(found.value.items())) == repr(sorted(value.items()))


def test_tuples_become_lists(registry: Registry) -> None:
    assert registry.put("nodes/a", {"t": (1, (2,))}).value == {"t": [1, [2]]}
    assert registry.list("nodes/")[0].value == {"t": [1, [2]]}


@pytest.mark.parametrize("key", ["", "a", "/a", "a/", "a//b", "a b/c", "a/\n", "a/" + "x" * 600])
def test_what_is_no_key_is_refused(registry: Registry, key: str) -> None:
    with pytest.raises(RegistryError, match="is not a registry key"):
        registry.put(key, {})
    assert registry.list() == []


@pytest.mark.parametrize(
    "member", [2**63, float("nan"), float("inf"), b"bytes", object(), "\ud800", "x" * 300_000]
)
def test_what_is_no_value_is_refused(registry: Registry, member: object) -> None:
    with pytest.raises(RegistryError, match="cannot be stored"):
        registry.put("nodes/a", {"list": [member]})
    assert registry.list() == []


def test_a_lease_ends(backend: Backend, registry: Registry) -> None:
    registry.put("cameras/door", {})
    lease = hold(registry, "nodes/a", ttl=backend.ttl)
    if backend.clock is not None:
        backend.clock.advance(backend.ttl - 0.1)
        assert registry.get("nodes/a") is not None
    backend.elapse_until(lambda: registry.get("nodes/a") is None, "the entry went with its lease")
    assert [entry.key for entry in registry.list()] == ["cameras/door"]
    with pytest.raises(LeaseExpired):
        registry.keep_alive(lease)
    with pytest.raises(LeaseExpired):
        registry.put("nodes/a", {}, lease=lease)
    registry.revoke(lease)  # gone already: no error


def test_a_renewed_lease_lives_on(backend: Backend, registry: Registry) -> None:
    ttl = 2 * backend.ttl

    def lives_on() -> bool:
        """Whether it does; where time is real not, either, when a renewal came too late."""
        renewed_at = time.monotonic()
        lease = hold(registry, "nodes/a", ttl=ttl)
        for _ in range(10):
            backend.elapse(0.2 * ttl)
            asked_at = time.monotonic()
            try:
                registry.keep_alive(lease)
            except LeaseExpired:
                assert backend.clock is None
                assert time.monotonic() - renewed_at > 0.9 * ttl, "it was renewed in time, and has ended"
                return False
            renewed_at = asked_at
        return registry.get("nodes/a") is not None

    until(lives_on, "a lease lives on")


def test_revoking_deletes_what_the_lease_holds(registry: Registry) -> None:
    lease, other = registry.grant(60), registry.grant(60)
    assert lease != other
    assert min(lease, other) > 0
    for number, held in enumerate((lease, other, lease)):
        registry.put(f"nodes/{number}", {}, lease=held)
    registry.put("nodes/2", {}, lease=other)  # moved to another lease
    registry.revoke(lease)
    assert [entry.key for entry in registry.list()] == ["nodes/1", "nodes/2"]


def test_a_lease_that_never_was(registry: Registry) -> None:
    with pytest.raises(LeaseExpired):
        registry.keep_alive(12345)
    with pytest.raises(LeaseExpired):
        registry.put("nodes/a", {}, lease=12345)
    with pytest.raises(RegistryError, match="not possible"):
        registry.grant(0)


def test_configuration_cannot_be_put_under_a_lease(registry: Registry) -> None:
    registry.put("cameras/door", {"source": "x"})
    with pytest.raises(Conflict, match="is configuration"):
        registry.put("cameras/door", {}, lease=registry.grant(60))
    registry.put("nodes/a", {}, lease=registry.grant(60))
    assert registry.put("nodes/a", {}).lease == 0


def test_a_watch_gives_what_stands_and_then_each_change(backend: Backend, registry: Registry) -> None:
    a, b = registry.put("nodes/a", {"n": 1}), registry.put("nodes/b", {})
    a = registry.put("nodes/a", {"n": 2})
    with registry.watch("nodes/") as watch:
        entries, revision = take_snapshot(watch)
        assert entries == [b, a]
        # Where other tests have used the store, leases of theirs may end now.
        assert revision == a.revision or (backend.clock is None and revision > a.revision)
        c = registry.put("nodes/c", {})
        assert take(watch) == Put(c)
        assert registry.delete("nodes/b")
        deleted = take(watch)
        assert isinstance(deleted, Delete)
        assert deleted.key == "nodes/b"
        assert deleted.revision > c.revision
        assert watch.get(0) is None


def test_a_watch_sees_its_prefix_only(registry: Registry) -> None:
    with registry.watch("nodes/a") as narrow, registry.watch("nodes/") as wide, registry.watch() as every:
        for watch in (narrow, wide, every):
            assert take_snapshot(watch)[0] == []
        written = [registry.put(key, {}) for key in ("stats/a", "nodes/b", "nodes2/a", "nodes/a1")]
        assert [take(every) for _ in written] == [Put(entry) for entry in written]
        assert [take(wide), take(wide)] == [Put(written[1]), Put(written[3])]
        assert take(narrow) == Put(written[3])


def test_a_watch_sees_leases_end(backend: Backend, registry: Registry) -> None:
    second = registry.grant(60)
    with registry.watch("nodes/") as watch:
        take_snapshot(watch)
        kept = registry.put("nodes/1", {}, lease=second)
        assert take(watch) == Put(kept)
        hold(registry, "nodes/0", "nodes/2", ttl=backend.ttl)
        backend.elapse(backend.ttl)  # nobody asks anything: the lease must end by itself
        events = [take(watch), take(watch)]
        while not all(isinstance(event, Delete) for event in events[-2:]):
            events.append(take(watch))
        keys = [key_of(event) for event in events[-4:] if not isinstance(event, Synced)]
        assert keys == ["nodes/0", "nodes/2"] * 2
        registry.revoke(second)
        assert isinstance(event := take(watch), Delete)
        assert event.key == "nodes/1"


def test_a_waiting_watch_sees_a_lease_that_was_granted_later(backend: Backend, registry: Registry) -> None:
    seen: list[Event] = []
    with backend.open() as other, Scope("test") as scope:
        watch = registry.watch("nodes/")
        scope.spawn("read", lambda: seen.extend(watch))
        hold(other, "nodes/a", ttl=backend.ttl)
        until(lambda: len(seen) >= 2, "snapshot and put")
        backend.elapse_until(lambda: len(seen) == 3, "the entry went with its lease")
        assert isinstance(seen[-1], Delete)
        watch.close()


def test_closing_ends_a_watch(registry: Registry) -> None:
    watch = registry.watch()
    take_snapshot(watch)
    events: list[Event] = []
    with Scope("test") as scope:
        scope.spawn("read", lambda: events.extend(watch))
        watch.close()
    assert watch.closed
    assert events == []
    assert watch.get() is None


def test_closing_the_registry_ends_its_watches(backend: Backend) -> None:
    registry = backend.open()
    watch = registry.watch()
    with Scope("test") as scope:
        scope.spawn("read", exhaust, watch)
        registry.close()
    assert watch.closed
    registry.close()
    with pytest.raises(RegistryUnavailable, match="closed"):
        registry.list()
    with pytest.raises(RegistryUnavailable, match="closed"):
        registry.watch()


def test_clients_see_each_others_writes(backend: Backend, registry: Registry) -> None:
    with backend.open() as other, other.watch("nodes/") as watch:
        take_snapshot(watch)
        made = registry.put("nodes/a", {"n": 1})
        assert other.get("nodes/a") == made
        assert take(watch) == Put(made)
        changed = other.put("nodes/a", {"n": 2}, expect=made.revision)
        assert registry.list() == [changed]
        lease = registry.grant(60)
        other.put("nodes/b", {}, lease=lease)
        registry.revoke(lease)
        assert other.list() == [changed]


def test_no_increment_is_lost(backend: Backend, registry: Registry) -> None:
    registry.put("nodes/count", {"n": 0}, lease=(lease := registry.grant(60)))

    def count() -> None:
        with backend.open() as client:
            done = 0
            while done < 25:
                entry = client.get("nodes/count")
                assert entry is not None
                try:
                    client.put("nodes/count", {"n": entry.value["n"] + 1}, lease=lease, expect=entry.revision)
                    done += 1
                except Conflict:
                    continue

    with Scope("test") as scope:
        for name in ("one", "two"):
            scope.spawn(name, count)
        scope.join()
    entry = registry.get("nodes/count")
    assert entry is not None
    assert entry.value == {"n": 50}


def test_a_watch_misses_nothing_under_concurrent_writers(backend: Backend, registry: Registry) -> None:
    lease = registry.grant(60)
    written: list[Entry] = []
    lock = threading.Lock()

    def write(name: str) -> None:
        with backend.open() as client:
            for number in range(40):
                # Some are configuration, which takes another way to the disk.
                key, held = f"nodes/{name}-{number % 5}", 0 if number % 5 == 0 else lease
                entry = client.put(key, {"n": number}, lease=held)
                with lock:
                    written.append(entry)

    with Scope("test") as scope:
        for name in ("one", "two", "three"):
            scope.spawn(name, write, name)
        until(lambda: len(written) > 10, "the writers have begun")
        with registry.watch("nodes/") as watch:
            snapshot, revision = take_snapshot(watch)
            scope.join()
            log = sorted(written, key=lambda entry: entry.revision)
            later = [Put(entry) for entry in log if entry.revision > revision]
            assert [take(watch) for _ in later] == later
            assert watch.get(0) is None
    before = {entry.key: entry for entry in log if entry.revision <= revision}
    assert snapshot == sorted(before.values(), key=lambda entry: entry.revision)


def test_many_changes_at_once_come_in_order(registry: Registry) -> None:
    lease = registry.grant(60)
    with registry.watch("nodes/") as watch:
        take_snapshot(watch)
        for number in range(20):
            registry.put(f"nodes/{number:02}", {}, lease=lease)
        registry.revoke(lease)
        events = [take(watch) for _ in range(40)]
    assert not any(isinstance(event, Synced) for event in events)
    puts = [event.entry.key for event in events[:20] if isinstance(event, Put)]
    deletes = [event.key for event in events[20:] if isinstance(event, Delete)]
    assert puts == deletes == [f"nodes/{number:02}" for number in range(20)]


def test_the_wall_clock(backend: Backend, registry: Registry) -> None:
    if backend.clock is None:  # etcd has none, and says so
        with pytest.raises(RegistryError, match="no clock"):
            registry.now_ns()
        return
    assert registry.now_ns() == backend.clock.wall_ns()
    backend.clock.set_wall_ns(1_700_000_000_000_000_000)
    assert registry.now_ns() == 1_700_000_000_000_000_000
