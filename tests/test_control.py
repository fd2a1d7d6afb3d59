"""The control socket: asked and answered over real sockets, whatever else comes in."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgpack
import pytest
import zmq

from mesh.control import (
    LIMITS,
    MOST_OWED,
    Answer,
    ControlRefused,
    ControlServer,
    Later,
    Operation,
    ask,
    await_retired,
    fetch,
)
from mesh.errors import MeshError, TransportError, WireError
from mesh.later import when_all
from mesh.orders import running_node
from mesh.place import local_endpoints, this_place
from mesh.registry import open_registry
from mesh.registry.records import NodeKind, NodeRecord, NodeState, StatsRecord
from mesh.scope import Scope
from mesh.transport.sockets import SyncSocket, bind, open_socket
from mesh.wire import MAX_HEADER, Limits, Reply, Request, decode_reply, encode_request
from tests.support.clock import ManualClock
from tests.support.waiting import wait_for

ANSWER_S = 30


def add(arguments: Mapping[str, Any]) -> int:
    return sum(arguments.values())


def refuse(arguments: Mapping[str, Any]) -> None:
    raise ControlRefused("it is not in the mood")


def picture(arguments: Mapping[str, Any]) -> Answer:
    return Answer({"width": 2}, b"\xff\xd8" * arguments["pairs"])


class Slow:
    """An operation whose answers are the test's to give."""

    def __init__(self) -> None:
        self.owed: list[Later] = []

    def __call__(self, arguments: Mapping[str, Any]) -> Later:
        self.owed.append(Later())
        return self.owed[-1]


def endless(arguments: Mapping[str, Any]) -> bytes:
    return bytes(MAX_HEADER)


def node_at(endpoint: str, local: str = "") -> NodeRecord:
    endpoints = {"control": endpoint} | ({"control_local": local} if local else {})
    return NodeRecord(
        id="node", kind=NodeKind.PROCESS, host="here", pid=1, endpoints=endpoints, place=this_place()
    )


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
def server(slow: Slow) -> Iterator[ControlServer]:
    operations: dict[str, Operation] = {
        "add": add,
        "refuse": refuse,
        "endless": endless,
        "picture": picture,
        "slow": slow,
    }
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
    with pytest.raises(
        ControlRefused, match="has no operation 'fly': it has add, endless, picture, refuse, slow"
    ):
        ask(node, "fly", here="", timeout=ANSWER_S)
    with pytest.raises(ControlRefused, match="over the limit"):
        ask(node, "endless", here="", timeout=ANSWER_S)
    assert server.stats() == {"control_refused": 3}


def test_an_answer_may_bring_bytes(node: NodeRecord, server: ControlServer) -> None:
    answer = fetch(node, "picture", {"pairs": 3}, here="", timeout=ANSWER_S)
    assert (answer.value, bytes(answer.payload)) == ({"width": 2}, b"\xff\xd8" * 3)
    with pytest.raises(ControlRefused, match="payload of 33554434 bytes, over the limit of 33554432"):
        fetch(node, "picture", {"pairs": (1 << 24) + 1}, here="", timeout=ANSWER_S)
    with pytest.raises(
        WireError, match="'node' answered what is no answer: payload of 6 bytes, over the lim"
    ):
        ask(node, "picture", {"pairs": 3}, here="", timeout=ANSWER_S)  # which expects none


def test_what_takes_long_is_answered_later_and_holds_up_nobody(
    node: NodeRecord, server: ControlServer, slow: Slow
) -> None:
    with asking(server) as socket:
        for number in range(4):
            socket.send(encode_request(Request(number, "slow", {})))
        socket.send(encode_request(Request(9, "add", {"one": 1})))
        assert replied(socket) == Reply(9, True, 1)
        slow.owed[2].give("third", b"abc")
        assert replied(socket) == Reply(2, True, "third", b"abc")
        assert not slow.owed[2].give("again")  # the first answer counts
        slow.owed[0].refuse("not today")
        assert replied(socket) == Reply(0, False, "not today")
        slow.owed[1].give(bytes(MAX_HEADER))
        assert "over the limit" in replied(socket).value
        assert ask(node, "add", {"two": 2}, here="", timeout=ANSWER_S) == 2
    assert server.stats() == {"control_answered": 3, "control_refused": 2}


def test_so_many_answers_are_owed_and_no_more(server: ControlServer, slow: Slow) -> None:
    with asking(server) as socket:
        for number in range(MOST_OWED + 1):
            socket.send(encode_request(Request(number, "slow", {})))
        assert replied(socket) == Reply(
            MOST_OWED, False, f"{MOST_OWED} others wait for an answer already: ask again later"
        )
        for later in slow.owed:
            later.give(None)
        assert {replied(socket).id for _ in range(MOST_OWED)} == set(range(MOST_OWED))


def test_what_is_owed_for_too_long_is_refused_and_so_is_the_rest_at_the_end(slow: Slow) -> None:
    clock = ManualClock()
    server = ControlServer({"slow": slow, "add": add}, clock=clock)
    with Scope("test") as scope, asking(server) as socket:
        server.run_in(scope)
        socket.send(encode_request(Request(1, "slow", {})))
        socket.send(encode_request(Request(0, "add", {})))
        assert replied(socket).id == 0, "then it is known since when the other one is owed"
        clock.advance(61)
        socket.send(encode_request(Request(2, "add", {})))  # has it look
        assert sorted(reply.id for reply in (replied(socket), replied(socket))) == [1, 2]
        assert slow.owed[0].is_over
        socket.send(encode_request(Request(3, "slow", {})))
        wait_for(lambda: len(slow.owed) == 2, "it was asked")
        scope.stop()
        assert replied(socket) == Reply(3, False, "it is stopping")
    server.close()


def test_several_answers_are_one_when_all_are_there() -> None:
    parts = [Later(), Later()]
    whole = when_all(parts, lambda: "all")
    parts[1].give(None)
    assert not whole.is_over
    parts[0].give(None)
    assert whole.result().value == "all"
    parts = [Later(), Later()]
    whole = when_all(parts, lambda: "all")
    parts[0].refuse("this one not")
    parts[1].give(None)
    with pytest.raises(ControlRefused, match="this one not"):
        whole.result()
    assert when_all([], lambda: 0).result().value == 0


GARBAGE: list[tuple[list[bytes], str]] = [
    ([b""], "header is not msgpack"),
    ([b"\xc1"], "header is not msgpack"),
    ([msgpack.packb([2, 7, True, None])], "wire version 2"),
    ([msgpack.packb([1, 7, False, None])], "does not say why"),
    ([b"a", b"b", b"c"], "a reply of 3 parts"),
    ([msgpack.packb([1, 7, True, None]), bytes(100)], "payload of 100 bytes, over the limit of 99"),
]


@pytest.mark.parametrize(("parts", "why"), GARBAGE)
def test_garbage_for_an_answer_is_one_line(parts: list[bytes], why: str) -> None:
    with (
        pytest.raises(WireError, match=f"^node 'node' answered what is no answer: .*{why}"),
        liar(parts) as at,
    ):
        fetch(node_at(at), "add", here="", timeout=ANSWER_S, limits=Limits(payload=99))


def test_an_answer_over_the_limit_is_cut_off_before_it_is_taken_in() -> None:
    parts = [msgpack.packb([1, 7, True, None]), bytes(2 * MAX_HEADER)]
    with pytest.raises(TransportError, match=r"did not answer within 0\.5 s"), liar(parts) as at:
        fetch(node_at(at), "add", here="", timeout=0.5, limits=Limits(payload=99))


@contextmanager
def liar(parts: list[bytes]) -> Iterator[str]:
    """Answers the first request with these parts; where it listens."""
    with open_socket(zmq.ROUTER, hwm=4, limits=Limits()) as socket, Scope("liar") as scope:

        def answer() -> None:
            if socket.poll(ANSWER_S * 1000):
                peer, _ = socket.recv_multipart()
                socket.send_multipart([peer, *parts])

        endpoint = bind(socket, "tcp://127.0.0.1:*")
        scope.spawn("answer", answer)
        yield endpoint


@contextmanager
def asking(server: ControlServer) -> Iterator[SyncSocket]:
    with open_socket(zmq.DEALER, hwm=1000) as socket:
        socket.connect(server.endpoints[0])
        yield socket


def replied(socket: SyncSocket) -> Reply:
    assert socket.poll(ANSWER_S * 1000)
    return decode_reply(socket.recv_multipart())


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
