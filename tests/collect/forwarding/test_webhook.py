"""Frames carried to a real web server: what is posted, when a frame is done, and what bad answers come to."""

import base64
import contextlib
import re
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from mesh.errors import ConfigError
from mesh.scope import Scope
from nodes.collect.forwarding.address import parse
from nodes.collect.forwarding.signing import check_placed, headers, keys_of
from nodes.collect.forwarding.verdict import Answer, Verdict, judge, retry_after_s
from nodes.collect.forwarding.webhook import MOST_FRAMES, WebhookCarrier
from tests.collect.forwarding.support import TOLD, Noted, offer, seen
from tests.support.answering import Answering, drained, relayed
from tests.support.certificates import self_signed
from tests.support.clock import ManualClock
from tests.support.frames import jpeg_frame
from tests.support.hooks import Hook, Hooks, Reply
from tests.support.waiting import wait_for

PAGE = Path(__file__).parents[3] / "docs" / "forwarding.md"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@contextlib.contextmanager
def carrying(url: str, clock: ManualClock | None = None) -> Iterator[tuple[WebhookCarrier, Noted]]:
    """With a clock that stands, unless another one is given: no patience ends because a thread is held up."""
    done = Noted()
    with Scope("carrying") as scope:
        yield WebhookCarrier(scope, parse(url), done, clock or ManualClock(0.0)), done


def verifier() -> Callable[[str, Any, bytes], bool]:
    """The function on the page."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    return names["verify"]  # type: ignore[no-any-return]


def test_frames_are_posted_as_their_lines_are_and_signed_as_the_page_verifies() -> None:
    frame = seen(3)
    with Hooks() as server:
        url = server.url(
            f"/a%20hook?room=7&jpeg=1&secret={SECRET}%20{OTHER.replace('+', '%2B')}", "edge:p%40ss@"
        )
        with carrying(url) as (carrier, done):
            offer(carrier, [frame])
            wait_for(lambda: done.has([3]))
            assert (carrier.why, carrier.stats()["resent"]) == ("", 0)
    (hook,) = server.taken
    assert hook.target == "/a%20hook?room=7", "what is not ours is the receiver's"
    assert hook.headers["host"] == f"127.0.0.1:{server.port}"
    assert hook.headers["content-type"] == "application/json"
    assert hook.headers["authorization"] == "Basic " + base64.b64encode(b"edge:p@ss").decode()
    assert hook.headers["user-agent"].startswith("framemesh/")
    verify = verifier()
    assert verify(SECRET, hook.headers, hook.body)
    assert verify(OTHER, hook.headers, hook.body)
    assert not verify(SECRET, hook.headers, hook.body + b" ")
    assert not verify("whsec_" + base64.b64encode(bytes(32)).decode(), hook.headers, hook.body)
    (told,) = hook.said["data"]["frames"]
    assert (hook.said["type"], hook.said["data"]["version"]) == ("frames.recorded", 1)
    assert base64.b64decode(told.pop("jpeg")) == bytes(frame.payload)
    assert told == TOLD


def test_a_signature_is_that_of_the_standards_vector_and_of_openssl() -> None:
    signed = headers(keys_of(SECRET), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    command = ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-binary"]
    command += ["-macopt", f"hexkey:{base64.b64decode(OTHER.removeprefix('whsec_')).hex()}"]
    digest = subprocess.run(command, input=b"msg_1.5.body", capture_output=True, check=True).stdout
    signature = headers(keys_of(OTHER), "msg_1", 5, b"body")["webhook-signature"]
    assert signature == "v1," + base64.b64encode(digest).decode()


def test_what_waits_goes_together_over_one_connection() -> None:
    go_on = threading.Event()
    with (
        Hooks(lambda hook: 200 if go_on.wait(60) else 500) as server,
        carrying(server.url()) as (carrier, done),
    ):
        offer(carrier, [seen(seq) for seq in range(250)])
        go_on.set()
        wait_for(lambda: done.has(range(250)))
    assert [seq for hook in server.taken for seq in hook.sequences] == list(range(250))
    assert len(server.taken) < 10
    assert max(len(hook.sequences) for hook in server.taken) == MOST_FRAMES
    assert len({hook.port for hook in server.all}) == 1
    assert len({hook.id for hook in server.all}) == len(server.all)


def test_a_server_that_keeps_no_connection_is_asked_over_new_ones() -> None:
    with (
        Hooks(lambda hook: Reply(200, {"Connection": "close"})) as server,
        carrying(server.url()) as (carrier, done),
    ):
        for seq in range(3):
            offer(carrier, [seen(seq)])
            wait_for(lambda seq=seq: done.has(range(seq + 1)))  # type: ignore[misc]
        assert carrier.stats()["resent"] == 0
    assert len({hook.port for hook in server.all}) == 3


def test_a_failure_is_tried_again_with_the_same_id_and_a_time_of_its_own() -> None:
    clock = ManualClock()
    with (
        Hooks(lambda hook: (500, 503, 429, 204)[min(hook.nth, 3)]) as server,
        carrying(server.url(f"/?secret={SECRET}"), clock) as (carrier, done),
    ):
        offer(carrier, [seen(0)])
        wait_for(lambda: "it answers 500 Internal Server Error" in carrier.why)
        assert done.has([])
        clock.advance_until(lambda: done.has([0]))
        wait_for(lambda: carrier.why == "")
        assert carrier.stats()["resent"] == 3
    assert len({hook.id for hook in server.all}) == 1
    assert len({hook.body for hook in server.all}) == 1
    stamps = [int(hook.headers["webhook-timestamp"]) for hook in server.all]
    assert stamps == sorted(stamps)
    assert stamps[0] < stamps[-1]


@pytest.mark.parametrize("as_a_date", [False, True])
def test_the_other_end_is_left_alone_as_long_as_it_asks(as_a_date: bool) -> None:
    clock = ManualClock()
    began = clock.monotonic()
    after = formatdate(clock.wall_ns() / 1e9 + 1000, usegmt=True) if as_a_date else "1000"
    asked = []

    def answer(hook: Hook) -> int | Reply:
        asked.append(clock.monotonic() - began)
        return Reply(503, {"Retry-After": after}) if hook.nth == 0 else 200

    with Hooks(answer) as server, carrying(server.url(), clock) as (carrier, done):
        offer(carrier, [seen(0)])
        clock.advance_until(lambda: done.has([0]), step=20)
    assert asked[1] >= 990


def test_what_is_refused_for_good_is_counted_and_does_not_keep_the_rest() -> None:
    with (
        Hooks(lambda hook: 400 if hook.nth == 1 else 200) as server,
        carrying(server.url()) as (carrier, done),
    ):
        for seq in range(3):
            offer(carrier, [seen(seq)])
            wait_for(lambda seq=seq: done.has(range(seq + 1)))  # type: ignore[misc]
        assert carrier.stats()["forward_refused"] == 1
    assert [hook.sequences for hook in server.taken] == [[0], [2]]


def test_a_receiver_that_takes_no_signature_of_ours_refuses_nothing_for_good() -> None:
    """It says 400, as the example of a well-known library does, until somebody mends its secret."""
    mended, clock = threading.Event(), ManualClock()
    with (
        Hooks(lambda hook: 200 if mended.is_set() else 400) as server,
        carrying(server.url(), clock) as (carrier, done),
    ):
        offer(carrier, [seen(0)])
        wait_for(lambda: "check the secret" in carrier.why)
        mended.set()
        clock.advance_until(lambda: done.has([0]))
        assert (carrier.why, carrier.stats()["forward_refused"]) == ("", 0)
    assert [hook.sequences for hook in server.taken] == [[0]]


def test_what_is_too_large_goes_in_halves_and_less_at_a_time_from_then_on() -> None:
    """Under a limit of its own for each request, as servers have; one frame is larger than that by itself."""
    frames = [seen(seq) for seq in range(100)]
    frames[40] = frames[40].annotate(text="x" * 9000)

    go_on = threading.Event()  # so that all the others wait

    def answer(hook: Hook) -> int:
        go_on.wait(60)
        return 413 if len(hook.body) > 8000 else 200

    with Hooks(answer) as server, carrying(server.url()) as (carrier, done):
        offer(carrier, frames)
        go_on.set()
        wait_for(lambda: done.has(range(100)))
        assert carrier.stats()["forward_refused"] == 1
        tried = server.count
        offer(carrier, [seen(seq) for seq in range(100, 200)])
        wait_for(lambda: done.has(range(200)))
    got = [seq for hook in server.taken for seq in hook.sequences]
    assert got == [seq for seq in range(200) if seq != 40]
    assert all(len(hook.body) <= 8000 for hook in server.all[tried:])


@pytest.mark.parametrize("status", [301, 401, 404, 410])
def test_what_is_wrong_with_the_address_waits_until_it_is_mended(status: int) -> None:
    clock = ManualClock()
    moved = Reply(status, {"Location": "http://127.0.0.1:1/elsewhere"})
    mended = False
    with (
        Hooks(lambda hook: 200 if mended else moved) as server,
        carrying(server.url(), clock) as (carrier, done),
    ):
        offer(carrier, [seen(0)])
        wait_for(lambda: f"it answers {status} " in carrier.why)
        mended = True
        clock.advance_until(lambda: done.has([0]))


def test_a_connection_that_breaks_in_the_middle_is_begun_anew() -> None:
    """In the middle of the request, before the answer, in the middle of the answer; and one that was kept."""
    clock = ManualClock()
    server_says: list[bytes | None] = [None, b"", b"HTTP/1.1 20", OK]
    heads: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        said = server_says[min(server.connections, len(server_says)) - 1]
        heads.append(connection.recv(1 << 16))
        if said is not None:
            while not heads[-1].endswith(b"]}}"):
                heads[-1] += connection.recv(1 << 16)
            connection.sendall(said)

    with (
        Answering(answer) as server,
        carrying(f"http://127.0.0.1:{server.port}/?unsigned=1", clock) as (
            carrier,
            done,
        ),
    ):
        offer(carrier, [seen(0).annotate(text="x" * 500_000)])
        clock.advance_until(lambda: done.has([0]))
        offer(carrier, [seen(1)])  # the server has closed what it said it would keep
        wait_for(lambda: done.has([0, 1]))
        assert carrier.why == ""
    ids = [re.search(rb"webhook-id: (\S+)", head)[1] for head in heads]  # type: ignore[index]
    assert len(set(ids[:4])) == 1


def test_a_server_that_says_so_before_it_has_read_all_is_understood() -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(100)
        connection.sendall(b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\n\r\n")

    with (
        Answering(answer) as server,
        carrying(f"http://127.0.0.1:{server.port}/?unsigned=1") as (carrier, done),
    ):
        offer(carrier, [seen(0).annotate(text="x" * 200_000)])
        wait_for(lambda: done.has([0]))
        assert (carrier.stats()["forward_refused"], server.connections) == (1, 1)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", "speaks no HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", "speaks no HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", "speaks no HTTP"),
        (b"HTTP/1.1 999 \r\n\r\n", "it answers 999"),
        (b"", "connection was closed"),
    ],
)
def test_what_answers_badly_is_tried_again_and_told(said: bytes, why: str) -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        connection.sendall(said)
        connection.shutdown(socket.SHUT_WR)
        drained(connection)

    clock = ManualClock()
    with (
        Answering(answer) as server,
        carrying(f"http://127.0.0.1:{server.port}/?unsigned=1", clock) as (
            carrier,
            done,
        ),
    ):
        offer(carrier, [seen(0)])
        wait_for(lambda: why in carrier.why, why)
        assert done.has([])


@pytest.mark.parametrize("length", [b"Content-Length: 9999999999999", b"Transfer-Encoding: chunked", b"X: y"])
def test_an_answer_that_goes_on_for_ever_is_an_answer_all_the_same(length: bytes) -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n\r\n")
        while True:
            connection.sendall(b"10000\r\n" + bytes(0x10000) + b"\r\n")

    with (
        Answering(answer) as server,
        carrying(f"http://127.0.0.1:{server.port}/?unsigned=1") as (carrier, done),
    ):
        offer(carrier, [seen(0)])
        wait_for(lambda: done.has([0]))
        offer(carrier, [seen(1)])
        wait_for(lambda: done.has([0, 1]))
        assert server.connections == 2


def test_what_only_says_that_an_answer_will_come_is_none() -> None:
    def answer(connection: socket.socket) -> None:
        while connection.recv(65536):
            early = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
            connection.sendall(early + OK)

    with (
        Answering(answer) as server,
        carrying(f"http://127.0.0.1:{server.port}/?unsigned=1") as (carrier, done),
    ):
        for seq in range(2):
            offer(carrier, [seen(seq)])
            wait_for(lambda seq=seq: done.has(range(seq + 1)))  # type: ignore[misc]
        assert (server.connections, carrier.stats()["resent"]) == (1, 0)


@pytest.mark.parametrize("size", [b"-1", b"-5"])
def test_an_answer_that_claims_an_impossible_size_costs_its_connection_alone(size: bytes) -> None:
    sent: list[int] = []

    def answer(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + size + b"\r\n")
        while True:
            connection.sendall(bytes(0x10000))
            sent.append(0x10000)

    with (
        Answering(answer) as server,
        carrying(f"http://127.0.0.1:{server.port}/?unsigned=1") as (carrier, done),
    ):
        offer(carrier, [seen(0)])
        wait_for(lambda: done.has([0]))
        offer(carrier, [seen(1)])
        wait_for(lambda: done.has([0, 1]))
        assert server.connections == 2
    assert sum(sent) < 32 << 20, "what is beyond the kernel's buffers was read into memory"


def test_a_server_that_hangs_or_drips_is_left_in_time() -> None:
    clock = ManualClock()
    gone = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        for byte in b"HTTP/1.1 200 " + b"O" * 100_000:
            connection.sendall(bytes([byte]))
            if gone.wait(0.002):
                return

    with (
        Answering(drip) as server,
        carrying(f"http://127.0.0.1:{server.port}/?unsigned=1", clock) as (
            carrier,
            _,
        ),
    ):
        offer(carrier, [seen(0)])
        clock.advance_until(lambda: "it does not answer in time" in carrier.why, step=1)
        gone.set()


def test_it_ends_at_once_while_the_other_end_hangs() -> None:
    """Nothing is waited for: the clock stands."""
    clock = ManualClock()
    for scheme in ("http", "https"):
        with Answering(drained) as server:
            url = f"{scheme}://127.0.0.1:{server.port}/?unsigned=1"
            with carrying(url, clock) as (carrier, done):
                offer(carrier, [seen(0)])
                wait_for(lambda server=server: server.connections)  # type: ignore[misc]
            assert done.has([])


def test_a_certificate_is_verified(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with Hooks(tls=tls) as server:
        with carrying(server.url()) as (carrier, done):
            offer(carrier, [seen(0)])
            wait_for(lambda: "its certificate is not trusted: self-signed certificate" in carrier.why)
            assert done.has([])
        with carrying(server.url(f"/?unsigned=1&jpeg=1&ca={certificate}")) as (carrier, done):
            offer(carrier, [seen(seq, size=640) for seq in range(30)])
            wait_for(lambda: done.has(range(30)))
            assert len({hook.port for hook in server.taken}) == 1


def test_a_proxy_is_asked_where_the_environment_names_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    certificate, key = self_signed(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    heads: list[str] = []

    def proxy(connection: socket.socket) -> None:
        head = connection.recv(1 << 16).decode()
        heads.append(head)
        if "Proxy-Authorization: Basic dTpw" not in head:
            connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        relayed(connection, secure.port)

    with Hooks() as plain, Hooks(tls=tls) as secure, Answering(proxy) as between:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{between.port}")
        with carrying(secure.url()) as (carrier, _):
            offer(carrier, [seen(0)])
            wait_for(lambda: "the proxy answers 407" in carrier.why)
        monkeypatch.setenv("https_proxy", f"http://u:p@127.0.0.1:{between.port}")
        with carrying(secure.url(f"/?unsigned=1&ca={certificate}")) as (carrier, done):
            offer(carrier, [seen(0)])
            wait_for(lambda: done.has([0]))
        monkeypatch.setenv("http_proxy", f"http://u:p@127.0.0.1:{plain.port}")
        with carrying("http://elsewhere.invalid/hook?unsigned=1") as (carrier, done):
            offer(carrier, [seen(0)])
            wait_for(lambda: done.has([0]))
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        with carrying(plain.url()) as (carrier, done):
            offer(carrier, [seen(1)])
            wait_for(lambda: done.has([1]))
    assert heads[-1].startswith(f"CONNECT 127.0.0.1:{secure.port} HTTP/1.1\r\n")
    assert [hook.target for hook in plain.taken] == ["http://elsewhere.invalid/hook", "/hook"]
    assert plain.taken[0].headers["host"] == "elsewhere.invalid"
    assert "proxy-authorization" in plain.taken[0].headers


def test_frames_in_which_nothing_was_found_are_left_out_where_that_is_asked() -> None:
    with Hooks() as server, carrying(server.url("/?unsigned=1&only=detections")) as (carrier, done):
        offer(carrier, [jpeg_frame(0), seen(1), jpeg_frame(2)])
        wait_for(lambda: done.has(range(3)))
        assert carrier.stats()["forward_filtered"] == 2
    assert [hook.sequences for hook in server.taken] == [[1]]


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        *[(status, Verdict.DONE) for status in (200, 202, 204)],
        *[
            (status, Verdict.AGAIN)
            for status in (302, 307, 401, 403, 404, 405, 408, 410, 425, 429, 500, 502, 503, 504)
        ],
        *[(status, Verdict.REFUSED) for status in (400, 409, 415, 422)],
        (413, Verdict.SMALLER),
    ],
)
def test_what_an_answer_means(status: int, verdict: Verdict) -> None:
    assert judge(status, has_taken=True) is verdict
    assert judge(status, has_taken=False) is (Verdict.AGAIN if status == 400 else verdict)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7),
        ("99999999999999", 3600),
        ("Thu, 01 Jan 1970 00:01:00 GMT", 60),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600),
        *[(text, 0) for text in ("", "-1", "soon", "²", "Thu, 01 Jan 1970 00:00:00 GMT")],
    ],
)
def test_how_long_it_asks_to_be_left_alone(text: str, seconds: float) -> None:
    assert retry_after_s(Answer(503, text), 0) == seconds


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("http://h/x", "say how its receiver knows that a webhook is yours"),
        (f"http://h/x?unsigned=1&secret={SECRET}", "say how its receiver knows"),
        ("http://h/x?secret=hunter2", "a webhook's secret is whsec_ and base64"),
        ("http://h/x?secret=whsec_hunter2hunter2", "a webhook's secret is whsec_ and base64"),
        ("http://h/x?secret=", "a webhook's secret is whsec_ and base64"),
        ("http://h/x?unsigned=1&jpeg=2", "jpeg=2 is wrong: give 0 or 1"),
        ("http://h/x?unsigned=1&ca=/x", "ca= goes with TLS: write https://"),
        ("https://.h/x?unsigned=1", "there can be no host of that name"),
    ],
)
def test_a_mistake_in_the_url_is_one_line(url: str, wrong: str) -> None:
    with Scope("wrong") as scope, pytest.raises(ConfigError) as error:
        WebhookCarrier(scope, parse(url), Noted())
    assert wrong in str(error.value)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1080", "http://127.0.0.1:port"])
def test_a_proxy_that_cannot_be_asked_is_told_at_once(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    with Scope("wrong") as scope, pytest.raises(ConfigError, match="http_proxy in the environment names no"):
        WebhookCarrier(scope, parse("http://elsewhere.invalid/?unsigned=1"), Noted())


def test_a_secret_that_stands_in_the_url_is_refused() -> None:
    check_placed("https://h/x?secret={HOOK_SECRET}")
    for url in (f"https://h/x?secret={SECRET}", f"https://h/x?secret={SECRET.replace('_', '%5F')}"):
        with pytest.raises(ConfigError, match=r"write secret=\{NAME\}") as error:
            check_placed(url)
        assert "MfKQ" not in str(error.value)


def test_no_secret_shows_in_what_is_said_of_a_carrier() -> None:
    address = parse(f"https://edge:hunter2@h/token?secret={SECRET}")
    from nodes.collect.forwarding.endpoint import endpoint_of

    said = repr(address) + repr(endpoint_of(address))
    assert not [word for word in ("hunter2", "MfKQ", "31f290f6") if word in said]
