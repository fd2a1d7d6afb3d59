"""The port on which metrics are read, as readers good and bad find it."""

import socket
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from mesh.errors import ConfigError, TransportError
from mesh.scope import Scope
from nodes.address import metrics_address
from nodes.metrics.exposition import exposition
from nodes.metrics.samples import Sample
from nodes.metrics.server import MOST_CLIENTS, MOST_HEAD_BYTES, MetricsServer

LARGE = 8 * 1024 * 1024
PATIENT_S = 120.0  # with a client that a busy machine holds up


def shown(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    """An app that says what it was asked, or a lot."""
    start("200 OK", [("Content-Type", "text/plain")])
    return [b"x" * LARGE if environ["QUERY_STRING"] == "large" else repr(sorted(environ.items())).encode()]


@pytest.fixture
def server() -> Iterator[MetricsServer]:
    server = MetricsServer("127.0.0.1", 0, PATIENT_S)
    with Scope("test") as scope:
        server.run_in(scope, shown)
        yield server
    server.close()


def connected(server: MetricsServer) -> socket.socket:
    return socket.create_connection((server.host, server.port), timeout=60)


def answered(server: MetricsServer, request: bytes) -> bytes:
    """All that comes until the server closes the connection."""
    with connected(server) as client:
        client.sendall(request)
        return received(client)


def received(client: socket.socket) -> bytes:
    parts = []
    try:
        while part := client.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def test_an_app_is_asked_for_the_metrics(server: MetricsServer) -> None:
    head, _, body = answered(
        server, b"GET /metrics?a=b HTTP/1.1\r\nHost: x\r\naccept: text/*\r\nAccept-Encoding: gzip\r\n\r\n"
    ).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Connection: close" in head
    assert f"Content-Length: {len(body)}".encode() in head
    for word in ("'GET'", "'a=b'", "'text/*'", "'gzip'"):
        assert word in body.decode()


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"404"),
        (b"GET /other HTTP/1.0\r\n\r\n", b"404"),
        (b"garbage\r\n\r\n", b"400"),
        (b"GET /metrics\r\n\r\n", b"400"),
        (b"GET /metrics SMTP/9\r\n\r\n", b"400"),
        (b"\xff\xfe /metrics HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n", b"400"),
    ],
)
def test_what_is_no_request_for_metrics_is_told_so(
    server: MetricsServer, request_head: bytes, status: bytes
) -> None:
    assert answered(server, request_head).startswith(b"HTTP/1.1 " + status)


def test_a_head_without_end_is_not_taken_in(server: MetricsServer) -> None:
    assert answered(server, b"GET /metrics HTTP/1.1\r\nx: " + b"y" * 4 * MOST_HEAD_BYTES) == b""


def test_a_large_answer_comes_whole(server: MetricsServer) -> None:
    assert answered(server, b"GET /metrics?large HTTP/1.1\r\n\r\n").endswith(b"x" * LARGE)


def test_more_readers_than_there_may_be_are_sent_away_and_others_are_not(server: MetricsServer) -> None:
    hanging = [connected(server) for _ in range(MOST_CLIENTS)]
    try:
        assert answered(server, b"GET /metrics HTTP/1.1\r\n\r\n") == b""
        hanging.pop().close()
        while not answered(server, b"GET /metrics HTTP/1.1\r\n\r\n"):
            pass  # until the server has seen that one of them left
    finally:
        for client in hanging:
            client.close()


def test_readers_that_hang_end_with_the_scope() -> None:
    server = MetricsServer("127.0.0.1", 0, PATIENT_S)
    with Scope("test") as scope:
        server.run_in(scope, shown)
        silent, full = connected(server), connected(server)
        full.sendall(b"GET /metrics?large HTTP/1.1\r\n\r\n")  # and does not read
        assert answered(server, b"GET /metrics HTTP/1.1\r\n\r\n")
    server.close()
    with silent, full:
        assert received(silent) == b""
        assert len(received(full)) < LARGE


def test_a_port_that_is_in_use_is_told() -> None:
    server = MetricsServer("127.0.0.1", 0)
    with pytest.raises(TransportError, match=f"--metrics 127.0.0.1:{server.port} is in use"):
        MetricsServer("127.0.0.1", server.port)
    server.close()


def test_labels_that_hold_anything_are_escaped() -> None:
    told: list[str] = []
    sample = Sample("mesh_camera_up", ('a"b\\c\nd',), (1,))
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/metrics"}
    body = b"".join(exposition(lambda: [sample])(environ, lambda status, headers: told.append(status)))
    assert told == ["200 OK"]
    assert r'mesh_camera_up{camera="a\"b\\c\nd"} 1.0' in body.decode()


@pytest.mark.parametrize(
    ("text", "insecure", "found"),
    [
        ("9700", False, ("127.0.0.1", 9700)),
        ("0", False, ("127.0.0.1", 0)),
        ("localhost:9700", False, ("127.0.0.1", 9700)),
        ("[::1]:9700", False, ("::1", 9700)),
        ("0.0.0.0:9700", True, ("0.0.0.0", 9700)),
        ("*:9700", True, ("0.0.0.0", 9700)),
    ],
)
def test_where_to_listen(text: str, insecure: bool, found: tuple[str, int]) -> None:
    assert metrics_address(text, insecure) == found


@pytest.mark.parametrize(
    "text", ["", "door", "1:", ":9700", "127.0.0.1:", "65536", "-1", "0.0.0.0:9700", "²"]
)
def test_where_not_to_listen(text: str) -> None:
    with pytest.raises(ConfigError, match="--metrics"):
        metrics_address(text, False)
