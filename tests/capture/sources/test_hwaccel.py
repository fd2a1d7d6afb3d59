"""Hardware decoding on whatever machine this is: with a device, and without one."""

from pathlib import Path

import numpy as np
import pytest

from mesh import codec
from mesh.errors import ConfigError, SourceRefused
from nodes.capture.sources import hwaccel
from tests.capture.sources.support import grabs, jpegs
from tests.capture.sources.test_file import write_mjpeg, write_video
from tests.e2e.site import Site


@pytest.fixture
def video(tmp_path: Path) -> Path:
    write_video(tmp_path / "a.mkv", "libx264", "yuv420p", 8, (320, 240))
    return tmp_path / "a.mkv"


@pytest.fixture
def kind() -> str:
    """A kind of device that FFmpeg could use, had this machine one."""
    missing = [kind for kind in hwaccel.kinds() if hwaccel.trouble(kind)]
    if not missing:
        pytest.skip("every kind of device that this FFmpeg can use opens here")
    return missing[0]


def test_what_this_ffmpeg_cannot_use_is_refused_with_what_it_can() -> None:
    for name in ("none", "auto", *hwaccel.kinds()):
        hwaccel.check_hwaccel(name)
    with pytest.raises(ConfigError, match=r"--hwaccel 'magic' is none .*: use none, auto"):
        hwaccel.check_hwaccel("magic")


def test_auto_gives_the_pictures_that_software_gives(video: Path) -> None:
    plain, auto = (grabs(str(video), hwaccel=name) for name in ("none", "auto"))
    assert len(plain) == len(auto) == 8
    for one, other in zip(plain, auto, strict=True):
        assert one.pts_ns == other.pts_ns
        images = [codec.decode_bgr(grab.jpeg(95), 320, 240).astype(int) for grab in (one, other)]
        assert np.abs(images[0] - images[1]).mean() < 2


def test_a_device_that_is_not_there_is_refused_in_a_line_that_says_what_is(video: Path, kind: str) -> None:
    with pytest.raises(SourceRefused, match=rf"a\.mkv: no {kind} device opens here .*--hwaccel auto or none"):
        grabs(str(video), hwaccel=kind)


def test_an_accelerator_is_what_a_device_opens_for() -> None:
    assert hwaccel.accelerator("none", "door") is None
    opening = [kind for kind in hwaccel.kinds() if not hwaccel.trouble(kind)]
    assert (hwaccel.accelerator("auto", "door") is not None) == bool(opening)


def test_jpegs_pass_through_whatever_decodes(tmp_path: Path) -> None:
    pictures = jpegs(5)
    write_mjpeg(tmp_path / "a.mkv", pictures)
    assert [grab.jpeg(10) for grab in grabs(str(tmp_path / "a.mkv"), hwaccel="auto")] == pictures


def test_a_named_device_must_take_the_stream(tmp_path: Path) -> None:
    opening = [kind for kind in hwaccel.kinds() if not hwaccel.trouble(kind)]
    if not opening:
        pytest.skip("no device opens here")
    write_video(tmp_path / "a.mkv", "ffv1", "yuv420p", 2)
    with pytest.raises(SourceRefused, match=f"{opening[0]} does not decode ffv1"):
        grabs(str(tmp_path / "a.mkv"), hwaccel=opening[0])


def test_a_node_falls_back_and_says_so_once(video: Path, tmp_path: Path) -> None:
    with Site(tmp_path / "site") as site:
        cameras = [f"{name}={video}" for name in ("a", "b")]
        node = site.capture(*cameras, options=("--hwaccel", "auto", "--pace", "realtime"))
        assert node.wait() == 0
        assert node.log.count("hardware decoding: ") == 1
        where = "hardware" if any(not hwaccel.trouble(kind) for kind in hwaccel.kinds()) else "software"
        assert node.log.count(f"h264 is decoded in {where}") == 2
        assert node.log.count("has ended after 8 frames") == 2


def test_a_node_whose_device_is_not_there_fails_with_a_line_for_each_camera(
    video: Path, tmp_path: Path, kind: str
) -> None:
    with Site(tmp_path / "site") as site:
        node = site.capture(f"a={video}", f"b={video}", options=("--hwaccel", kind))
        assert node.wait() == 1
        for name in ("a", "b"):
            assert node.log.count(f"camera {name} has failed: {video}: no {kind} device opens here") == 1
        assert "Traceback" not in node.log
