"""The server: persistence, its ports and state, and whatever the network throws at it."""

import os
import random
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import msgpack
import pytest
import zmq

from mesh.errors import StorageError, TransportError, WireError
from mesh.registry import About, Delete, Put, Registry, Synced, open_registry
from mesh.registry.persist import BLOCK, Forgetful, StateDirectory
from mesh.registry.server import BATCH, STALL_SECONDS, RegistryServer
from mesh.registry.service import MAX_CLIENTS, Service
from mesh.registry.wire import Reply, Request, decode_reply, encode_request
from mesh.scope import Scope
from tests.registry.helpers import hold, take, take_snapshot, until
from tests.support.clock import ManualClock

CLIENT = bytes(range(16))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RegistryServer]:
    with RegistryServer("tcp://127.0.0.1:*", state=tmp_path / "state", beat=0.1) as server:
        yield server


@pytest.fixture
def dealer(server: RegistryServer) -> Iterator[zmq.Socket[bytes]]:
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.set(zmq.LINGER, 0)
        socket.set(zmq.RCVTIMEO, 30_000)
        socket.connect(server.url)
        yield socket


def ask(dealer: zmq.Socket[bytes], request: Request) -> Reply:
    dealer.send(encode_request(request))
    return decode_reply(dealer.recv())


def port_of(server: RegistryServer) -> int:
    return int(server.url.rpartition(":")[2])


def test_a_request_that_comes_again_is_executed_once(
    server: RegistryServer, dealer: zmq.Socket[bytes]
) -> None:
    request = Request(CLIENT, 1, "put", ("nodes/a", {"n": 1}, 0, 0))
    first, again = ask(dealer, request), ask(dealer, request)
    assert first.status == "ok"
    assert again == first
    assert ask(dealer, Request(CLIENT, 2, "put", ("nodes/a", {"n": 2}, 0, 0))).status == "conflict"
    dealer.send(encode_request(request))  # older than the latest: a straggler, without an answer
    assert ask(dealer, Request(CLIENT, 3, "get", ("nodes/a",))).body[1] == {"n": 1}
    assert server.stats() == {"requests": 3, "refused": 1, "repeated": 2, "malformed": 0}


BAD = [
    Request(CLIENT, 1, "format_disk", ()),
    Request(CLIENT, 2, "put", ("nodes/a",)),
    Request(CLIENT, 3, "put", ("nodes/a", [], 0, None)),
    Request(CLIENT, 4, "put", ("nodes/a", {}, -1, None)),
    Request(CLIENT, 5, "put", ("nodes/a", {}, True, None)),
    Request(CLIENT, 6, "put", ("nodes/a", {b"bytes": 1}, 0, None)),
    Request(CLIENT, 7, "put", ("nodes/a", {"x": msgpack.ExtType(4, b"x")}, 0, None)),
    Request(CLIENT, 8, "put", ("no key", {}, 0, None)),
    Request(CLIENT, 9, "grant", (float("nan"),)),
    Request(CLIENT, 10, "grant", (1e300,)),
    Request(CLIENT, 11, "keep_alive", ("x",)),
    Request(CLIENT, 12, "list", (None,)),
]


def test_a_bad_request_is_refused_with_a_reason(server: RegistryServer, dealer: zmq.Socket[bytes]) -> None:
    for request in BAD:
        reply = ask(dealer, request)
        assert (reply.id, reply.status) == (request.id, "refused")
        assert reply.body
    assert server.stats()["refused"] == len(BAD)


def junk() -> list[list[bytes]]:
    draw = random.Random(7)
    whole = encode_request(Request(CLIENT, 99, "put", ("nodes/a", {"n": 1}, 0, None)))
    return [
        [b""],
        [b"", b""],
        [b"x"] * 50,
        [whole, whole],
        [b"\xc1"],
        [b"\xdd\xff\xff\xff\xff"],  # an array of four thousand million
        [b"\xdd\x00\x00\xff\xff" * 600],  # arrays in arrays
        [b"\x91" * 5000],
        [msgpack.packb([2, CLIENT, 1, "get", ["nodes/a"]])],
        [msgpack.packb([1, b"short", 1, "get", ["nodes/a"]])],
        [msgpack.packb([1, CLIENT, -1, "get", ["nodes/a"]])],
        [msgpack.packb([1, CLIENT, 1, "get", {"a": 1}])],
        [msgpack.packb([1, CLIENT, 1, b"\xff", []])],
        *([whole[:cut]] for cut in range(len(whole))),
        *([draw.randbytes(draw.randrange(1, 200))] for _ in range(200)),
    ]


def test_garbage_is_counted_and_serving_goes_on(server: RegistryServer, dealer: zmq.Socket[bytes]) -> None:
    messages = junk()
    for parts in messages:
        dealer.send_multipart(parts)
    until(lambda: server.stats()["malformed"] == len(messages), "every message was counted")
    assert ask(dealer, Request(CLIENT, 1, "list", ("",))).body[1] == []


def test_garbage_on_the_ports_themselves(server: RegistryServer) -> None:
    port = port_of(server)
    for number in (port, port + 1):
        for data in (b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 4096, b""):
            with socket.create_connection(("127.0.0.1", number)) as raw:
                raw.sendall(data)
    with zmq.Context() as context, context.socket(zmq.XSUB) as xsub:
        xsub.set(zmq.LINGER, 0)
        xsub.connect(f"tcp://127.0.0.1:{port + 1}")
        for message in (b"", b"\x02", b"hello", b"\x01" + b"x" * 100_000):
            xsub.send(message)
        with open_registry(server.url, timeout=30) as registry, registry.watch() as watch:
            registry.put("nodes/a", {})
            assert isinstance(take(watch), Put | Synced)
            assert isinstance(take(watch), Put | Synced)


def test_a_message_over_the_limit_is_not_taken_in(server: RegistryServer, dealer: zmq.Socket[bytes]) -> None:
    dealer.send(b"x" * (2 << 20))
    # The server has cut the connection; the client comes back on its own.
    with open_registry(server.url, timeout=30) as registry:
        assert registry.list() == []
    assert server.stats()["malformed"] == 0


def test_configuration_survives_and_leases_do_not(tmp_path: Path) -> None:
    with (
        RegistryServer("tcp://127.0.0.1:*", state=tmp_path) as server,
        open_registry(server.url, timeout=30) as registry,
    ):
        registry.put("cameras/gone", {})
        kept = registry.put("cameras/door", {"n": [1, None, "é"]})
        registry.delete("cameras/gone")
        live = registry.put("nodes/a", {}, lease=registry.grant(60))
    with (
        RegistryServer("tcp://127.0.0.1:*", state=tmp_path) as server,
        open_registry(server.url, timeout=30) as registry,
    ):
        assert registry.list() == [kept]
        assert registry.put("nodes/a", {}).revision > live.revision


def test_a_put_is_on_the_disk_before_it_is_answered(tmp_path: Path) -> None:
    directory = StateDirectory(tmp_path)
    service = Service(directory)
    reply = service.handle(Request(CLIENT, 1, "put", ("cameras/door", {"n": 1}, 0, 0)), now=0.0).reply
    assert reply is not None
    directory.close()  # what was not committed by now is lost
    with StateDirectory(tmp_path) as again:
        entry = again.load().get("cameras/door")
        assert entry is not None
        assert (entry.value, entry.revision) == ({"n": 1}, reply.body)


def test_what_cannot_be_kept_is_refused_and_not_shown(tmp_path: Path) -> None:
    directory = StateDirectory(tmp_path)
    service = Service(directory)
    directory.close()  # as good as a disk that has gone
    outcome = service.handle(Request(CLIENT, 1, "put", ("cameras/door", {}, 0, None)), now=0.0)
    assert outcome.reply is not None
    assert (outcome.reply.status, outcome.published) == ("storage", [])
    found = service.handle(Request(CLIENT, 2, "get", ("cameras/door",)), now=0.0)
    assert found.reply is not None
    assert (found.reply.status, found.reply.body) == ("ok", None)


def test_a_renewal_that_waits_is_heard_before_leases_are_ended() -> None:
    service = Service(Forgetful(0))

    def ask(number: int, operation: str, *arguments: object, now: float) -> object:
        reply = service.handle(Request(CLIENT, number, operation, arguments), now).reply
        assert reply is not None
        return reply.body

    lease = ask(1, "grant", 5, now=0.0)
    ask(2, "put", "nodes/a", {}, lease, None, now=0.0)
    odd = [Request(CLIENT, 9, "keep_alive", arguments) for arguments in ((), ([lease],), ("x",))]
    assert service.expire(6.0, [*odd, Request(CLIENT, 3, "keep_alive", (lease,))]) == []
    assert ask(3, "keep_alive", lease, now=6.0) is None
    assert service.expire(10.9) == []
    assert len(service.expire(11.0, odd)) == 1


def test_a_disk_that_holds_the_server_up_ends_no_lease(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:

    def write(registry: Registry) -> None:
        with suppress(StorageError):  # a disk that is held for long, as when this test is, refuses it
            registry.put("cameras/door", {})

    clock = ManualClock()
    with (
        RegistryServer("tcp://127.0.0.1:*", state=tmp_path, clock=clock) as server,
        open_registry(server.url, timeout=30) as registry,
        open_registry(server.url, timeout=30) as writer,
        closing(sqlite3.connect(tmp_path / "registry.sqlite", isolation_level=None)) as disk,
        Scope("test") as scope,
    ):
        registry.put("nodes/a", {}, lease=registry.grant(5))
        asked = server.stats()["requests"]
        disk.execute("BEGIN IMMEDIATE")
        scope.spawn("write", write, writer)
        until(lambda: server.stats()["requests"] > asked, "the server is about to write")
        clock.advance(5.1)
        threading.Event().wait(2 * STALL_SECONDS)  # the fault itself
        disk.execute("COMMIT")
        scope.join()
        assert registry.get("nodes/a") is not None
        assert "held up for" in caplog.text
        clock.advance_until(lambda: registry.get("nodes/a") is None)


def test_a_flood_does_not_keep_leases_alive(server: RegistryServer) -> None:
    """More requests than are taken in one turn, all the time: leases end, though a moment later."""
    flooded = threading.Event()

    def flood(number: int) -> None:
        with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
            socket.set(zmq.LINGER, 0)
            socket.connect(server.url)
            junk = encode_request(Request(number.to_bytes(16, "big"), 1, "get", ("nodes/b",)))
            while not flooded.is_set():
                for _ in range(BATCH):
                    socket.send(junk)
                while socket.poll(0):
                    socket.recv()

    with open_registry(server.url, timeout=30) as registry, registry.watch("nodes/") as watch:
        take_snapshot(watch)
        hold(registry, "nodes/a", ttl=0.5)
        assert isinstance(take(watch), Put)
        with Scope("test") as scope:
            scope.on_stop(flooded.set)
            for number in range(2):
                scope.spawn("flood", flood, number)
            assert isinstance(take(watch), Delete)
            scope.stop()


def test_revisions_are_reserved_in_blocks(tmp_path: Path) -> None:
    with StateDirectory(tmp_path) as directory:
        assert directory.load().revision == 0
        directory.reserve(1)
    with StateDirectory(tmp_path) as directory:
        assert directory.load().revision == 1 + BLOCK
        directory.reserve(1 + BLOCK)
        assert directory.load().revision == 1 + BLOCK


def test_a_server_without_state_never_goes_back_either() -> None:
    revisions = []
    for _ in range(2):
        with (
            RegistryServer("tcp://127.0.0.1:*") as server,
            open_registry(server.url, timeout=30) as registry,
        ):
            revisions.append(registry.put("nodes/a", {}).revision)
    assert revisions[0] < revisions[1]


def test_a_port_in_use(server: RegistryServer) -> None:
    with pytest.raises(TransportError) as caught, RegistryServer(server.url):
        pass
    assert str(caught.value) == (
        f"{server.url} is in use: another registry runs there, or choose another --bind"
    )
    before = f"tcp://127.0.0.1:{port_of(server) - 1}"
    with pytest.raises(TransportError, match="is in use"), RegistryServer(before):
        pass


def test_two_servers_on_one_state_directory(tmp_path: Path, server: RegistryServer) -> None:
    with (
        pytest.raises(StorageError, match="in use by another registry"),
        RegistryServer("tcp://127.0.0.1:*", state=tmp_path / "state"),
    ):
        pass


def test_a_state_directory_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(StorageError, match="cannot write to the state directory"),
        RegistryServer("tcp://127.0.0.1:*", state=tmp_path / "file" / "state"),
    ):
        pass
    (tmp_path / "registry.sqlite").write_bytes(os.urandom(8192))
    with (
        pytest.raises(StorageError, match="cannot use the registry's state"),
        RegistryServer("tcp://127.0.0.1:*", state=tmp_path),
    ):
        pass


def test_stop_ends_wait() -> None:
    with RegistryServer("tcp://127.0.0.1:*") as server:
        thread = threading.Thread(target=server.stop)
        thread.start()
        server.wait()
        thread.join()
    server.stop()  # after the end, too


def test_the_replies_that_are_remembered_are_bounded() -> None:
    service = Service(Forgetful(0))
    requests = [Request(n.to_bytes(16, "big"), 1, "revoke", (1,)) for n in range(MAX_CLIENTS + 1)]
    for request in requests:
        service.handle(request, now=0.0)
    service.handle(requests[-1], now=0.0)
    assert service.counters.get("repeated") == 1
    service.handle(requests[0], now=0.0)  # the oldest was forgotten
    assert service.counters.get("repeated") == 1


def test_a_watcher_of_one_table_is_not_sent_another(server: RegistryServer) -> None:
    with zmq.Context() as context, context.socket(zmq.SUB) as sub:
        sub.set(zmq.LINGER, 0)
        sub.set(zmq.RCVTIMEO, 30_000)
        sub.connect(f"tcp://127.0.0.1:{port_of(server) + 1}")
        sub.subscribe(b"\0beat")
        assert sub.recv_multipart()[0] == b"\0beat"
        sub.subscribe(b"nodes/")
        with open_registry(server.url, timeout=30) as registry, registry.watch("nodes/") as watch:
            take_snapshot(watch)
            registry.put("stats/a", {})
            topics = []
            while b"nodes/" not in topics:
                registry.put("nodes/a", {})
                topics.append(sub.recv_multipart()[0])
        assert b"stats/" not in topics


def test_a_server_tells_when_and_where_it_started(tmp_path: Path) -> None:
    clock = ManualClock()
    with (
        RegistryServer("tcp://127.0.0.1:*", state=tmp_path) as server,
        open_registry(server.url, timeout=30) as registry,
    ):
        before = registry.put("config/a", {})
    with (
        RegistryServer("tcp://127.0.0.1:*", state=tmp_path, clock=clock) as server,
        open_registry(server.url, timeout=30) as registry,
    ):
        clock.advance(2.5)
        start = registry.start()
        assert start is not None
        assert start.age_s == 2.5
        assert before.revision <= start.revision < registry.put("config/b", {}).revision


def test_a_server_says_what_it_is_and_where_it_keeps_things(tmp_path: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/st\xe4te"))  # no UTF-8: it must not end the server
    for state, keeps, folders in ((None, False, []), (odd, True, [f"{tmp_path}/st\ufffdte"])):
        with RegistryServer("tcp://127.0.0.1:*", state=state, version="1.2") as server:
            with open_registry(server.url, timeout=30) as registry:
                about = registry.about()
            assert (about.keeps, [folder.path for folder in about.folders]) == (keeps, folders)
            told = (about.version, about.host, about.pid, about.bind)
            assert told == ("1.2", socket.gethostname(), os.getpid(), "127.0.0.1")


def test_what_a_server_says_of_itself_is_checked() -> None:
    assert About.read({"keeps": True, "of": "a newer version"}).keeps
    for wrong in ({}, {"keeps": True, "folders": [{"path": "/x", "free_bytes": -1}]}, {"keeps": [1]}):
        with pytest.raises(WireError, match="malformed"):
            About.read(wrong)
