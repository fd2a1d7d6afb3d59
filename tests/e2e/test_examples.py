"""Every example runs as its first lines say, against a live mesh of real processes."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mesh.ports import free_port
from mesh.registry.records import CameraState
from tests.e2e.site import SMALL, Site
from tests.support.processes import MARK, ROOT
from tests.support.waiting import wait_for

EXAMPLES = ROOT / "examples"
FRAMES = 50  # ten a second: whoever subscribes is there in time
ENDS_WITHIN_S = 240


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("examples"), lasting=True) as site:
        site.capture(f"door={SMALL}")
        site.wait_camera("door")
        site.mesh.snapshot("door", timeout=60)  # from now on the client has its thread for watches
        yield site


@contextmanager
def running(
    site: Site, folder: Path, *command: object, ends: bool = False, lost: str = "nothing", **more: str
) -> Iterator[Path]:
    """A script that runs until Ctrl-C, unless it ends by itself; its stdout. It must exit 0 and say nothing
    on stderr, but for lines with the words `lost`."""
    out = folder / "out.txt"
    env = {**os.environ, "MESH_REGISTRY": site.url, "PYTHONPATH": str(ROOT), **more}
    with out.open("wb") as stream:
        process = subprocess.Popen(
            [str(part) for part in command], stdout=stream, stderr=subprocess.PIPE, cwd=folder, env=env
        )
        try:
            yield out
            if not ends:
                process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=ENDS_WITHIN_S)[1].decode()
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 0, said
    assert [line for line in said.splitlines() if lost not in line] == []


def test_every_example_is_tested_here() -> None:
    tested = {
        "custom_processor.py",
        "fleet.py",
        "publish_numpy.py",
        "snapshot_on_motion.py",
        "subscribe.py",
        "two_devices.sh",
    }
    assert {path.name for path in EXAMPLES.iterdir() if path.is_file()} == tested


@pytest.mark.timeout(300)
def test_a_fleet_that_loses_nodes(site: Site, tmp_path: Path) -> None:
    with running(
        site,
        tmp_path,
        sys.executable,
        EXAMPLES / "fleet.py",
        ends=True,
        lost="was lost: it is now held by",  # what a node says that was held up for longer than its lease
        PORT=str(free_port()),
    ) as out:
        pass
    said = out.read_text()
    assert said.count("c1 ") == said.count("p1 ") == 3
    assert "unaccounted 0" in said.splitlines()[-1]


def test_subscribe(site: Site, tmp_path: Path) -> None:
    with running(site, tmp_path, sys.executable, EXAMPLES / "subscribe.py") as out:
        wait_for(lambda: out.read_text().count("door #") >= 3, "frames are printed")
    assert "(240, 320, 3)" in out.read_text()
    assert "object 1.00" in out.read_text()


def test_publish_numpy(site: Site, tmp_path: Path) -> None:
    with (
        site.mesh.subscribe("raw", "numpy") as frames,
        running(site, tmp_path, sys.executable, EXAMPLES / "publish_numpy.py", "numpy", FRAMES, ends=True),
    ):
        frame = frames.get(60)
        assert frame is not None
        assert frame.image.shape == (240, 320, 3)
        site.wait_camera("numpy", CameraState.ENDED)
    site.wait_for(lambda: site.count("numpy")["captured"] == FRAMES, "it counted all that it published")


def test_custom_processor_and_snapshot_on_motion(site: Site, tmp_path: Path) -> None:
    brighten = site.node(
        "process", "examples.custom_processor:Brighten:gain=1.5", "--stage", "bright", cwd=ROOT, name="bright"
    )
    motion = site.node("process", "motion:warmup=5", name="motion")
    bright = site.mesh.snapshot("door", "bright", timeout=60)
    raw = site.mesh.snapshot("door", timeout=60)
    assert bright.image.mean() > raw.image.mean() * 1.2
    with running(site, tmp_path, sys.executable, EXAMPLES / "snapshot_on_motion.py", "shots") as out:
        wait_for(lambda: "moving" in out.read_text(), "something moves")
    (first, *_) = sorted((tmp_path / "shots").glob("door-*.jpg"))
    assert first.read_bytes()[:2] == b"\xff\xd8"
    assert brighten.stop() == 0
    assert motion.stop() == 0


def recorded(folder: Path) -> bool:
    """Whether ten frames of motion are."""
    return sum(file.read_bytes().count(b"\n") for file in folder.glob("door/*/*-motion.jsonl")) >= 10


def test_two_devices(site: Site, tmp_path: Path) -> None:
    """Both roles on this machine's loopback: what they say to each other is the same."""
    env = {**os.environ, "PORT": site.url.rpartition(":")[2], "INTO": str(tmp_path / "recordings")}
    env |= {"MESH": f"{sys.executable} -m mesh", "PYTHONPATH": str(ROOT)}
    env |= {MARK: site.processes.mark}
    before = site.processes.left_behind()
    script = EXAMPLES / "two_devices.sh"
    log = tmp_path / "b.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [str(script), "b", "127.0.0.1", "127.0.0.1"], stdout=stream, stderr=stream, env=env, cwd=tmp_path
        )
        try:
            wait_for(lambda: recorded(tmp_path / "recordings"), "its motion is recorded")
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
    assert list((tmp_path / "recordings" / "door").glob("*/*-motion.mkv"))
    assert site.processes.left_behind() == before


def test_two_devices_role_a(tmp_path: Path) -> None:
    with Site(tmp_path, registry=False) as site:
        env = {**os.environ, "PORT": site.url.rpartition(":")[2], "MESH": f"{sys.executable} -m mesh"}
        env |= {"PYTHONPATH": str(ROOT), MARK: site.processes.mark}  # what is left behind fails the test
        with (tmp_path / "a.log").open("wb") as stream:
            process = subprocess.Popen(
                [str(EXAMPLES / "two_devices.sh"), "a", "127.0.0.1", SMALL],
                stdout=stream,
                stderr=stream,
                env=env,
            )
            try:
                site.wait_camera("door")
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(60)
