"""MJPEG over HTTP as cameras serve it, read from real connections: by a thread alone, and by a reactor's."""

import base64
import fcntl
import hashlib
import os
import re
import socket
import ssl
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from mesh.errors import SourceError, SourceRefused
from mesh.scope import Scope
from nodes.capture.sources.base import Grab, SharedSource, SourceOptions
from nodes.capture.sources.catalog import open_source
from nodes.capture.sources.mjpeg import MjpegSource
from nodes.capture.sources.reactor import Channel, Reactor
from tests.capture.sources.support import DEADLINE_S, grabs, jpegs, set_on_exit
from tests.capture.sources.test_multipart import SIZED, UNSIZED
from tests.support.http_script import HOLD, Answer, HttpScript
from tests.support.mjpeg_server import MjpegServer
from tests.support.waiting import wait_for

PICTURES = jpegs(3)
OK = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=b\r\n\r\n"

Read = Callable[..., list[bytes]]


@contextmanager
def running() -> Iterator[Reactor]:
    with closing(Reactor()) as reactor, Scope("test") as scope:
        scope.on_stop(reactor.stop)
        scope.spawn("read", reactor.run)
        yield reactor


def alone(url: str, limit: int, **options: object) -> list[bytes]:
    return [grab.jpeg(1) for grab in grabs(url, limit, **options)]


def together(url: str, limit: int, **options: object) -> list[bytes]:
    got: list[bytes] = []

    def take(grab: Grab) -> bool:
        got.append(grab.jpeg(1))
        return len(got) < limit

    with running() as reactor:
        source = open_source(url, SourceOptions(reactor=reactor, **options))  # type: ignore[arg-type]
        assert isinstance(source, SharedSource)
        try:
            source.drive(take)
        finally:
            source.close()
    return got


both = pytest.mark.parametrize("read", [alone, together])


def says(*pieces: bytes) -> Answer:
    return lambda request: pieces


def head(content_type: str, *lines: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", f"Content-Type: {content_type}", *lines, "", ""]).encode()


@both
@pytest.mark.parametrize(
    "pieces",
    [
        (OK + SIZED,),
        (OK, SIZED, HOLD),
        (OK, UNSIZED, HOLD),
        (OK.replace(b"\r\n", b"\n"), SIZED.replace(b"\r\n--b", b"\n--b"), HOLD),
        (head('multipart/x-mixed-replace; boundary="b"'), SIZED, HOLD),
        (head("Multipart/X-Mixed-Replace;boundary = --b"), UNSIZED, HOLD),
        (head("multipart/mixed"), SIZED, HOLD),
        tuple(OK[k : k + 1] for k in range(len(OK)))
        + tuple(SIZED[k : k + 700] for k in range(0, len(SIZED), 700)),
    ],
)
def test_streams_as_cameras_send_them(read: Read, pieces: tuple[bytes, ...]) -> None:
    with HttpScript(says(*pieces)) as server:
        assert read(server.url, 3) == PICTURES


@both
def test_in_chunks_as_an_esp32_sends(read: Read) -> None:
    chunks = [SIZED[k : k + 999] for k in range(0, len(SIZED), 999)]
    coded = [b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks]
    first = head("multipart/x-mixed-replace;boundary=b", "Transfer-Encoding: chunked")
    with HttpScript(says(first + coded[0], *coded[1:], HOLD)) as server:
        assert read(server.url, 3) == PICTURES
    ending = says(first, *coded, b"0\r\n\r\n", HOLD)
    with HttpScript(ending) as server, pytest.raises(SourceError, match="ended the stream"):
        read(server.url, 4)
    broken = says(first, coded[0][3:], HOLD)
    with HttpScript(broken) as server, pytest.raises(SourceError, match="not in chunks"):
        read(server.url, 1)


@both
def test_a_stream_that_stands_still_or_holds_no_picture(read: Read) -> None:
    for pieces in ([OK, SIZED, HOLD], [OK, *[b"Content-Type: text/plain\r\n\r\nhello\r\n" * 50] * 10, HOLD]):
        with (
            HttpScript(says(*pieces)) as server,
            pytest.raises(SourceError, match=r"no frame for 0\.3 s"),
        ):
            read(server.url, 4, stall_s=0.3)


@both
def test_the_end_of_a_stream(read: Read) -> None:
    with HttpScript(says(OK + SIZED)) as server, pytest.raises(SourceError, match="ended the stream"):
        read(server.url, 4)


@both
def test_stop_and_close_end_a_read_that_blocks(read: Read) -> None:
    stop, done = threading.Event(), threading.Event()

    def read_on(url: str) -> None:
        found = read(url, 4, stall_s=10 * DEADLINE_S, stop=stop)
        assert found == PICTURES[: len(found)]  # the stop may come before the last one
        done.set()

    with HttpScript(says(OK, SIZED, HOLD)) as server, Scope("test") as scope, set_on_exit(stop):
        scope.spawn("read", read_on, server.url)
        wait_for(lambda: server.requests, "it is connected")
        stop.set()
        assert done.wait(DEADLINE_S)


def test_close_from_another_thread_ends_what_a_reactor_reads() -> None:
    with HttpScript(says(OK, SIZED, HOLD)) as server, running() as reactor, Scope("test") as scope:
        source = open_source(server.url, SourceOptions(reactor=reactor))
        assert isinstance(source, MjpegSource)
        got: list[Grab] = []

        def take(grab: Grab) -> bool:
            got.append(grab)
            return True

        scope.spawn("drive", source.drive, take)
        wait_for(lambda: len(got) == 3, "every picture was taken")
        source.close()
        scope.join()
        assert list(source) == []


def test_a_reactor_reads_many_and_what_goes_wrong_in_one_is_told_to_that_one() -> None:
    counts, errors = [0] * 6, [None] * 6  # type: list[int], list[Exception | None]

    def read(k: int, url: str, reactor: Reactor) -> None:
        def take(grab: Grab) -> bool:
            counts[k] += 1
            if k == 1:
                raise ZeroDivisionError("in this one")
            return counts[k] < 40

        source = open_source(url, SourceOptions(reactor=reactor))
        assert isinstance(source, MjpegSource)
        try:
            source.drive(take)
        except (SourceError, ZeroDivisionError) as error:
            errors[k] = error
        finally:
            source.close()

    with (
        MjpegServer(PICTURES) as good,
        MjpegServer(PICTURES, close_after=5) as short,
        running() as reactor,
        Scope("test") as scope,
    ):
        for k in range(6):
            scope.spawn(f"camera{k}", read, k, (short if k == 2 else good).url, reactor)
        scope.join()
    assert counts == [40, 1, 5, 40, 40, 40]
    assert [type(error) for error in errors] == [type(None), ZeroDivisionError, SourceError] + [
        type(None)
    ] * 3


class Handing(Reactor):
    """A reactor that leaves the reading of its last channel to the test."""

    channel: Channel | None = None

    def add(self, channel: Channel) -> None:
        self.channel = channel


def test_all_that_waits_is_read_at_once() -> None:
    large = [picture + bytes(70_000) for picture in PICTURES]  # each more than one call receives
    body = b"".join(b"--b\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(one), one) for one in large)
    held, got = threading.Event(), list[bytes]()

    def answer(request: str) -> Iterator[bytes]:
        yield OK
        held.wait(DEADLINE_S)
        yield from (body, HOLD)

    with closing(Handing()) as reactor, HttpScript(answer) as server, Scope("test") as scope:
        source = open_source(server.url, SourceOptions(reactor=reactor))
        assert isinstance(source, MjpegSource)

        def take(grab: Grab) -> bool:
            got.append(grab.jpeg(1))
            return True

        scope.spawn("drive", source.drive, take)
        wait_for(lambda: reactor.channel, "it is driven")
        channel = reactor.channel
        assert channel is not None
        held.set()
        wait_for(lambda: waiting_bytes(channel.fileno()) == len(body), "all of it has come")
        try:
            assert channel.read()
        finally:
            channel.finish(None)
        scope.join()
    assert got == large


def waiting_bytes(fd: int) -> int:
    return int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, bytes(4)), sys.byteorder)


def test_a_reactor_that_stops_lets_everybody_go() -> None:
    first = threading.Event()

    def take(grab: Grab) -> bool:
        first.set()
        return True

    with MjpegServer(PICTURES) as server, Scope("drivers") as drivers:
        with running() as reactor:
            source = open_source(server.url, SourceOptions(reactor=reactor))
            late = open_source(server.url, SourceOptions(reactor=reactor))
            assert isinstance(source, MjpegSource)
            assert isinstance(late, MjpegSource)
            drivers.spawn("one", source.drive, take)
            assert first.wait(DEADLINE_S)
        drivers.join()
        late.drive(lambda grab: False)


def digest(request: str) -> Iterable[bytes]:
    """A camera that wants a digest (RFC 7616, MD5), and says once that its nonce is too old."""
    said = dict(re.findall(r'(\w+)="?([^",\r]*)', request.partition("Digest ")[2].partition("\r\n")[0]))
    nonce = "fresh" if said else "old"
    stale = "true" if said else "false"
    wants = f'WWW-Authenticate: Digest realm="cam", qop="auth", nonce="{nonce}", stale={stale}'
    if said.get("nonce") != "fresh":
        return [head("text/html", wants, "Content-Length: 0", status="401 Unauthorized")]

    def h(text: str) -> str:
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    mine = h(":".join([h("u:cam:p@s%s"), "fresh", said["nc"], said["cnonce"], "auth", h("GET:/stream")]))
    return [OK, SIZED] if said["response"] == mine else [head("text/html", status="401 Unauthorized")]


@pytest.mark.parametrize(("password", "right"), [("p@s%s", True), ("wr0ng", False)])
def test_a_digest(password: str, right: bool) -> None:
    with HttpScript(digest) as server:
        if right:
            assert alone(server.url_as(f"u:{password}@"), 3) == PICTURES
        else:
            with pytest.raises(SourceRefused, match="another user or password") as error:
                alone(server.url_as(f"u:{password}@"), 3)
            assert password not in str(error.value)
    assert not any(password in request for request in server.requests)


def basic(request: str) -> Iterable[bytes]:
    wanted = "Authorization: Basic " + base64.b64encode(b"u:secret").decode()
    refusal = head("text/html", 'WWW-Authenticate: Basic realm="x"', status="401 Unauthorized")
    return [OK, SIZED] if wanted in request else [refusal]


def test_a_redirect_is_followed_and_credentials_stay_with_their_server() -> None:
    with HttpScript(basic) as other:
        moved = head("text/html", f"Location: {other.url}?a=1", status="302 Found")
        with HttpScript(says(moved)) as server, pytest.raises(SourceRefused, match="another user"):
            alone(server.url_as("u:secret@"), 1)
    assert not any("Authorization" in request for request in (*server.requests, *other.requests))
    assert other.requests[0].startswith("GET /stream?a=1 HTTP/1.1")
    with HttpScript(
        lambda request: (
            basic(request)
            if "GET /moved" in request
            else [head("x/y", "Location: /moved", status="301 Moved")]
        )
    ) as server:
        assert alone(server.url_as("u:secret@"), 3) == PICTURES


def test_what_is_no_multipart_stream_goes_to_ffmpeg() -> None:
    for pieces in (
        [b"what is this\r\n\r\n"],
        [b""],
        [head("text/html"), b"<html/>"],
        [b"HTTP/1.1 302 F\r\n\r\n"],
        [head("x/y", "Location: rtsp://127.0.0.1:1/live", status="302 Found")],
    ):
        with HttpScript(says(*pieces)) as server:
            with pytest.raises(SourceError):
                open_source(server.url)
            assert len(server.requests) >= 2  # asked by us, and then by FFmpeg


def test_over_tls_with_a_certificate_of_its_own(tmp_path: Path) -> None:
    made = subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            "/CN=camera",
            "-keyout",
            "key",
            "-out",
            "certificate",
        ],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    if made.returncode:
        pytest.skip(f"openssl makes no certificate: {made.stderr.decode()[-200:]}")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "certificate", tmp_path / "key")
    big = OK + SIZED * 40
    with HttpScript(says(big, HOLD), tls) as server:
        assert alone(server.url, 120) == PICTURES * 40
        assert together(server.url, 120) == PICTURES * 40


def test_a_server_that_takes_no_connection_is_a_stall() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        with socket.create_connection(address), pytest.raises(SourceError, match=r"no frame for 0\.3 s"):
            alone(f"http://127.0.0.1:{address[1]}/", 1, stall_s=0.3)  # a SYN too many is not answered


def test_where_a_proxy_is_named_it_is_asked() -> None:
    """By FFmpeg; the environment is read when a camera is opened, so this takes a process of its own."""
    program = (
        "from itertools import islice; from nodes.capture.sources.catalog import open_source;"
        "print(len(list(islice(open_source('http://camera.invalid/stream'), 3))))"
    )
    with HttpScript(says(OK + SIZED * 20, HOLD)) as proxy:
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"http_proxy": f"http://127.0.0.1:{proxy.port}", "no_proxy": ""},
            capture_output=True,
            text=True,
            timeout=3 * DEADLINE_S,
            check=False,
        )
    assert done.stdout.strip() == "3", done
    assert proxy.requests[0].startswith("GET http://camera.invalid:80/stream ")
