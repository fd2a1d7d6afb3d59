"""Cameras from files: our own tables, and what Frigate and MediaMTX have."""

from pathlib import Path

import pytest

from mesh.errors import ConfigError
from mesh.importing import Imported, read_cameras

DOOR = {"url": "rtsp://192.0.2.7/door", "fps": 5, "stall_s": 3}

FRIGATE = """
mqtt: {enabled: false}
cameras:
  Front_Door:
    ffmpeg:
      inputs:
        - path: rtsp://viewer:{FRIGATE_RTSP_PASSWORD}@192.0.2.7/low
          roles: [detect]
        - path: rtsp://viewer:{FRIGATE_RTSP_PASSWORD}@192.0.2.7/high
          roles: [record]
    detect: {width: 640, height: 360, fps: 5}
  garage:
    enabled: false
    ffmpeg: {inputs: [{path: "rtsp://192.0.2.8/x", roles: [detect]}]}
  empty:
    ffmpeg: {inputs: []}
"""

MEDIAMTX = """
rtspAddress: :8554
paths:
  gate:
    source: rtsp://192.0.2.9/gate
    sourceOnDemand: yes
  site/yard:
    source: http://192.0.2.9/yard.mjpg
  pushed:
    source: publisher
  bare:
  all_others:
"""


def _read(tmp_path: Path, name: str, text: str) -> Imported:
    path = tmp_path / name
    path.write_text(text)
    return read_cameras(path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.toml", '[cameras.door]\nurl = "rtsp://192.0.2.7/door"\nfps = 5\nstall = 3\n'),
        ("c.json", '{"cameras": {"door": {"url": "rtsp://192.0.2.7/door", "fps": 5, "stall": 3}}}'),
        ("c.json", '[{"name": "door", "url": "rtsp://192.0.2.7/door", "fps": 5, "stall_s": 3}]'),
        ("c.yml", "cameras:\n  door: {url: 'rtsp://192.0.2.7/door', fps: 5, stall: 3}\n"),
    ],
)
def test_our_own_tables(tmp_path: Path, name: str, text: str) -> None:
    assert _read(tmp_path, name, text) == Imported({"door": DOOR})


def test_csv_with_a_header_and_empty_cells(tmp_path: Path) -> None:
    text = "\ufeffname, url, fps, enabled\ndoor, rtsp://192.0.2.7/door, 5,\ngate, device:0,, no\n"
    assert _read(tmp_path, "c.csv", text).cameras == {
        "door": {"url": "rtsp://192.0.2.7/door", "fps": "5"},
        "gate": {"url": "device:0", "enabled": "no"},
    }


def test_frigate(tmp_path: Path) -> None:
    found = _read(tmp_path, "config.yml", FRIGATE)
    assert found.cameras == {
        "front_door": {"url": "rtsp://viewer:{FRIGATE_RTSP_PASSWORD}@192.0.2.7/high", "enabled": True},
        "garage": {"url": "rtsp://192.0.2.8/x", "enabled": False},
    }
    assert found.left_out == ("empty: it has no input",)


def test_mediamtx(tmp_path: Path) -> None:
    found = _read(tmp_path, "mediamtx.yml", MEDIAMTX)
    assert found.cameras == {
        "gate": {"url": "rtsp://192.0.2.9/gate"},
        "site-yard": {"url": "http://192.0.2.9/yard.mjpg"},
    }
    assert [text.split(":")[0] for text in found.left_out] == ["pushed", "bare", "all_others"]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("c.toml", "[cameras.door]\nfps = 5\n", "camera 'door' has no url"),
        ("c.toml", "[cameras\n", "cannot be read"),
        ("c.toml", "a = 1\n", "it has no table `cameras`"),
        ("c.toml", "[cameras]\n", "it holds no camera"),
        ("c.json", "{", "cannot be read"),
        ("c.json", '["door"]', "is not a table of options"),
        ("c.json", '[{"name": "a", "url": "x"}, {"name": "a", "url": "y"}]', "stands in it twice"),
        ("c.json", "[" * 100_000, "nested too deeply"),
        ("c.yml", "a: [", "cannot be read"),
        ("c.yml", "cameras: {door: {ffmpeg: }}", "it holds no camera"),
        ("c.yml", "cameras: {door: {ffmpeg: {inputs: 5}}}", "it holds no camera"),
        ("c.yml", "cameras: {door: {ffmpeg: {inputs: [{roles: 5}]}}}", "camera 'door' has no url"),
        ("c.csv", "camera,address\n", "name and url among them"),
        ("c.csv", "name,url\na,b,c\n", "more values than columns"),
        ("c.txt", "", "give a .toml"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, name: str, text: str, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        _read(tmp_path, name, text)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_cameras(tmp_path / "none.toml")
