"""Cameras over the network that come and go, and cameras that fail beside ones that do not."""

import socket
from pathlib import Path

import pytest

from mesh import codec
from mesh.client import Subscription
from mesh.frame import Frame
from mesh.registry.records import CameraState
from tests.capture.sources.support import picture
from tests.e2e.site import SMALL, Site
from tests.support.mjpeg_server import MjpegServer
from tests.support.rtsp_server import RtspServer, unavailable


def _next(frames: Subscription) -> Frame:
    frame = frames.get(60)
    assert frame is not None
    return frame


@pytest.mark.skipif(bool(unavailable()), reason=unavailable())
@pytest.mark.parametrize("mount", ["h264", "mjpeg"])
def test_an_rtsp_camera_that_dies_and_returns_is_the_same_stream(tmp_path: Path, mount: str) -> None:
    with Site(tmp_path, lasting=True) as site, RtspServer() as server:
        capture = site.capture(f"gate={server.url(mount)}", options=("--stall", 15))
        site.wait_camera("gate")
        with site.mesh.subscribe("raw", "gate", policy="fifo") as frames:
            first = _next(frames)
            last = first.seq
            server.kill()
            assert site.wait_camera("gate", CameraState.RECONNECTING).why
            while (frame := frames.get(0)) is not None:  # what came before it broke
                last = frame.seq
            server.start()
            after = _next(frames)
            assert site.wait_camera("gate").why == ""
            (count,) = frames.counts()
        assert (after.boot, after.seq) == (first.boot, last + 1)
        assert count.lost == 0
        assert capture.stop() == 0
        assert site.camera("gate").state is CameraState.ENDED


def test_a_cameras_own_jpegs_pass_through_untouched(tmp_path: Path) -> None:
    jpegs = [codec.encode(picture(k), 90) for k in range(7)]
    with Site(tmp_path, lasting=True) as site, MjpegServer(jpegs) as server:
        site.capture(f"gate={server.url}", options=("--stall", 60))
        site.node("process", "passthrough", "--policy", "fifo")
        site.wait_nodes("process")
        for stage in ("raw", "passthrough"):
            with site.mesh.subscribe(stage, "gate", policy="fifo") as frames:
                first = _next(frames)
                offset = jpegs.index(first.jpeg) - first.seq
                for _ in range(20):
                    frame = _next(frames)
                    assert frame.jpeg == jpegs[(frame.seq + offset) % len(jpegs)]
        assert site.camera("gate").codec == "mjpeg"


def test_one_camera_that_fails_leaves_the_others_alone(tmp_path: Path) -> None:
    missing = tmp_path / "none.mp4"
    with Site(tmp_path, lasting=True) as site, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        refused = f"http://127.0.0.1:{closed.getsockname()[1]}/x"
        capture = site.capture(f"good={SMALL}", f"missing={missing}", f"refused={refused}")
        site.wait_camera("good")
        site.wait_camera("missing", CameraState.FAILED)
        site.wait_for(lambda: site.camera("refused").why, "it is known why a camera does not answer")
        with site.mesh.subscribe("raw", "good", policy="fifo", depth=2000) as frames:
            seqs = [_next(frames).seq for _ in range(30)]
        assert seqs == list(range(seqs[0], seqs[0] + 30))
        cameras = {row["name"]: row for row in site.ls()["cameras"]}
        assert {name: row["state"] for name, row in cameras.items()} == {
            "good": "online",
            "missing": "failed",
            "refused": "connecting",
        }
        assert "no such file" in cameras["missing"]["why"]
        assert "refused the connection" in cameras["refused"]["why"]
        assert capture.stop() == 0
