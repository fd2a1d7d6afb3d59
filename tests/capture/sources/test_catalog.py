"""URLs are checked before anything is opened."""

import pytest

from mesh.errors import ConfigError
from nodes.capture.sources.catalog import CATALOG, check_source, open_source
from nodes.capture.sources.urls import network_url


@pytest.mark.parametrize(
    "url",
    [
        "clip.mp4",
        "./movie:part1.mp4",
        "/data/clip.mkv",
        "file:///data/a%20clip.mp4",
        "C:\\clips\\a.mp4",
        "rtsp://cam/live",
        "rtsps://u:p@cam:322/live?channel=1",
        "http://[::1]:8080/video",
        "https://u:p%40q@cam/video?x=1",
        "device:0",
        "images:/data/pictures?fps=2.5",
        "synthetic:",
        "synthetic:?size=320x240&fps=10&objects=0&seed=7&frames=9&noise=0&codes=1",
        "opencv:0",
        "opencv:videotestsrc ! appsink",
    ],
)
def test_what_is_right_passes_unopened(url: str) -> None:
    check_source(url)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("rtps://u:hunter2@cam/live", "rtsp://user:password@host/path"),
        ("admin:hunter2@cam/live", "no such kind of source"),
        ("rtsp:cam", "names no host"),
        ("rtsp:///live", "names no host"),
        ("rtsp://cam:port/live", "host or port"),
        ("rtsp://cam:99999/live", "host or port"),
        ("rtsp://u:hun/ter2@cam/live", "%2F"),
        ("http://cam/a b", "%20"),
        ("file://other/clip.mp4", "on this machine"),
        ("", "names no file"),
        ("device:", "names no camera"),
        ("device:0?size=big", "WIDTHxHEIGHT"),
        ("device:0?format=h264", "mjpeg or yuyv422"),
        ("device:0?rate=3", "size, fps, format"),
        ("images:", "names no directory"),
        ("images:x?fps=0", "a number from"),
        ("images:x?fps=nan", "a number from"),
        ("synthetic:?objects=-1", "a whole number"),
        ("synthetic:640x480", "follow a '?'"),
        ("synthetic:?size=100x100&codes=1", "at least 240"),
        ("opencv:", "says nothing to open"),
    ],
)
def test_what_is_wrong_is_refused_with_what_is_right(url: str, said: str) -> None:
    with pytest.raises(ConfigError) as check:
        check_source(url)
    with pytest.raises(ConfigError):
        open_source(url)
    assert said in str(check.value)
    assert "hunter2" not in str(check.value)
    assert "ter2" not in str(check.value)
    assert "\n" not in str(check.value)


def test_an_unknown_scheme_lists_every_one() -> None:
    with pytest.raises(ConfigError) as refused:
        check_source("webcam:0")
    assert all(scheme.example in str(refused.value) for scheme in CATALOG.values())


@pytest.mark.parametrize(
    ("url", "for_ffmpeg"),
    [
        ("RTSP://u:p@cam/a?b=c@d", "rtsp://u:p@cam/a?b=c@d"),
        ("rtsp://u:p@q@cam/a", "rtsp://u:p%40q@cam/a"),
        ("rtsp://u:p%40q%@cam", "rtsp://u:p%40q%25@cam"),
        ("http://cam:80/x:y@z", "http://cam:80/x:y@z"),
    ],
)
def test_credentials_are_encoded_for_ffmpeg(url: str, for_ffmpeg: str) -> None:
    assert network_url(url) == for_ffmpeg
