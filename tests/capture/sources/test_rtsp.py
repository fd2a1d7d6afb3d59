"""RTSP, against a real server in a process of its own."""

import os
import signal
import threading
from collections.abc import Iterator
from itertools import islice

import pytest

from mesh import codec
from mesh.errors import SourceError, SourceRefused
from mesh.scope import Scope
from nodes.capture.sources.base import SourceOptions
from nodes.capture.sources.catalog import open_source
from tests.capture.sources.support import DEADLINE_S, grabs, set_on_exit
from tests.support.rtsp_server import FPS, HEIGHT, PASSWORD, USER, WIDTH, RtspServer, unavailable

SILENT_S = 1.5  # in which it can be opened on a busy machine

pytestmark = pytest.mark.skipif(bool(unavailable()), reason=unavailable() or "available")


@pytest.fixture
def server() -> Iterator[RtspServer]:
    with RtspServer() as running:
        yield running


@pytest.mark.parametrize(("mount", "name"), [("h264", "h264"), ("mjpeg", "mjpeg")])
def test_pictures_arrive(server: RtspServer, mount: str, name: str) -> None:
    source = open_source(server.url(mount))
    got = list(islice(source, 10))
    source.close()
    assert (source.live, source.codec, source.fps) == (True, name, FPS)
    assert {codec.jpeg_size(grab.jpeg(80)) for grab in got} == {(WIDTH, HEIGHT)}
    times = [grab.pts_ns for grab in got if grab.pts_ns is not None]
    assert len(times) >= 9
    assert times == sorted(set(times))


def test_the_right_password_opens_and_a_wrong_one_is_refused_unseen(server: RtspServer) -> None:
    assert len(grabs(server.url("secret", USER, PASSWORD), 2)) == 2
    for url in (server.url("secret", USER, "hunter2"), server.url("secret")):
        with pytest.raises(SourceRefused, match="401") as refused:
            open_source(url)
        assert "hunter2" not in str(refused.value)


def test_a_wrong_path_is_refused(server: RtspServer) -> None:
    with pytest.raises(SourceRefused, match="404"):
        open_source(server.url("nowhere"))


def test_a_server_that_is_killed_breaks_off_and_can_be_opened_again(server: RtspServer) -> None:
    source = open_source(server.url("h264"))
    pictures = iter(source)
    next(pictures)
    server.kill()
    with pytest.raises(SourceError, match=r"rtsp://127\.0\.0\.1"):
        list(pictures)
    with pytest.raises(SourceError, match="refused the connection"):
        open_source(server.url("h264"))
    server.start()
    assert len(grabs(server.url("h264"), 2)) == 2


def test_a_server_that_falls_silent_has_stalled(server: RtspServer) -> None:
    source = open_source(server.url("h264"), SourceOptions(stall_s=SILENT_S))
    pictures = iter(source)
    next(pictures)
    with frozen(server), pytest.raises(SourceError, match=r"gave no frame for 1\.5 s"):
        list(pictures)
    source.close()


@pytest.mark.parametrize("how", ["stop", "close"])
def test_stop_and_close_end_a_read_that_blocks(server: RtspServer, how: str) -> None:
    stop, came, ended = threading.Event(), threading.Event(), threading.Event()
    # A stall time beyond the deadline: only the interrupt can end this read in time.
    source = open_source(server.url("h264"), SourceOptions(stall_s=10 * DEADLINE_S, stop=stop))

    def read() -> None:
        for _ in source:
            came.set()
        ended.set()

    with Scope("test") as scope, set_on_exit(stop):
        scope.spawn("read", read)
        assert came.wait(DEADLINE_S)
        with frozen(server):
            while came.wait(0.3):  # until nothing more is on its way, and the read blocks
                came.clear()
            stop.set() if how == "stop" else source.close()
            assert ended.wait(DEADLINE_S)
    source.close()


class frozen:
    """The server's process stopped, its connections open: what a camera that hangs looks like."""

    def __init__(self, server: RtspServer) -> None:
        self._pid = server.pid

    def __enter__(self) -> None:
        os.kill(self._pid, signal.SIGSTOP)

    def __exit__(self, *_: object) -> None:
        os.kill(self._pid, signal.SIGCONT)
