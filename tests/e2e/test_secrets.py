"""A password in a camera's URL appears in no log, no listing, not in the registry, on the wire or on disk."""

import base64
import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from mesh import codec
from tests.capture.sources.support import picture
from tests.e2e.site import Site
from tests.support.mjpeg_server import MjpegServer

USER, PASSWORD = "viewer", "S3cret-of-the-gate"
MESSAGES = 200


def _bytes_on_the_wire(endpoints: list[str], least: bytes = b"") -> Iterator[bytes]:
    """Every part of so many messages of any topic, and of as many more until one has begun so."""
    with zmq.Context() as context, context.socket(zmq.SUB) as sub:
        sub.linger, sub.rcvtimeo = 0, 60_000
        sub.subscribe(b"")
        for endpoint in endpoints:
            sub.connect(endpoint)
        count, found = 0, False
        while count < MESSAGES or not found:
            parts = sub.recv_multipart()
            count, found = count + 1, found or parts[0].startswith(least)
            yield from parts


def _files(folder: Path) -> dict[Path, bytes]:
    """What is in all files, but those that go meanwhile."""
    found = {}
    for file in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError, IsADirectoryError):
            found[file] = file.read_bytes()
    return found


@pytest.mark.parametrize("as_json", [False, True], ids=["log lines", "--log-json"])
def test_a_password_appears_nowhere(tmp_path: Path, as_json: bool) -> None:
    login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    jpegs = [codec.encode(picture(k), 90) for k in range(3)]
    logging = ("--log-level", "debug", *(("--log-json",) if as_json else ()))
    with (
        Site(tmp_path, state=tmp_path / "state", lasting=True) as site,
        MjpegServer(jpegs, authorization=f"Basic {login}", close_after=100) as good,
        MjpegServer(jpegs, authorization="Basic bm9ib2R5") as wrong,
        MjpegServer(jpegs, status=503) as broken,
    ):
        secret = (USER, PASSWORD)
        site.capture(
            f"good={good.url_as(*secret)}",
            f"wrong={wrong.url_as(*secret)}",
            f"broken={broken.url_as(*secret)}",
            options=logging,
        )
        site.node("process", "passthrough", *logging)
        site.collect("--input", "raw", *logging)
        site.wait_recorded("good", "raw", 10)
        site.wait_recorded("good", "passthrough", 10)
        site.wait_for(lambda: site.camera("wrong").why and site.camera("broken").why, "both say why")
        endpoints = [endpoint for node in site.mesh.nodes() for endpoint in [node.endpoints["pub"]]]
        wire = b"\n".join(_bytes_on_the_wire(endpoints, b"frame/raw/good/"))
        registry = repr(site.mesh.registry.list(""))
        listing = site.run("ls").out + site.run("ls", "--json").out + site.run("stats", "--json").out
        refused = site.run(
            "node", "capture", "--camera", f"other={wrong.url_as(*secret)}", "--name", "other", *logging
        )
        assert refused.code == 1
        typo = site.run("node", "capture", "--camera", good.url_as(*secret), *logging)
        assert typo.code == 2
        kept = b"".join(_files(tmp_path).values())
    assert b"frame/raw/good/" in wire
    assert '"camera good' in kept.decode(errors="replace") or b"camera good" in kept
    assert f"{USER}:***@" in registry
    assert f"{USER}:***@" in listing
    for where, text in {"wire": wire, "registry": registry, "listing": listing, "files": kept}.items():
        data = text.encode() if isinstance(text, str) else text
        for secret_form in (PASSWORD.encode(), login.encode()):
            assert secret_form not in data, where


def test_a_configured_password_is_in_the_registrys_own_file_alone(tmp_path: Path) -> None:
    """One stands in a camera's configuration, one in the capture node's environment."""
    login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    jpegs = [codec.encode(picture(k), 90) for k in range(3)]
    state = tmp_path / "state"
    with (
        Site(tmp_path, state=state, lasting=True) as site,
        MjpegServer(jpegs, authorization=f"Basic {login}") as server,
    ):
        placed = server.url_as(USER, "{DOOR_PASSWORD}")
        assert site.run("camera", "add", "kept", server.url_as(USER, PASSWORD)).code == 0
        assert site.run("camera", "add", "placed", placed).code == 0
        site.node("capture", "--log-level", "debug", DOOR_PASSWORD=PASSWORD)
        for camera in ("kept", "placed"):
            site.wait_camera(camera)
        endpoints = [node.endpoints["pub"] for node in site.mesh.nodes()]
        wire = b"\n".join(_bytes_on_the_wire(endpoints))
        site.mesh.registry.put("config/cameras/kept", {"url": placed})  # what else is there is looked through
        shown = repr(site.mesh.registry.list("")) + site.run("camera", "list", "--json").out
        files = [file for file, data in _files(tmp_path).items() if PASSWORD.encode() in data]
        assert all(file.stat().st_mode & 0o077 == 0 for file in files)
        holding = {file.name for file in files}
    assert holding <= {"registry.sqlite", "registry.sqlite-wal"}
    for data in (wire, shown.encode()):
        assert PASSWORD.encode() not in data
        assert login.encode() not in data
