"""Addresses that are not reached, and nodes that do not answer, each as records in a real registry."""

import contextlib
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import zmq

from mesh.clock import SYSTEM_CLOCK
from mesh.control import LIMITS, ControlServer
from mesh.doctor import Finding, Level
from mesh.doctor.knock import knock
from mesh.doctor.reach import Reached, judge, reach
from mesh.errors import MeshError
from mesh.place import local_endpoints, this_place
from mesh.registry import Registry, open_registry
from mesh.registry.records import NodeKind, NodeState
from mesh.registry.server import RegistryServer
from mesh.scope import Scope
from mesh.transport.sockets import bind, open_socket
from tests.doctor.support import PATIENT_S, examined, levels, node, of, write
from tests.support.waiting import PATIENCE_S, wait_for

ELSEWHERE = "another-boot/1"
SYN_SENT = "02"  # in /proc/net/tcp
NEVER_S = 0.5  # for what never answers


@pytest.fixture
def registry() -> Iterator[Registry]:
    with (
        RegistryServer("tcp://127.0.0.1:*") as server,
        open_registry(server.url, timeout=PATIENCE_S) as registry,
    ):
        yield registry


@pytest.fixture
def listening() -> Iterator[str]:
    """Somebody who takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield address_of(server)


@contextlib.contextmanager
def silent() -> Iterator[socket.socket]:
    """A listener that lets whoever connects wait, as a firewall does that drops: its queue is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, socket.socket() as waiting:
        waiting.connect(server.getsockname())
        yield server


def address_of(server: socket.socket) -> str:
    return f"tcp://127.0.0.1:{server.getsockname()[1]}"


def connecting(endpoints: Sequence[str]) -> int:
    """How many connections to these have been asked for, and not been answered."""
    ports = {f"{urlsplit(endpoint).port:04X}" for endpoint in endpoints}
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(1 for row in rows if row[2].rpartition(":")[2] in ports and row[3] == SYN_SENT)


def reach_of(registry: Registry, name: str) -> Finding:
    return of(examined(registry.url), "reach", name)


def test_without_nodes_it_says_how_to_start_one(registry: Registry) -> None:
    noted = reach_of(registry, "nodes")
    assert (noted.level, noted.found) == (Level.NOTE, "no node runs")


def test_a_node_that_answers_is_well_also_one_that_refuses_and_a_script_is_not_asked(
    registry: Registry, listening: str
) -> None:
    def refuse(arguments: object) -> object:
        raise MeshError("not now")

    server = ControlServer({"status": lambda arguments: {"state": "running"}}, ("tcp://127.0.0.1:*",))
    local = ControlServer({"status": refuse}, ("tcp://127.0.0.1:*", *local_endpoints()))
    with Scope("control") as scope:
        for one in (server, local):
            one.run_in(scope)
        endpoints = dict(zip(("control", "control_local"), local.endpoints, strict=False))
        write(registry, node("capture", endpoints={"control": server.endpoints[0], "pub": listening}))
        write(registry, node("older", endpoints=endpoints))
        write(registry, node("script", kind=NodeKind.PUBLISH, endpoints={"pub": listening}))
        findings = examined(registry.url)
    for one in (server, local):
        one.close()
    assert levels(findings, "reach") == {Level.OK}
    here = socket.gethostname()
    told = of(findings, "reach", "capture").found
    assert told.startswith(f"control, pub at 127.0.0.1 reached from {here}, answers in ")
    assert of(findings, "reach", "script").found == f"pub at 127.0.0.1 reached from {here}"


def test_who_hangs_and_who_is_silent_are_told_apart(listening: str) -> None:
    with silent() as far:
        stuck = {"control": listening, "pub": listening}
        nodes = [
            node("stuck", host="edge2", pid=99, endpoints=stuck),
            node("far", endpoints={"control": address_of(far), "pub": address_of(far)}),
        ]
        found = reach(nodes, {"127.0.0.1": "127.0.0.1"}, this_place(), NEVER_S, SYSTEM_CLOCK)
        findings = list(judge(found, "here"))
        port = urlsplit(address_of(far)).port
    hangs, away = (of(findings, "reach", name) for name in ("stuck", "far"))
    assert hangs.level is Level.FAILED
    assert hangs.found.startswith("pid 99 on edge2 takes connections from ")
    assert hangs.found.endswith("but does not answer: it hangs")
    assert hangs.do == "on edge2: kill -9 99, and start the node again"
    assert away.level is Level.FAILED
    assert away.found.endswith("nothing answers there")
    assert f"nc -vz 127.0.0.1 {port}" in away.do


def test_who_ended_while_it_was_looked_at_is_in_no_trouble(registry: Registry) -> None:
    with open_socket(zmq.ROUTER, hwm=4, limits=LIMITS) as socket, Scope("leaver") as scope:
        leaver = node("leaver", endpoints={"control": bind(socket, "tcp://127.0.0.1:*")})
        write(registry, leaver)

        def leave() -> None:
            if socket.poll(int(PATIENT_S * 1000)):
                peer, _ = socket.recv_multipart()
                write(registry, leaver.model_copy(update={"state": NodeState.ENDED}))
                socket.send_multipart([peer, b"no answer"])

        scope.spawn("leave", leave)
        left = reach_of(registry, "leaver")
    assert (left.level, left.found) == (Level.NOTE, "it ended or started anew meanwhile")


def test_an_address_at_which_nobody_listens_has_failed(registry: Registry) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        check_unreached(registry, address_of(reserved), "nobody listens there", "firewall")


@pytest.mark.parametrize(
    ("endpoint", "told", "do"),
    [
        ("tcp://127.0.0.1:5000", "which nobody else reaches", "--bind ADDRESS --insecure"),
        ("tcp://localhost:5000", "which nobody else reaches", "--bind ADDRESS --insecure"),
        ("tcp://nowhere.invalid:5000", "a name that is not known on", "--advertise ADDRESS"),
        ("nonsense", "which is no address", "find the program"),
        ("tcp://[::1", "which is no address", "find the program"),
    ],
    ids=["loopback", "localhost", "a name that is not known", "nonsense", "half an address"],
)
def test_an_address_that_cannot_be_reached_has_failed(
    registry: Registry, endpoint: str, told: str, do: str
) -> None:
    check_unreached(registry, endpoint, told, do, place=ELSEWHERE)


def check_unreached(registry: Registry, endpoint: str, told: str, do: str, **more: str) -> None:
    write(registry, node("lost", endpoints={"control": endpoint, "pub": endpoint}, **more))
    found = reach_of(registry, "lost")
    assert found.level is Level.FAILED
    assert f"{endpoint} (control), {endpoint} (pub)" in found.found
    assert told in found.found
    assert do in found.do


def test_many_silent_addresses_are_waited_for_together() -> None:
    with Scope("knock") as scope, contextlib.ExitStack() as stack:
        endpoints = [address_of(stack.enter_context(silent())) for _ in range(5)]
        found: list[dict[str, str]] = []
        scope.spawn("knock", lambda: found.append(knock(endpoints, 60.0, SYSTEM_CLOCK)))
        wait_for(lambda: connecting(endpoints) == len(endpoints), "all of them are being tried")
        stack.close()  # which the kernel says to whoever tries again
        scope.join()
    assert found == [dict.fromkeys(endpoints, "nobody listens there")]


def test_nodes_that_only_their_own_machine_reaches_are_told_where_there_are_others() -> None:
    here = Reached(node("here", endpoints={"pub": "tcp://127.0.0.1:5000"}), {"pub": ""})
    far = Reached(node("far", place=ELSEWHERE, endpoints={"pub": "tcp://192.0.2.7:5000"}), {"pub": ""})
    (warned,) = (f for f in judge([here, far], "edge1") if f.subject == "other machines")
    assert warned.level is Level.WARNING
    assert "do not reach here:" in warned.found
    assert {f.level for f in judge([here], "edge1")} == {Level.OK}
