"""Cameras of this machine: what FFmpeg is asked for, and what is said of one that is missing.

No camera is needed: what a real one sends (JPEGs without Huffman tables) is tested with the files.
"""

import sys

import pytest

from mesh.errors import ConfigError, SourceError, SourceRefused
from nodes.capture.sources.catalog import open_source
from nodes.capture.sources.device import Device, parse, target


def test_linux() -> None:
    asked = target(parse_on_linux("device:2?size=1280x720&fps=29.97&format=mjpeg"), "shown", "linux")
    assert (asked.url, asked.format) == ("/dev/video2", "v4l2")
    assert asked.options == {
        "fflags": "+4",
        "video_size": "1280x720",
        "framerate": "29.97",
        "input_format": "mjpeg",
    }


def test_a_path_names_a_camera_that_keeps_its_name() -> None:
    by_id = "/dev/v4l/by-id/usb-camera-index0"
    assert target(Device(by_id), "shown", "linux").url == by_id
    assert target(Device("video3"), "shown", "linux").url == "/dev/video3"


def test_macos_and_windows() -> None:
    mac = target(Device("0", format="yuyv422"), "shown", "darwin")
    assert (mac.url, mac.format, mac.options["pixel_format"]) == ("0:none", "avfoundation", "yuyv422")
    windows = target(Device("USB Camera", format="mjpeg"), "shown", "win32")
    assert (windows.url, windows.format, windows.options["vcodec"]) == ("video=USB Camera", "dshow", "mjpeg")
    with pytest.raises(ConfigError, match="USB Camera"):
        target(Device("0"), "device:0", "win32")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="V4L2 is Linux's")
def test_a_missing_camera_may_come_back() -> None:
    with pytest.raises(SourceError, match="is it plugged in") as error:
        open_source("device:9999")
    assert not isinstance(error.value, SourceRefused)


def parse_on_linux(url: str) -> Device:
    device = parse(url)
    assert device.size == (1280, 720)
    return device
