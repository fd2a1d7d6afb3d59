"""The control socket: asked and answered over real sockets, whatever else comes in."""

import random
from collections.abc import Iterator, Mapping
from typing import Any

import msgpack
import pytest
import zmq

from mesh.control import LIMITS, ControlRefused, ControlServer, ask, await_retired
from mesh.errors import MeshError, TransportError
from mesh.orders import running_node
from mesh.place import local_endpoints, this_place
from mesh.registry import open_registry
from mesh.registry.records import NodeKind, NodeRecord, NodeState, StatsRecord
from mesh.scope import Scope
from mesh.transport.sockets import bind, open_socket
from mesh.wire import MAX_HEADER, Reply, Request, decode_reply, encode_request
from tests.support.waiting import wait_for

ANSWER_S = 30


def add(arguments: Mapping[str, Any]) -> int:
    return sum(arguments.values())


def refuse(arguments: Mapping[str, Any]) -> None:
    raise ControlRefused("it is not in the mood")


def endless(arguments: Mapping[str, Any]) -> bytes:
    return bytes(MAX_HEADER)


def node_at(endpoint: str, local: str = "") -> NodeRecord:
    endpoints = {"control": endpoint} | ({"control_local": local} if local else {})
    return NodeRecord(
        id="node", kind=NodeKind.PROCESS, host="here", pid=1, endpoints=endpoints, place=this_place()
    )


@pytest.fixture
def server() -> Iterator[ControlServer]:
    operations = {"add": add, "refuse": refuse, "endless": endless}
    server = ControlServer(operations, ("tcp://127.0.0.1:*", *local_endpoints()))
    with Scope("test") as scope:
        server.run_in(scope)
        yield server
    server.close()


@pytest.fixture
def node(server: ControlServer) -> NodeRecord:
    return node_at(*server.endpoints)


@pytest.mark.parametrize("here", ["elsewhere", this_place()], ids=["tcp", "local"])
def test_what_is_asked_is_answered(node: NodeRecord, here: str) -> None:
    assert ask(node, "add", {"one": 1, "two": 2}, here=here, timeout=ANSWER_S) == 3
    assert ask(node, "add", here=here, timeout=ANSWER_S) == 0


def test_what_is_refused_says_why(node: NodeRecord, server: ControlServer) -> None:
    with pytest.raises(ControlRefused, match=r"^node 'node' refuses to refuse: it is not in the mood$"):
        ask(node, "refuse", here="", timeout=ANSWER_S)
    with pytest.raises(ControlRefused, match="has no operation 'fly': it has add, endless, refuse"):
        ask(node, "fly", here="", timeout=ANSWER_S)
    with pytest.raises(ControlRefused, match="over the limit"):
        ask(node, "endless", here="", timeout=ANSWER_S)
    assert server.stats() == {"control_refused": 3}


def test_a_node_without_a_control_socket_cannot_be_asked() -> None:
    with pytest.raises(ControlRefused, match=r"'node' \(process\) has no control socket"):
        ask(node_at(""), "add", here="", timeout=ANSWER_S)


def test_a_node_that_hangs_is_not_waited_for_for_ever() -> None:
    with open_socket(zmq.ROUTER, hwm=4, limits=LIMITS) as silent:
        endpoint = bind(silent, "tcp://127.0.0.1:*")
        with pytest.raises(TransportError, match=r"did not answer within 0\.1 s"):
            ask(node_at(endpoint), "add", here="", timeout=0.1)


def test_what_became_of_a_node_that_cannot_be_asked() -> None:
    with open_registry("memory:control") as registry:
        with pytest.raises(MeshError, match="no node named 'node': there is none"):
            running_node(registry, "node")
        stats = StatsRecord(node="node", at_ns=1)
        registry.put(stats.key, stats.value())
        with pytest.raises(MeshError, match="'node' is not heard of any more"):
            running_node(registry, "node")
        node = node_at("tcp://x")
        registry.put(node.key, node.value())
        assert running_node(registry, "node") == node
        with pytest.raises(MeshError, match="no node named 'other': there are node"):
            running_node(registry, "other")
        ended = node.model_copy(update={"state": NodeState.ENDED})
        registry.put(node.key, ended.value())
        with pytest.raises(MeshError, match="'node' has ended"):
            running_node(registry, "node")


def test_a_node_has_retired_when_it_says_so_or_runs_anew() -> None:
    node = node_at("tcp://x")
    with open_registry("memory:retired") as registry:
        assert not await_retired(registry, node, 0.05)
        registry.put(node.key, node.model_copy(update={"state": NodeState.DRAINING}).value())
        assert not await_retired(registry, node, 0.05)
        for became in ({"state": NodeState.ENDED}, {"started_ns": 2}):
            registry.put(node.key, node.model_copy(update=became).value())
            assert await_retired(registry, node, ANSWER_S)


def junk() -> list[list[bytes]]:
    draw = random.Random(5)
    whole = encode_request(Request(7, "add", {"one": 1}))
    return [
        [b""],
        [b"", whole],
        [whole, whole],
        [b"x"] * 50,
        [b"\xc1"],
        [b"\xdd\xff\xff\xff\xff"],
        [b"\x91" * 5000],
        [msgpack.packb([2, 7, "add", {}])],
        [msgpack.packb([1, -1, "add", {}])],
        [msgpack.packb([1, 2**63, "add", {}])],
        [msgpack.packb([1, 7, "Add!", {}])],
        [msgpack.packb([1, 7, "add", []])],
        [msgpack.packb([1, 7, "add", {b"one": 1}])],
        [msgpack.packb([1, 7, "add", {"one": float("nan")}])],
        [msgpack.packb([1, 7, "add", {"one": msgpack.ExtType(4, b"x")}])],
        [msgpack.packb([1, 7, "add", {}, 0])],
        *([whole[:cut]] for cut in range(len(whole))),
        *([draw.randbytes(draw.randrange(1, 200))] for _ in range(200)),
    ]


def test_garbage_is_counted_and_answering_goes_on(server: ControlServer, node: NodeRecord) -> None:
    messages = junk()
    with open_socket(zmq.DEALER, hwm=1000) as socket:
        socket.connect(server.endpoints[0])
        for parts in messages:
            socket.send_multipart(parts)
        wait_for(lambda: server.stats().get("control_errors") == len(messages), "all of it is counted")
        socket.send(encode_request(Request(8, "add", {"one": 1})))
        assert socket.poll(ANSWER_S * 1000)
        assert decode_reply([socket.recv()]) == Reply(8, True, 1)
        socket.send(bytes(2 * MAX_HEADER))  # over the limit: cut off, and nobody else with it
        assert ask(node, "add", {"two": 2}, here="", timeout=ANSWER_S) == 2
    assert server.stats() == {"control_errors": len(messages), "control_answered": 2}
