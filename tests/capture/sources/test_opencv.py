"""What OpenCV opens, in its child process."""

import os
import select
import signal
import socket
import subprocess
import sys
import threading
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from mesh import codec
from mesh.errors import SourceError
from mesh.scope import Scope
from nodes.capture.sources.base import SourceOptions
from nodes.capture.sources.catalog import open_source
from nodes.capture.sources.opencv import OpenCvSource
from nodes.capture.sources.opencv_child import Slot
from tests.capture.sources.support import DEADLINE_S, ROOT, grabs, jpegs, picture, set_on_exit
from tests.capture.sources.test_file import write_video
from tests.support.clock import ManualClock
from tests.support.mjpeg_server import MjpegServer

LIVES_ON = """
import sys
from nodes.capture.sources.catalog import open_source
from nodes.capture.sources.base import SourceOptions
source = open_source(sys.argv[1], SourceOptions(loop=True))
pictures = iter(source)  # kept: a reading that is dropped ends its child
next(pictures)
print(source.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def video(tmp_path: Path) -> str:
    """An expression for a video of 20 pictures."""
    write_video(tmp_path / "a.mkv", "libx264", "yuv420p")
    return f"opencv:{tmp_path / 'a.mkv'}"


def test_every_picture_of_a_file_arrives(video: str) -> None:
    source = open_source(video)
    assert (source.live, source.fps) == (False, 10.0)
    got = list(source)
    assert [grab.pts_ns for grab in got] == [k * 100_000_000 for k in range(20)]
    assert {codec.jpeg_size(grab.jpeg(80)) for grab in got} == {(64, 48)}
    assert codec.jpeg_size(got[0].jpeg(80, (32, 24))) == (32, 24)
    assert all(grab.has_pixels for grab in got)
    for k, grab in enumerate(got):
        pixels = np.empty((48, 64, 3), np.uint8)
        grab.draw(pixels)
        assert np.abs(pixels.astype(int) - picture(k)).mean() < 6


def test_looping_goes_on_rising(video: str) -> None:
    got = grabs(video, 45, loop=True)
    assert [grab.pts_ns for grab in got] == [k * 100_000_000 for k in range(45)]


def test_a_live_source_is_read_without_times() -> None:
    with MjpegServer(jpegs(5)) as server:
        source = open_source(f"opencv:{server.url}")
        got = list(islice(source, 10))
        source.close()
    assert source.live
    assert {(grab.width, grab.height, grab.pts_ns) for grab in got} == {(64, 48, None)}


def test_of_a_live_source_the_freshest_is_sent() -> None:
    slot = Slot()
    for k in range(3):
        slot.put((picture(k), k))
    slot.ask(2)
    assert taken(slot) == 2
    slot.put((picture(3), 3))
    slot.end("gone")
    slot.ask(1)
    assert taken(slot) == 3
    assert slot.take() == "gone"


def test_of_any_other_every_picture_is_sent() -> None:
    slot = Slot()
    slot.live = False

    def put_all() -> None:
        for k in range(20):
            slot.put((picture(k), k))

    with Scope("test") as scope:
        scope.spawn("put", put_all)
        slot.ask(20)
        assert [taken(slot) for _ in range(20)] == list(range(20))


def taken(slot: Slot) -> int:
    """The mark of the next picture."""
    given = slot.take()
    assert not isinstance(given, str)
    return given[1]


def test_what_opencv_cannot_open() -> None:
    with pytest.raises(SourceError, match="OpenCV cannot open it") as error:
        open_source("opencv:rtspsrc location=rtsp://u:hunter2@127.0.0.1:9/x ! nothing")
    assert "hunter2" not in str(error.value)


def test_close_reaps_the_child(video: str) -> None:
    source = open_source(video)
    assert isinstance(source, OpenCvSource)
    pictures = iter(source)
    next(pictures)
    source.close()
    assert list(pictures) == []
    with pytest.raises(ProcessLookupError):
        os.kill(source.pid, 0)
    source.close()


def test_a_child_that_is_killed_is_an_error(video: str) -> None:
    source = open_source(video, SourceOptions(loop=True))
    assert isinstance(source, OpenCvSource)
    pictures = iter(source)
    next(pictures)
    os.kill(source.pid, signal.SIGKILL)
    with pytest.raises(SourceError, match="ended by itself"):
        list(islice(pictures, 100))


class Hurrying(ManualClock):
    """It stands until it is told to hurry: then a second passes with each look at it."""

    hurries = False

    def monotonic(self) -> float:
        self.advance(float(self.hurries))
        return super().monotonic()


def test_a_child_that_hangs_has_stalled(video: str) -> None:
    clock = Hurrying()
    source = open_source(video, SourceOptions(loop=True, stall_s=2, clock=clock))
    assert isinstance(source, OpenCvSource)
    pictures = iter(source)
    next(pictures)
    os.kill(source.pid, signal.SIGSTOP)
    clock.hurries = True
    with pytest.raises(SourceError, match=r"no frame for 2 s"):
        list(islice(pictures, 100))
    with pytest.raises(ProcessLookupError):
        os.kill(source.pid, 0)


def test_a_camera_that_accepts_and_stays_silent_has_stalled() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"opencv:http://u:hunter2@127.0.0.1:{silent.getsockname()[1]}/video"
        with pytest.raises(SourceError, match="gave no frame for 2 s") as error:
            open_source(url, SourceOptions(stall_s=2))
    assert "hunter2" not in str(error.value)


def test_stop_ends_an_opening_that_blocks() -> None:
    stop, done = threading.Event(), threading.Event()
    said: list[str] = []

    def open_it(url: str) -> None:
        with pytest.raises(SourceError) as error:
            open_source(url, SourceOptions(stall_s=10 * DEADLINE_S, stop=stop))
        said.append(str(error.value))
        done.set()

    with socket.create_server(("127.0.0.1", 0)) as silent, Scope("test") as scope, set_on_exit(stop):
        scope.spawn("open", open_it, f"opencv:http://127.0.0.1:{silent.getsockname()[1]}/video")
        connection, _ = silent.accept()
        with connection:  # held open and silent until the opening has ended
            stop.set()
            assert done.wait(DEADLINE_S)
    assert "stopped" in said[0]


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="watching a process that is not ours needs Linux")
def test_the_child_dies_with_its_parent(video: str) -> None:
    command = [sys.executable, "-c", LIVES_ON, video]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        gone = os.pidfd_open(child)
        parent.kill()
    try:
        assert wait_for_end(gone), "the child outlived its parent"
    finally:
        os.close(gone)


def wait_for_end(pidfd: int) -> bool:
    """Whether the process behind `pidfd` ends before the deadline."""
    return bool(select.select([pidfd], [], [], DEADLINE_S)[0])
