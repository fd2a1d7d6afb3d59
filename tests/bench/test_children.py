"""A bench's processes: whatever becomes of them, one line says it, and none is left behind."""

import os
import signal
from pathlib import Path

import cv2
import pytest

from mesh.bench import latency, paced
from mesh.bench.children import BenchError, Children, uninterrupted, usage
from mesh.bench.pictures import Pictures
from tests.capture.sources.support import picture

SMALL = Pictures(64, 48)


def test_a_role_runs_in_a_process_of_its_own_and_returns_its_result() -> None:
    with Children() as children:
        child = children.start(
            latency.encode_and_decode, pictures=SMALL.as_options(), fps=200.0, seconds=0.01
        )
        assert child.pid != os.getpid()
        assert all(one > 0 for one in child.result()["durations_ms"])


def test_a_role_that_fails_says_why_in_one_line() -> None:
    with Children() as children:
        child = children.start(latency.encode_and_decode, pictures={"width": 64}, fps=1.0, seconds=1.0)
        with pytest.raises(
            BenchError, match=r"encode_and_decode ended with exit code 1: TypeError: .*height"
        ):
            child.result()


def test_a_process_that_is_killed_is_told_from_one_that_ends() -> None:
    with Children() as children:
        child = children.start(paced.publish, pictures=SMALL.as_options())
        child.hear()
        assert usage(child.pid).rss_kib > 1000
        child.check()
        child.send(signal.SIGKILL)
        with pytest.raises(BenchError, match="ended with exit code -9"):
            child.hear()
        with pytest.raises(BenchError, match="ended with exit code -9"):
            children.check()


def test_a_process_that_hangs_ends_when_its_time_is_up() -> None:
    with Children(limit_s=0.05) as children:
        child = children.start(paced.publish, pictures=SMALL.as_options())
        with pytest.raises(BenchError, match=r"exit code -14: it took too long"):
            child.result()


def test_ctrl_c_waits_until_a_process_that_is_being_started_is_known() -> None:
    done = []

    def start() -> None:
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
            done.append("known")

    with pytest.raises(KeyboardInterrupt):
        start()
    assert done == ["known"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_leaving_ends_every_process() -> None:
    with Children() as children:
        pid = children.start(paced.publish, pictures=SMALL.as_options()).pid
    assert not Path(f"/proc/{pid}").exists()
    with pytest.raises(BenchError, match=f"process {pid} has ended"):
        usage(pid)


def test_pictures_are_the_same_in_every_process_and_of_a_video_where_asked(tmp_path: Path) -> None:
    video = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 10, (160, 120))
    for k in range(15):
        writer.write(picture(k, 160, 120))
    writer.release()
    of_video = Pictures(64, 48, str(video)).bgr(3)
    assert [image.shape for image in of_video] == [(48, 64, 3)] * 3
    assert (of_video[0] == of_video[2]).all()  # two of fifteen, the first one again
    assert not (of_video[0] == of_video[1]).all()
    drawn, again = SMALL.bgr(2), Pictures.of(SMALL.as_options()).bgr(2)
    assert all((one == other).all() for one, other in zip(drawn, again, strict=True))
