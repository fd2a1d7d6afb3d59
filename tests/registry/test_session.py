"""How a node stands in the registry: claims, leases, a registry that goes and comes back, last words."""

import itertools
import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from mesh.errors import Conflict, RegistryUnavailable
from mesh.ports import free_port
from mesh.registry import Delete, Entry, Put, Registry, Session, Taken, Value, open_registry
from mesh.registry.holder import Here, Verdict, judge
from mesh.registry.remote import RemoteRegistry
from mesh.registry.server import RegistryServer
from mesh.scope import Scope
from tests.registry.helpers import take, take_snapshot, until
from tests.support.clock import ManualClock
from tests.support.waiting import PATIENCE_S, WITHIN_S

NAMES = itertools.count()
TTL = 6.0
LONG = 86_400.0  # longer than a test's own clock goes while a thread of it is held up
IMPATIENT_S = 0.2


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def registry(clock: ManualClock) -> Iterator[Registry]:
    with open_registry(f"memory:session-{next(NAMES)}", clock=clock) as registry:
        yield registry


def value_of(registry: Registry, key: str) -> object:
    entry = registry.get(key)
    return None if entry is None else entry.value


def test_entries_live_as_long_as_the_session(registry: Registry, clock: ManualClock) -> None:
    with Session(registry, ttl=TTL, clock=clock) as session:
        session.claim("nodes/a", {"n": 1})
        session.announce("streams/raw/door/a", {"n": 2})
        session.update("stats/a", {"n": 3})
        until(lambda: value_of(registry, "stats/a") == {"n": 3}, "the update is written")
        lease = {entry.lease for entry in registry.list()}
        assert len(registry.list()) == 3
        assert len(lease) == 1
        assert 0 not in lease
        session.withdraw("streams/raw/door/a")
        until(lambda: registry.get("streams/raw/door/a") is None, "it is removed")
        assert session.connected
    assert registry.list() == []


def test_taking_tells_the_holder_and_does_not_wait_for_it(registry: Registry, clock: ManualClock) -> None:
    with (
        Session(registry, ttl=TTL, clock=clock) as first,
        Session(registry, ttl=TTL, clock=clock) as second,
    ):
        assert first.take("cameras/door", {"node": "a"}) is None
        holder = second.take("cameras/door", {"node": "b"})
        assert holder is not None
        assert holder.value == {"node": "a"}
        assert first.take("cameras/door", {"node": "a", "n": 2}) is None  # its own
        first.withdraw("cameras/door")
        until(lambda: second.take("cameras/door", {"node": "b"}) is None, "it is free")
        assert value_of(registry, "cameras/door") == {"node": "b"}


def test_whoever_takes_while_the_registry_is_away_asks_it_once() -> None:
    remote = open_registry(f"tcp://127.0.0.1:{free_port()}", timeout=IMPATIENT_S)
    with remote, Session(remote, ttl=TTL) as session:
        with pytest.raises(RegistryUnavailable):
            session.take("cameras/door", {"node": "a"})
        with pytest.raises(RegistryUnavailable, match="is away"):
            session.take("cameras/door", {"node": "a"})


def test_the_lease_is_renewed(registry: Registry, clock: ManualClock) -> None:
    with Session(registry, ttl=TTL, clock=clock) as session, registry.watch() as watch:
        take_snapshot(watch)
        session.claim("nodes/a", {})
        assert isinstance(take(watch), Put)
        for number in range(20):
            clock.advance(TTL / 3)
            # Written by the thread that renews, in the same turn: so the turn has come.
            session.update("stats/a", {"n": number})
            wanted = {"n": number}
            until(
                partial(lambda value: value_of(registry, "stats/a") == value, wanted), "a turn of the thread"
            )
        assert registry.get("nodes/a") is not None


def test_a_renewal_that_comes_late_is_in_time_where_nobody_has_noticed(
    registry: Registry, clock: ManualClock
) -> None:
    """As after a process that is its own registry was suspended."""
    lease = registry.grant(TTL)
    registry.put("nodes/a", {}, lease=lease)
    clock.advance(2 * TTL)
    registry.keep_alive(lease)
    assert registry.get("nodes/a") is not None


def test_only_the_latest_value_is_written(registry: Registry, clock: ManualClock) -> None:
    with Session(registry, ttl=TTL, clock=clock) as session:
        for number in range(1000):
            session.update("stats/a", {"n": number})
        until(lambda: value_of(registry, "stats/a") == {"n": 999}, "the latest")
        entry = registry.get("stats/a")
        assert entry is not None
        session.announce("stats/a", {"n": -1})
        assert value_of(registry, "stats/a") == {"n": -1}


def test_a_key_that_is_held_is_not_taken(registry: Registry, clock: ManualClock) -> None:
    holder = {"id": "one", "host": "far", "pid": 7}
    with Session(registry, ttl=TTL, clock=clock) as one, Session(registry, ttl=TTL, clock=clock) as two:
        one.claim("nodes/a", holder)
        one.claim("nodes/a", holder)  # its own: no matter
        with pytest.raises(Taken, match=r"nodes/a is already taken by one on far \(process 7\)") as caught:
            two.claim("nodes/a", {}, patience=0)
        assert caught.value.holder == holder
        assert isinstance(caught.value, Conflict)
        assert value_of(registry, "nodes/a") == holder


def test_a_claim_waits_for_a_holder_that_died(registry: Registry, clock: ManualClock) -> None:
    registry.put("nodes/a", {"id": "dead"}, lease=registry.grant(TTL))
    claimed = threading.Event()

    def claim(session: Session) -> None:
        session.claim("nodes/a", {"id": "new"})
        claimed.set()

    with Session(registry, ttl=TTL, clock=clock) as session, Scope("test") as scope:
        scope.spawn("claim", claim, session)
        clock.advance_until(claimed.is_set)
        until(lambda: value_of(registry, "nodes/a") == {"id": "new"}, "it stands")


def test_a_claim_that_was_held_up_until_its_patience_was_over_is_tried_once_more(
    registry: Registry, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.put("nodes/a", {"id": "dead"}, lease=registry.grant(TTL))
    with Session(registry, ttl=TTL, clock=clock) as session:
        take = session._take

        def held_up(key: str, value: Value) -> Entry | None:
            holder = take(key, value)
            clock.advance(100 * TTL)
            return holder

        monkeypatch.setattr(session, "_take", held_up)
        session.claim("nodes/a", {"id": "new"})
        until(lambda: value_of(registry, "nodes/a") == {"id": "new"}, "it is claimed")


def test_a_claims_patience_ends(registry: Registry, clock: ManualClock) -> None:
    registry.put("nodes/a", {"id": "other"}, lease=registry.grant(LONG))
    refused = threading.Event()

    def claim(session: Session) -> None:
        with pytest.raises(Taken):
            session.claim("nodes/a", {"id": "new"})
        refused.set()

    with Session(registry, ttl=TTL, clock=clock) as session, Scope("test") as scope:
        start = clock.monotonic()
        scope.spawn("claim", claim, session)
        clock.advance_until(refused.is_set)
        assert clock.monotonic() - start >= 1.5 * TTL


def test_a_record_that_ended_is_taken_over(registry: Registry, clock: ManualClock) -> None:
    with Session(registry, ttl=TTL, clock=clock) as session:
        session.claim("cameras/door", {"state": "online", "node": "one"})
        session.announce("stats/one", {"n": 1})
        session.leave(
            {"cameras/door": {"state": "ended", "node": "one"}, "stats/one": {"n": 2}}, keep_for=600
        )
    assert value_of(registry, "stats/one") == {"n": 2}
    clock.advance(500)
    with Session(registry, ttl=TTL, clock=clock) as session:
        session.claim("cameras/door", {"state": "online", "node": "two"}, patience=0)
        clock.advance(101)
        until(lambda: registry.get("stats/one") is None, "the last words have ended")
        session.announce("cameras/door", {"state": "online", "node": "two"})
        assert value_of(registry, "cameras/door") == {"state": "online", "node": "two"}


def test_a_living_process_of_this_host_is_not_waited_for(registry: Registry, clock: ManualClock) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        value = {"host": socket.gethostname(), "pid": other.pid}
        registry.put("nodes/a", value, lease=registry.grant(1000))
        with Session(registry, ttl=TTL, clock=clock) as session, pytest.raises(Taken):
            session.claim("nodes/a", {})  # the clock stands still: waiting would never end
        other.communicate(b"\n")


@pytest.mark.parametrize(
    ("holder", "verdict"),
    [
        ({"state": "ended", "host": "here", "pid": 2}, Verdict.TAKE),
        ({"state": "failed"}, Verdict.TAKE),
        ({"state": "running", "host": "here", "pid": 2}, Verdict.REFUSE),
        ({"state": "running", "host": "here", "pid": 3}, Verdict.WAIT),  # dead
        ({"state": "running", "host": "here", "pid": 1}, Verdict.WAIT),  # this process itself
        ({"state": "running", "host": "far", "pid": 2}, Verdict.WAIT),
        ({"host": "here", "pid": "2"}, Verdict.WAIT),
        ({}, Verdict.WAIT),
    ],
)
def test_judging_a_holder(holder: dict[str, object], verdict: Verdict) -> None:
    assert judge(holder, Here("here", 1, lambda pid: pid == 2)) is verdict


def test_a_lost_lease_has_everything_announced_again(registry: Registry, clock: ManualClock) -> None:
    with Session(registry, ttl=TTL, clock=clock) as session, registry.watch("nodes/") as watch:
        take_snapshot(watch)
        session.claim("nodes/a", {"n": 1})
        session.announce("streams/raw/door/a", {})
        entry = registry.get("nodes/a")
        assert entry is not None
        registry.revoke(entry.lease)
        events = [take(watch)]
        while not isinstance(events[-1], Delete):
            events.append(take(watch))
        clock.advance_until(lambda: registry.get("nodes/a"))
        again = take(watch)
        assert isinstance(again, Put)
        assert again.entry.value == {"n": 1}
        assert again.entry.lease not in (0, entry.lease)
        until(lambda: registry.get("streams/raw/door/a"), "the stream is announced again")


def test_a_claimed_key_that_somebody_took_is_lost(
    registry: Registry, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    lost: list[str] = []
    told = threading.Event()

    def on_lost(key: str) -> None:
        lost.append(key)
        told.set()

    with Session(registry, ttl=TTL, clock=clock, on_lost=on_lost) as session:
        session.claim("nodes/a", {"id": "mine"})
        entry = registry.get("nodes/a")
        assert entry is not None
        registry.revoke(entry.lease)
        theirs = registry.put("nodes/a", {"id": "theirs"}, lease=registry.grant(LONG), expect=0)
        clock.advance_until(told.is_set)
        session.update("nodes/a", {"id": "mine again"})
        session.announce("stats/a", {})  # a whole turn
        session.leave({"nodes/a": {"id": "mine", "state": "ended"}})
    assert lost == ["nodes/a"]
    assert registry.get("nodes/a") == theirs
    assert "nodes/a was lost: it is now held by theirs" in caplog.text


def test_configuration_in_the_way_is_said_and_does_not_stop_the_rest(
    registry: Registry, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    registry.put("cameras/door", {})
    with Session(registry, ttl=TTL, clock=clock) as session:
        session.announce("cameras/door", {"n": 1})
        session.announce("nodes/a", {})
        assert registry.get("nodes/a") is not None
        with pytest.raises(Taken):
            session.claim("cameras/door", {}, patience=0)
    assert caplog.text.count("is configuration") == 1


def test_the_registry_goes_and_comes_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    url = f"tcp://127.0.0.1:{free_port()}"
    registry = RemoteRegistry(url, timeout=PATIENCE_S)
    session = Session(registry, ttl=WITHIN_S)  # no machine holds it up for so long
    with RegistryServer(url, state=tmp_path, beat=0.1):
        session.__enter__()
        session.claim("nodes/a", {"host": socket.gethostname(), "pid": os.getpid()})
        session.announce("streams/raw/door/a", {"n": 1})
        registry._timeout = IMPATIENT_S  # for as long as nobody answers
    # Leaving must not hang, though nobody answers then.
    with registry, session:
        session.update("streams/raw/door/a", {"n": 2})
        until(lambda: not session.connected, "the session notices")
        with pytest.raises(RegistryUnavailable):
            session.claim("nodes/b", {})
        session.announce("streams/raw/yard/a", {"n": 2})  # no error: it is written later
        session.update("streams/raw/door/a", {"n": 3})
        registry._timeout = PATIENCE_S
        with RegistryServer(url, state=tmp_path, beat=0.1), open_registry(url, timeout=30) as other:
            wanted = ["nodes/a", "streams/raw/door/a", "streams/raw/yard/a"]
            until(lambda: [entry.key for entry in other.list()] == wanted, "all is announced again")
            assert value_of(other, "streams/raw/door/a") == {"n": 3}
            until(lambda: session.connected, "the session notices")
            registry._timeout = IMPATIENT_S
        session.update("streams/raw/door/a", {"n": 4})
        until(lambda: not session.connected, "the session notices again")
    texts = [record.message for record in caplog.records if record.name == "mesh.registry.session"]
    assert [text.split(":")[0] for text in texts] == [
        "going on without the registry",
        "the registry at tcp",
        "going on without the registry",
        "left without a word to the registry",
    ]


def test_nothing_is_written_over_whoever_took_the_sessions_name(
    registry: Registry, clock: ManualClock
) -> None:
    told = threading.Event()
    with Session(registry, ttl=TTL, clock=clock, on_lost=lambda key: told.set()) as session:
        session.announce("streams/raw/door/a", {"n": 1})  # before the claim: and yet written after it
        session.claim("nodes/a", {"id": "mine"})
        entry = registry.get("nodes/a")
        assert entry is not None
        lease = registry.grant(LONG)
        registry.revoke(entry.lease)
        for key in ("nodes/a", "streams/raw/door/a", "stats/a"):
            registry.put(key, {"id": "theirs"}, lease=lease)
        theirs = registry.list()
        clock.advance_until(told.is_set)
        session.announce("streams/raw/yard/a", {"n": 2})
        session.withdraw("streams/raw/door/a")
        session.leave({"stats/a": {"n": 3}})
    assert registry.list() == theirs
