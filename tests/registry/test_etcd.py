"""The registry in etcd, beyond what every backend does: lost replies, broken streams, bad input."""

import os
import shutil
import socket
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import ConfigError, LeaseExpired, MeshError, RegistryUnavailable, WireError
from mesh.registry import Delete, Put, Registry, Synced, open_registry
from mesh.registry.etcd import EtcdRegistry
from mesh.registry.etcd_address import parse_address
from mesh.registry.etcd_json import PAGE, read_found, read_news, read_number, read_outcome, read_page
from tests.registry.helpers import take, take_snapshot, until
from tests.registry.proxy import Proxy
from tests.support.etcd_server import Etcd, require_etcd
from tests.support.processes import ROOT, Processes
from tests.support.waiting import wait_for


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    require_etcd()
    with Etcd(tmp_path_factory.mktemp("etcd")) as server:
        yield server


@pytest.fixture
def url(etcd: Etcd) -> str:
    return etcd.url


@pytest.fixture
def registry(url: str) -> Iterator[Registry]:
    with open_registry(url, timeout=30) as registry:
        yield registry


def through(proxy_port: int, url: str) -> str:
    """The same mesh, by way of a proxy."""
    return f"etcd://127.0.0.1:{proxy_port}/{url.rpartition('/')[2]}"


def packed(text: str) -> str:
    return b64encode(text.encode()).decode()


def test_an_address_names_the_members_and_a_place_among_them() -> None:
    address = parse_address("etcd://a.example:2379,[fd00::2]:2380/site/east/")
    assert address.members == (("a.example", 2379), ("fd00::2", 2380))
    assert address.prefix == "site/east/"
    assert str(address) == "a.example:2379, [fd00::2]:2380"
    assert parse_address("etcd://10.0.0.1:2379").prefix == "mesh/"


@pytest.mark.parametrize(
    "rest", ["", "host", "host:", "host:0", "host:65536", "a:1,", "a:1,b", "u:p@a:1", "fd00::2:1", "a:1/x//y"]
)
def test_what_is_no_address_is_refused(rest: str) -> None:
    with pytest.raises(ConfigError, match=r"write etcd://HOST:PORT\[,HOST:PORT…\]\[/PREFIX\]"):
        parse_address(f"etcd://{rest}")


KV = {"key": packed("m/nodes/a"), "mod_revision": "7", "value": packed('{"write": "w", "value": {}}')}


@pytest.mark.parametrize(
    "message",
    [
        None,
        [],
        {},
        {"result": []},
        {"result": {"header": {"revision": 7}}},
        {"result": {"header": {"revision": "7"}, "events": {}}},
        {"result": {"header": {"revision": "7"}, "events": [None]}},
        {"result": {"header": {"revision": "7"}, "events": [{"kv": {**KV, "mod_revision": "-1"}}]}},
        {"result": {"header": {"revision": "7"}, "events": [{"kv": {**KV, "key": "%"}}]}},
        {"result": {"header": {"revision": "7"}, "events": [{"kv": {**KV, "value": 5}}]}},
        {"result": {"header": {"revision": "7"}, "events": [{"kv": {**KV, "lease": "9" * 99}}]}},
    ],
)
def test_a_message_that_is_off_is_refused(message: Any) -> None:
    with pytest.raises(WireError):
        read_news(message, "m/")


@pytest.mark.parametrize("reply", [None, [], "x", {"kvs": 1}, {"kvs": [{}]}, {"header": {"revision": None}}])
def test_a_reply_that_is_off_is_refused(reply: Any) -> None:
    for read in (read_outcome, read_page):
        with pytest.raises(WireError):
            read(reply, "m/")
    if not isinstance(reply, dict) or "kvs" in reply:
        with pytest.raises(WireError):
            read_found(reply, "m/")
    if not isinstance(reply, dict):
        with pytest.raises(WireError):
            read_number(reply, "TTL")


@given(st.lists(st.integers(0, 40), max_size=8))
def test_messages_are_whole_however_they_come_in(cuts: list[int]) -> None:
    members = pytest.importorskip("mesh.registry.etcd_members", reason="no client of etcd here")
    data = b'{"a": 1}\n\n{"bb": [2]}\n{}\n{"last": null'
    ends = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    lines = members.Lines()
    came = [line for start, end in pairwise(ends) for line in lines.feed(data[start:end])]
    assert came == [b'{"a": 1}', b'{"bb": [2]}', b"{}"]
    assert lines.feed(b"}\n") == [b'{"last": null}']


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        ('{"error": "etcdserver: x", "message": "etcdserver: x", "code": 5}', "Refused('etcd refuses: x')"),
        ('{"code": 5, "message": "etcdserver: x", "details": []}', "Refused('etcd refuses: x')"),  # of 3.6
        ('{"code": 14, "message": "etcdserver: no leader"}', "Away('etcdserver: no leader')"),
        ('{"code": 8, "message": "x"}', "RegistryUnavailable('etcd takes no more for now: x')"),
        ("404 page not found", "Away('it cannot be reached, or is no etcd')"),
        ("[]", "Away('it cannot be reached, or is no etcd')"),
        (None, "Away('it cannot be reached, or is no etcd')"),
    ],
)
def test_what_a_member_means_by_an_error(told: str | None, meant: str) -> None:
    exceptions = pytest.importorskip("etcd3gw.exceptions", reason="no client of etcd here")
    members = pytest.importorskip("mesh.registry.etcd_members", reason="no client of etcd here")
    assert repr(members.translated(exceptions.Etcd3Exception(told))) == meant


def test_a_write_whose_reply_is_lost_is_done_once(etcd: Etcd, url: str, registry: Registry) -> None:
    with (
        Proxy(f"tcp://127.0.0.1:{etcd.members[0].port}") as proxy,
        open_registry(through(proxy.port, url), timeout=30) as client,
        registry.watch() as watch,
    ):
        take_snapshot(watch)
        proxy.swallow_reply()
        lease = client.grant(60)
        client.keep_alive(lease)
        proxy.swallow_reply()
        made = client.put("nodes/a", {"n": 1}, lease=lease, expect=0)
        proxy.swallow_reply()
        changed = client.put("nodes/a", {"n": 2}, lease=lease)
        proxy.swallow_reply()
        assert client.get("nodes/a") == changed
        assert [take(watch), take(watch)] == [Put(made), Put(changed)]
        assert changed.revision == made.revision + 1


@pytest.mark.parametrize("expects", [False, True])
def test_a_deletion_whose_reply_is_lost_has_deleted(
    etcd: Etcd, url: str, registry: Registry, expects: bool
) -> None:
    with (
        Proxy(f"tcp://127.0.0.1:{etcd.members[0].port}") as proxy,
        open_registry(through(proxy.port, url), timeout=30) as client,
        registry.watch() as watch,
    ):
        take_snapshot(watch)
        made = registry.put("nodes/a", {})
        assert take(watch) == Put(made)
        assert client.get("nodes/a") == made
        proxy.swallow_after(1)  # the read before it passes
        assert client.delete("nodes/a", expect=made.revision if expects else None) is True
        assert isinstance(take(watch), Delete)
        assert watch.get(0) is None


def test_a_stream_that_breaks_goes_on_where_it_was(etcd: Etcd, url: str, registry: Registry) -> None:
    # The second port of this proxy leads to etcd: the one that can be cut.
    with (
        Proxy(f"tcp://127.0.0.1:{etcd.members[0].port - 1}") as proxy,
        open_registry(through(proxy.port + 1, url), timeout=30) as client,
        client.watch("nodes/") as watch,
    ):
        take_snapshot(watch)
        proxy.cut_changes()
        large = {"x": "y" * 200_000}  # so that etcd cuts what was missed into several messages
        written = [registry.put(f"nodes/{n % 5}", {"n": n, **large}) for n in range(20)]
        assert registry.delete("nodes/0")
        proxy.mend()
        assert [take(watch) for _ in written] == [Put(entry) for entry in written]
        deleted = take(watch)
        assert isinstance(deleted, Delete)
        assert deleted.key == "nodes/0"
        assert take_no_more(watch, registry)


def take_no_more(watch: Any, registry: Registry) -> bool:
    """Whether the next event is that of the next write."""
    last = registry.put("nodes/last", {})
    return bool(take(watch) == Put(last))


def test_what_was_compacted_meanwhile_is_made_up_for(etcd: Etcd, url: str, registry: Registry) -> None:
    with (
        Proxy(f"tcp://127.0.0.1:{etcd.members[0].port - 1}") as proxy,
        open_registry(through(proxy.port + 1, url), timeout=30) as client,
    ):
        kept, gone = registry.put("nodes/kept", {}), registry.put("nodes/gone", {})
        with client.watch("nodes/") as watch:
            assert take_snapshot(watch)[0] == [kept, gone]
            proxy.cut_changes()
            registry.put("nodes/new", {"n": 1})
            new = registry.put("nodes/new", {"n": 2})
            assert registry.delete("nodes/gone")
            etcd.compact()
            proxy.mend()
            assert take(watch) == Put(new)
            deleted = take(watch)
            assert isinstance(deleted, Delete)
            assert deleted.key == "nodes/gone"
            assert isinstance(take(watch), Synced)
            assert take_no_more(watch, registry)


def test_a_store_that_began_anew_is_noticed(tmp_path: Path) -> None:
    require_etcd()
    with Etcd(tmp_path) as etcd, open_registry(etcd.url, timeout=30) as registry:
        entries = [registry.put(f"nodes/{n}", {}, lease=n and registry.grant(60)) for n in range(3)]
        with registry.watch("nodes/") as watch:
            assert take_snapshot(watch)[0] == entries
            (member,) = etcd.members
            member.kill()
            shutil.rmtree(tmp_path / member.name)
            etcd.start(member)
            gone = [take(watch) for _ in entries]
            known = {event.key: event.known for event in gone if isinstance(event, Delete)}
            assert known == {"nodes/0": True, "nodes/1": False, "nodes/2": False}
            assert isinstance(take(watch), Synced)
            assert take_no_more(watch, registry)


def test_what_somebody_else_keeps_there_is_passed_over(etcd: Etcd, url: str, registry: Registry) -> None:
    root = url.rpartition("/")[2]
    made = registry.put("nodes/a", {})
    with registry.watch() as watch:
        take_snapshot(watch)
        for key, value in (
            ("nodes/b", "not JSON"),
            ("nodes/c", '{"write": "w", "value": {"n": NaN}}'),
            ("nodes/d", '{"value": {}}'),
            ("no key", '{"write": "w", "value": {}}'),
        ):
            etcd.members[0].call("kv/put", key=packed(f"{root}/{key}"), value=packed(value))
        assert registry.list() == [made]
        assert registry.get("nodes/b") is None
        taken_over = registry.put("nodes/b", {})
        assert take(watch) == Put(taken_over)


def test_meshes_in_one_cluster_do_not_see_one_another(etcd: Etcd, registry: Registry) -> None:
    made = registry.put("nodes/a", {})
    with open_registry(etcd.url, timeout=30) as other, other.watch() as watch:
        assert take_snapshot(watch)[0] == []
        assert other.list() == []
        assert other.put("nodes/a", {}, expect=0).revision > made.revision


def test_a_listing_of_several_pages(registry: Registry) -> None:
    lease = registry.grant(60)
    made = [registry.put(f"nodes/{n:04}", {}, lease=lease) for n in range(PAGE + 10)]
    assert registry.list("nodes/") == made
    with registry.watch("nodes/") as watch:
        assert take_snapshot(watch)[0] == made
        registry.revoke(lease)
        gone = [take(watch) for _ in made]
        assert [event.key for event in gone if isinstance(event, Delete)] == [entry.key for entry in made]


def test_a_lease_lasts_no_shorter_than_was_asked_for(etcd: Etcd, registry: Registry) -> None:
    def granted(asked: float) -> str | None:
        """None where it was over before etcd could be asked for it."""
        told = etcd.members[0].call("lease/timetolive", ID=str(registry.grant(asked)))
        return told.get("grantedTTL")

    for asked, seconds in ((0.2, "1"), (1.5, "2"), (5, "5")):
        assert wait_for(partial(granted, asked), "a lease that is looked at in time") == seconds


def test_a_member_that_hangs_ends_no_lease(etcd: Etcd, url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hangs:  # it is connected to, and never answers
        members = f"127.0.0.1:{hangs.getsockname()[1]},{url.removeprefix('etcd://')}"
        with EtcdRegistry(f"etcd://{members}", timeout=40) as registry:

            def is_kept_alive() -> bool:
                """Not, either, where this machine was held up for as long as the lease lasts."""
                lease = registry.grant(5)
                while not registry._members.current.endswith(f":{hangs.getsockname()[1]}"):
                    registry._members.turn()
                with suppress(LeaseExpired):
                    registry.keep_alive(lease)
                    return True
                return False

            until(is_kept_alive, "a lease is renewed past a member that hangs")


def test_a_cluster_without_room_is_for_now_unavailable_and_leases_live_on(tmp_path: Path) -> None:
    require_etcd()
    small = ("--quota-backend-bytes", "200000")
    with Etcd(tmp_path, options=small) as etcd, open_registry(etcd.url, timeout=30) as registry:
        lease = registry.grant(60)
        with pytest.raises(RegistryUnavailable, match="takes no more for now: mvcc: database space exceeded"):
            fill(registry, lease)
        registry.keep_alive(lease)
        assert registry.delete("nodes/a") is True


def test_a_watch_waits_for_a_cluster_that_is_away(tmp_path: Path) -> None:
    require_etcd()
    with (
        Etcd(tmp_path) as etcd,
        open_registry(url := etcd.url, timeout=0.5) as impatient,
        open_registry(url, timeout=30) as registry,
    ):
        (member,) = etcd.members
        member.kill()
        watch = registry.watch("nodes/")
        with pytest.raises(
            RegistryUnavailable, match=r"no etcd answers at 127\.0\.0\.1:\d+ \(.*\): start it, "
        ):
            impatient.put("nodes/a", {})
        etcd.start(member)
        assert take_snapshot(watch)[0] == []
        until(lambda: written(registry), "etcd takes writes again")
        assert isinstance(take(watch), Put)


def fill(registry: Registry, lease: int) -> None:
    for _ in range(1000):
        registry.put("nodes/a", {"x": "y" * 5000}, lease=lease)


def written(registry: Registry) -> bool:
    try:
        return bool(registry.put("nodes/a", {}))
    except MeshError:
        return False


def test_the_package_that_is_missing_is_named() -> None:
    code = (
        "import sys; sys.modules['etcd3gw'] = None\n"  # as Python knows a package that is not there
        "from mesh.registry import open_registry\nopen_registry('etcd://127.0.0.1:2379')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.stderr.splitlines()[-1].endswith("needs the package etcd3gw: pip install 'framemesh[etcd]'")


def test_the_command_says_what_is_wrong_in_one_line(tmp_path: Path) -> None:
    require_etcd()
    with Processes(tmp_path) as processes:
        wrong = processes.run("ls", "--registry", "etcd://localhost")
        assert (wrong.code, len(wrong.err.splitlines())) == (2, 1)
        assert "write etcd://HOST:PORT" in wrong.err
