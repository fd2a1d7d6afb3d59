"""What scripts hold: subscriptions that end, fail or are left by their readers, without other processes."""

import asyncio
import gc
import secrets
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

import mesh
from mesh.client import Subscription
from mesh.errors import WireError
from mesh.frame import Detection, EndOfStream
from mesh.subscription import check_endpoint
from mesh.transport import Publisher
from tests.support.clock import ManualClock
from tests.support.frames import jpeg_frame, picture
from tests.support.waiting import wait_for


@pytest.fixture
def out() -> Iterator[mesh.Publication]:
    with mesh.publish("tcp://127.0.0.1:*", "raw", "door") as out:
        yield out


class BreakingClock(ManualClock):
    """A clock that can be broken: whoever reads it then fails."""

    broken = False

    def wall_ns(self) -> int:
        if self.broken:
            raise OSError("the clock is broken")
        return super().wall_ns()


def running(what: str) -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(what)]


async def consume(frames: Subscription) -> None:
    async for _ in frames:
        pass


async def cancelled(frames: Subscription) -> None:
    """Wait for a frame, and be cancelled while waiting."""
    task = asyncio.create_task(consume(frames))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_reader_that_was_cancelled_does_not_harm_the_next(out: mesh.Publication) -> None:
    frames = mesh.subscribe(out.endpoint, "raw", "door")
    with frames:
        asyncio.run(cancelled(frames))
        wait_for(lambda: out.listened_to)
        sent = out.send(picture())
        frame = frames.get(30)
        assert frame is not None
        assert frame.identity == sent.identity
        asyncio.run(cancelled(frames))
    assert not running("subscribe raw/door")


def test_a_reader_whose_loop_was_closed_under_it_does_not_harm_the_next(out: mesh.Publication) -> None:
    loop = asyncio.new_event_loop()
    with mesh.subscribe(out.endpoint, "raw", "door") as frames:
        waiting = loop.create_task(consume(frames))
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        wait_for(lambda: out.listened_to)
        out.send(picture())
        assert frames.get(30) is not None
    assert not waiting.done()
    waiting._log_destroy_pending = False  # type: ignore[attr-defined]  # it was left on purpose


def test_a_script_that_gave_up_waiting_exits(out: mesh.Publication) -> None:
    script = f"""
import asyncio, mesh
async def consume(frames):
    async for frame in frames:
        pass
frames = mesh.subscribe({out.endpoint!r}, "raw", "door")
try:
    asyncio.run(asyncio.wait_for(consume(frames), 0.1))
except TimeoutError:
    frames.close()
    print("closed")
"""
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "closed\n", "")


@pytest.mark.parametrize("read", ["get", "for", "async for"])
def test_a_subscription_that_fails_says_so_to_whoever_waits(out: mesh.Publication, read: str) -> None:
    clock = BreakingClock()
    frames = Subscription("raw", "door", endpoint=out.endpoint, clock=clock)
    raised: list[BaseException] = []

    def wait() -> None:
        try:
            match read:
                case "get":
                    frames.get()
                case "for":
                    next(iter(frames))
                case _:
                    asyncio.run(consume(frames))
        except OSError as error:
            raised.append(error)

    reader = threading.Thread(target=wait)
    reader.start()
    try:
        wait_for(lambda: out.listened_to)
        clock.broken = True
        wait_for(lambda: out.send(picture()) and raised, "the reader is told")
    finally:
        frames.close()  # it has been told, so this raises nothing
        reader.join()
    assert str(raised[0]) == "the clock is broken"


def test_closing_tells_a_failure_that_nobody_was_told_of(out: mesh.Publication) -> None:
    clock = BreakingClock()
    frames = Subscription("raw", "door", endpoint=out.endpoint, clock=clock)
    wait_for(lambda: out.listened_to)
    clock.broken = True
    out.send(picture())
    wait_for(lambda: not running("subscribe raw/door"), "its thread has ended")
    with pytest.raises(OSError, match="the clock is broken"):
        frames.close()
    frames.close()


@pytest.mark.parametrize(
    "endpoint",
    [
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:",
        "tcp://127.0.0.1:0",
        "tcp://127.0.0.1:*",
        "tcp://127.0.0.1:70000",
        "tcp://127.0.0.1:5000\n",
        "tcp://:5000",
        "tcp://[::z]:5000",
        "tcp://gate:5000/raw",
        "127.0.0.1:5000",
        "http://127.0.0.1:5000",
        "ipc://",
        "",
    ],
)
def test_a_malformed_endpoint_is_one_clear_error_at_once(endpoint: str) -> None:
    with pytest.raises(mesh.ConfigError, match=r"is no publisher's address: use tcp://HOST:PORT$"):
        mesh.subscribe(endpoint)
    assert not running("subscribe")


@pytest.mark.parametrize("endpoint", ["tcp://gate-1.example:5000", "tcp://[::1]:65535", "ipc:///tmp/a.sock"])
def test_what_can_be_connected_to_is_an_endpoint(endpoint: str) -> None:
    assert check_endpoint(endpoint) == endpoint


@pytest.mark.parametrize("option", ["policy", "view"])
def test_an_option_that_is_none_is_refused_and_leaves_no_thread(option: str) -> None:
    with pytest.raises(mesh.ConfigError, match=f"{option} 'bogus' is none of "):
        mesh.subscribe("tcp://127.0.0.1:5000", **{option: "bogus"})  # type: ignore[arg-type]
    assert not running("subscribe")


def test_a_lossless_stream_waits_for_a_script_that_has_no_registry() -> None:
    publisher = Publisher("pub-1")
    publisher.lossless("raw", "door", hold=True)
    stop = threading.Event()
    small = replace(jpeg_frame(size=16), lossless=True)

    def publish() -> None:
        for seq in range(600):
            if not publisher.publish(replace(small, seq=seq), stop):
                return
        publisher.end(EndOfStream("door", 7, 600, lossless=True), stop)

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        with mesh.subscribe(publisher.endpoint, "raw", "door", policy="lossless", until_end=True) as frames:
            first = frames.get(30)
            assert first is not None, "the script is a consumer"
            assert [first.seq, *(frame.seq for frame in frames)] == list(range(600))
            (count,) = frames.counts()
            assert (count.processed, count.lost, dict(count.dropped)) == (600, 0, {})
    finally:
        stop.set()
        thread.join()
        publisher.close(flush=False)


def test_lossless_without_a_registry_names_its_camera() -> None:
    with pytest.raises(mesh.ConfigError, match="needs the camera named here, or a registry"):
        mesh.subscribe("tcp://127.0.0.1:5000", "raw", policy="lossless")
    assert not running("subscribe")


def test_a_mesh_does_not_keep_what_was_closed() -> None:
    with mesh.connect(f"memory:{secrets.token_hex(4)}") as m:
        closed = []
        for _ in range(3):
            with m.subscribe("raw", "door") as frames:
                closed.append(weakref.ref(frames))
        with m.subscribe("raw", "door") as frames:
            gc.collect()
            assert [ref() for ref in closed] == [None] * 3


def test_a_mesh_closes_a_subscription_that_has_ended() -> None:
    with mesh.connect(f"memory:{secrets.token_hex(4)}") as m:
        with m.publish("raw", "brief") as out:
            frames = m.subscribe("raw", "brief", policy="fifo", until_end=True)
            wait_for(lambda: out.listened_to)
            sent = out.send(picture())
        assert [frame.identity for frame in frames] == [sent.identity]
    assert frames.closed
    assert not running("subscribe raw/brief")


def test_a_frame_that_cannot_be_packed_is_no_loss_on_the_link() -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    unpackable = Detection("x", np.float32(0.5), (0.0, 0.0, 1.0, 1.0))  # type: ignore[arg-type]
    with (
        mesh.publish("tcp://127.0.0.1:*", "raw", "cam") as out,
        mesh.subscribe(out.endpoint, "raw", "cam", policy="fifo") as subscription,
    ):
        wait_for(lambda: out.listened_to, "somebody listens")
        out.send(image)
        with pytest.raises(WireError):
            out.send(image, detections=[unpackable])
        out.send(image)
        assert [frame.seq for frame in (subscription.get(30), subscription.get(30)) if frame] == [0, 1]
        assert [count.lost for count in subscription.counts()] == [0]
