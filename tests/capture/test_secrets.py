"""Passwords of cameras: where they may stand, and what fills them in."""

from pathlib import Path

import pytest

from mesh.errors import ConfigError
from nodes.capture.passwords import check_kept
from nodes.secrets import Secrets, fill, has_secret, read_secrets, shown

ELSEWHERE = "tcp://192.0.2.1:7700"
PLACED = "rtsp://viewer:{DOOR_PASSWORD}@192.0.2.7/stream"


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        ("rtsp://viewer:pw@192.0.2.7/stream", True),
        ("http://192.0.2.7/mjpg?token=abc", True),
        ("rtsp://192.0.2.7/stream", False),
        ("clip.mp4", False),
        (PLACED, False),
        ("rtsp://{U}:{P}@192.0.2.7/", False),
        ("http://192.0.2.7/mjpg?token={T}", False),
        ("rtsp://viewer:half{P}@192.0.2.7/", True),
        ("rtsp://viewer:pw@192.0.2.7/?token={T}", True),
    ],
)
def test_a_password_is_told_from_a_placeholder(url: str, secret: bool) -> None:
    assert has_secret(url) is secret
    assert (shown(url) == url) is not secret


def test_placeholders_are_filled_in_percent_encoded() -> None:
    assert fill(PLACED, {"DOOR_PASSWORD": "a/b@c"}) == "rtsp://viewer:a%2Fb%40c@192.0.2.7/stream"


def test_placeholders_stand_in_what_recordings_are_forwarded_to() -> None:
    assert fill("mqtts://edge:{PW}@h/site?jpeg=1", {"PW": "p@ss"}) == "mqtts://edge:p%40ss@h/site?jpeg=1"
    assert fill("https://h/x?secret={HOOK}&only=detections", {"HOOK": "whsec_a+b="}) == (
        "https://h/x?secret=whsec_a%2Bb%3D&only=detections"
    )


def test_a_missing_secret_is_named() -> None:
    with pytest.raises(ConfigError, match="the secret DOOR_PASSWORD is not known here"):
        fill(PLACED, {"OTHER": "x"})


@pytest.mark.parametrize("url", ["rtsp://{HOST}/x", "rtsp://h/{PATH_KEY}", "http://h/x?k={K}"])
def test_a_placeholder_that_would_show_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="a placeholder can stand for"):
        fill(url, dict.fromkeys(("HOST", "PATH_KEY", "K"), "x"))


def test_an_opencv_expression_takes_no_secret_that_could_end_its_word() -> None:
    url = "opencv:rtspsrc location=x user-pw={P} ! appsink"
    assert fill(url, {"P": "abc"}) == "opencv:rtspsrc location=x user-pw=abc ! appsink"
    with pytest.raises(ConfigError, match="cannot stand in an opencv"):
        fill(url, {"P": "abc ! filesink"})


def _file(tmp_path: Path, text: str, mode: int = 0o600) -> Path:
    path = tmp_path / "secrets"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_file_goes_before_the_environment_and_is_read_anew(tmp_path: Path) -> None:
    path = _file(tmp_path, "# doors\n\nDOOR = one=1 \n")
    secrets = Secrets(path, {"DOOR": "env", "GATE": "env"})
    assert secrets.read()["DOOR"] == "one=1"
    assert secrets.read()["GATE"] == "env"
    path.write_text("DOOR=two\n")
    assert secrets.read()["DOOR"] == "two"


def test_a_file_that_others_can_read_or_that_is_wrong_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="chmod 600"):
        read_secrets(_file(tmp_path, "A=1\n", 0o640))
    with pytest.raises(ConfigError, match="line 2: write NAME=value") as refused:
        read_secrets(_file(tmp_path, "A=1\nhunter2\n"))
    assert "hunter2" not in str(refused.value)
    with pytest.raises(ConfigError, match="No such file"):
        Secrets(tmp_path / "none")


def test_a_password_is_kept_on_this_host_only() -> None:
    url = "rtsp://viewer:pw@192.0.2.7/stream"
    for here in ("tcp://127.0.0.1:7700", "tcp://localhost:7700", "tcp://[::1]:7700", "memory:x"):
        check_kept("door", url, here)
    check_kept("door", PLACED, ELSEWHERE)
    with pytest.raises(ConfigError, match=r"write \{DOOR_PASSWORD\} in its place") as refused:
        check_kept("door", url, ELSEWHERE)
    assert "pw" not in str(refused.value)
    with pytest.raises(ConfigError, match=r"write \{CAMERA_1_PASSWORD\} in its place"):
        check_kept("1", url, ELSEWHERE)


def test_a_registry_file_that_others_can_read_keeps_no_password(tmp_path: Path) -> None:
    path = tmp_path / "mesh.toml"
    check_kept("door", "rtsp://viewer:pw@192.0.2.7/", f"file:{path}")
    path.write_text("")
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        check_kept("door", "rtsp://viewer:pw@192.0.2.7/", f"file:{path}")
