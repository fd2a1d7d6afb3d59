"""The registry that is away, slow, forgetful, half reached, or holds what it should not."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.clock import SYSTEM_CLOCK
from mesh.doctor import Level
from mesh.doctor.registry import SLOW_S, Seen, judge
from mesh.doctor.site import Site
from mesh.ports import free_port
from mesh.registry import open_registry
from mesh.registry.records import StatsRecord
from mesh.registry.server import RegistryServer
from tests.doctor.support import BRIEF_S, examined, levels, node, of, write
from tests.registry.proxy import Proxy
from tests.support.slow_proxy import SlowProxy
from tests.support.waiting import PATIENCE_S

SITE_CHECKS = ("nodes", "reach", "clocks", "keys", "cameras", "ledger", "forward")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RegistryServer]:
    with RegistryServer("tcp://127.0.0.1:*", state=tmp_path / "state", version="1.0") as server:
        yield server


def test_a_registry_that_is_away_fails_and_hides_nothing_of_this_machine(tmp_path: Path) -> None:
    url = f"tcp://127.0.0.1:{free_port()}"
    findings = examined(url, timeout=BRIEF_S, folders=[("spool", tmp_path)])
    away = of(findings, "registry", url)
    assert (away.level, away.found.partition(" (")[0]) == (Level.FAILED, "no registry answers there")
    assert f"mesh registry --bind {url} --state DIR" in away.do
    assert {of(findings, check, "site").found for check in SITE_CHECKS} == {"not checked: no registry"}
    assert levels(findings, "permissions") == {Level.OK}
    assert levels(findings, "versions") == {Level.OK}


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("tcp://nowhere.invalid:7700", "the name nowhere.invalid is not known here"),
        ("tcp://127.0.0.1", "'tcp://127.0.0.1' is not an address: write tcp://HOST:PORT"),
        ("file:/nowhere/mesh.toml", "the directory /nowhere of the registry file does not exist"),
    ],
)
def test_an_address_that_is_none_fails_in_a_line(url: str, why: str) -> None:
    away = of(examined(url), "registry", url)
    assert away.level is Level.FAILED
    assert away.found.startswith(why)


def test_a_file_that_cannot_be_read_fails_in_a_line(tmp_path: Path) -> None:
    path = tmp_path / "mesh.toml"
    path.write_text("no toml at all")
    away = of(examined(f"file:{path}"), "registry", f"file:{path}")
    assert away.level is Level.FAILED
    assert str(path) in away.found


def test_one_that_keeps_its_configuration_is_well_and_says_where(
    server: RegistryServer, tmp_path: Path
) -> None:
    findings = examined(server.url)
    assert levels(findings, "registry", but=server.url) == {Level.OK}  # which says how fast it is
    assert str(tmp_path / "state") in of(findings, "registry", "configuration").found
    assert of(findings, "disk", f"registry: {tmp_path}/state")


def test_one_that_keeps_nothing_is_warned_of() -> None:
    with RegistryServer("tcp://127.0.0.1:*") as server:
        warned = of(examined(server.url), "registry", "configuration")
    assert warned.level is Level.WARNING
    assert "--state DIR" in warned.do


def test_one_that_is_too_old_to_say_is_noted() -> None:
    (noted,) = (f for f in judge(Seen("tcp://a:1"), Site(), {}, "here") if f.subject == "configuration")
    assert noted.level is Level.NOTE


def test_one_that_is_slow_is_warned_of(server: RegistryServer) -> None:
    port = int(server.url.rpartition(":")[2])
    with SlowProxy(port, 10**8, lambda piece: threading.Event().wait(1.2 * SLOW_S)) as proxy:
        slow = of(examined(proxy.url), "registry", proxy.url)
    assert slow.level is Level.WARNING
    assert slow.found.endswith("that is slow")


def test_a_second_port_that_is_not_reached_has_failed(server: RegistryServer) -> None:
    with Proxy(server.url) as proxy:
        assert levels(examined(proxy.url), "registry", but=proxy.url) == {Level.OK}
        proxy.close_changes()
        findings = examined(proxy.url)
    cut = of(findings, "registry", f"127.0.0.1:{proxy.port + 1}")
    assert cut.level is Level.FAILED
    assert "nobody listens there" in cut.found
    assert f"open port {proxy.port + 1}" in cut.do


def test_malformed_entries_are_named(server: RegistryServer) -> None:
    with open_registry(server.url, timeout=PATIENCE_S) as registry:
        lease = registry.grant(60)
        registry.put("nodes/odd", {"id": "odd"}, lease=lease)
        registry.put("config/cameras/door", {"url": "rtsp://u:secret@192.0.2.1/", "fps": "many"})
        registry.put("other/program", {"its": "own"})
        findings = examined(server.url)
    odd, door = of(findings, "registry", "nodes/odd"), of(findings, "registry", "config/cameras/door")
    assert (odd.level, door.level) == (Level.WARNING, Level.WARNING)
    assert "'nodes/odd' is malformed: kind" in odd.found
    assert "mesh camera remove door" in door.do
    assert "secret" not in str(findings)


def test_a_node_that_went_without_a_word_is_warned_of_unless_it_runs_again(server: RegistryServer) -> None:
    now_ns = SYSTEM_CLOCK.wall_ns()
    with open_registry(server.url, timeout=PATIENCE_S) as registry:
        left = StatsRecord(node="left", run=1, at_ns=now_ns, final=True)
        write(registry, left, *(StatsRecord(node=name, run=1, at_ns=now_ns) for name in ("died", "again")))
        write(registry, node("again", started_ns=2))
        findings = examined(server.url)
    assert {f.subject for f in findings if f.check == "nodes" and f.level is Level.WARNING} == {"died"}
    assert "without a goodbye" in of(findings, "nodes", "died").found


def test_each_member_of_a_cluster_that_is_away_is_warned_of() -> None:
    seen = Seen("etcd://192.0.2.1:2379,192.0.2.2:2379")
    ports = {"192.0.2.1:2379": "", "192.0.2.2:2379": "nothing answers there"}
    (warned,) = (f for f in judge(seen, Site(), ports, "here") if f.subject == "192.0.2.2:2379")
    assert warned.level is Level.WARNING
