"""MJPEG over HTTP, against a real server; and every way in which opening goes wrong."""

import base64
import http.server
import socket
import threading
from contextlib import suppress
from itertools import islice
from typing import Any

import pytest

from mesh.errors import SourceError, SourceRefused
from mesh.scope import Scope
from nodes.capture.sources.base import SourceOptions
from nodes.capture.sources.catalog import open_source
from tests.capture.sources.support import CLIP, DEADLINE_S, grabs, jpegs, needs_clip, set_on_exit
from tests.support.mjpeg_server import MjpegServer


def test_pictures_pass_through_untouched() -> None:
    sent = jpegs(5)
    with MjpegServer(sent) as server:
        source = open_source(server.url)
        got = list(islice(source, 10))
        source.close()
    assert (source.live, source.codec) == (True, "mjpeg")
    assert [grab.jpeg(1) for grab in got] == sent + sent
    assert {grab.pts_ns for grab in got} == {None}  # the stream carries no times


def test_silence_is_a_stall() -> None:
    with (
        MjpegServer(jpegs(3), stall_after=3) as server,
        pytest.raises(SourceError, match=r"no frame for 0\.5 s"),
    ):
        grabs(server.url, stall_s=0.5)


def test_silence_from_the_start_is_a_stall() -> None:
    with (
        MjpegServer(jpegs(3), stall_after=0) as server,
        pytest.raises(SourceError, match=r"no frame for 0\.5 s"),
    ):
        grabs(server.url, stall_s=0.5)


def test_the_servers_end_is_an_error() -> None:
    with MjpegServer(jpegs(3), close_after=3) as server:
        source = open_source(server.url)
        pictures = iter(source)
        assert [grab.jpeg(1) for grab in islice(pictures, 2)] == jpegs(2)
        with pytest.raises(SourceError, match="ended"):
            list(pictures)


@pytest.mark.parametrize(("status", "refused"), [(401, True), (403, True), (404, True), (503, False)])
def test_http_errors(status: int, refused: bool) -> None:
    with MjpegServer(jpegs(1), status=status) as server, pytest.raises(SourceError) as error:
        open_source(server.url_as("u", "hunter2"))
    assert isinstance(error.value, SourceRefused) == refused
    assert "hunter2" not in str(error.value)


def test_an_odd_password_reaches_the_server_as_it_is() -> None:
    wanted = "Basic " + base64.b64encode(b"u:p@s%s:x").decode()
    with MjpegServer(jpegs(1), authorization=wanted) as server:
        assert len(grabs(server.url_as("u", "p@s%s:x"), 1)) == 1


def test_nobody_there() -> None:
    with socket.socket() as reserved:  # bound, not listening: connections are refused
        reserved.bind(("127.0.0.1", 0))
        with pytest.raises(SourceError, match="refused the connection") as error:
            open_source(f"http://u:hunter2@127.0.0.1:{reserved.getsockname()[1]}/")
    assert not isinstance(error.value, SourceRefused)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
@pytest.mark.parametrize("host", ["no-such-camera.invalid", "a" * 64 + ".invalid"])
def test_an_unknown_host(scheme: str, host: str) -> None:
    with pytest.raises(SourceError, match=f"unknown host {host}"):
        open_source(f"{scheme}://{host}/video")


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_stop_ends_an_opening_that_blocks(scheme: str) -> None:
    stop, done = threading.Event(), threading.Event()
    said: list[str] = []

    def open_it(url: str) -> None:
        with pytest.raises(SourceError) as error:
            open_source(url, SourceOptions(stall_s=10 * DEADLINE_S, stop=stop))
        said.append(str(error.value))
        done.set()

    with socket.create_server(("127.0.0.1", 0)) as silent, Scope("test") as scope, set_on_exit(stop):
        scope.spawn("open", open_it, f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/video")
        connection, _ = silent.accept()
        with connection:  # held open and silent until the opening has ended
            assert connection.recv(1)
            stop.set()
            assert done.wait(DEADLINE_S)
    assert "stopped while it was being opened" in said[0]


@needs_clip
def test_a_file_behind_http_is_not_live() -> None:
    class Files(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, directory=str(CLIP.parent), **kwargs)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

        def copyfile(self, source: Any, outputfile: Any) -> None:
            with suppress(ConnectionError):  # the reader has seen enough
                super().copyfile(source, outputfile)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files)
    server.daemon_threads = False
    with server, Scope("files") as scope:
        scope.on_stop(server.shutdown)
        scope.spawn("serve", server.serve_forever)
        source = open_source(f"http://127.0.0.1:{server.server_address[1]}/{CLIP.name}")
        got = list(islice(source, 3))
        source.close()
    assert (source.live, source.fps) == (False, 10.0)
    assert [grab.pts_ns for grab in got] == [0, 100_000_000, 200_000_000]
