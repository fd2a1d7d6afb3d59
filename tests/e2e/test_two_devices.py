"""The newcomer's path of docs/operations.md, followed as it stands there, on two hosts.

Only the installation is left out (the package under test is run instead), and the file is copied for the
person who would.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import mesh
from mesh.registry.records import CameraRecord, CameraState
from tests.support.hosts import Host, Network
from tests.support.processes import MARK, ROOT, Processes
from tests.support.waiting import PATIENCE_S, wait_for

pytestmark = pytest.mark.timeout(300)

HEADING = "## From an empty machine to two devices with three cameras"
CAMERAS = {"yard", "entry", "exit"}
REGISTRY = "tcp://192.0.2.1:7700"


def steps() -> list[tuple[str, str]]:
    """(where, commands) of each block of the page's part, in order."""
    page = (ROOT / "docs" / "operations.md").read_text()
    part = page.partition(HEADING)[2].partition("\n## ")[0]
    found = []
    for before, block in re.findall(r"(.*?)```sh\n(.*?)```", part, re.DOTALL):
        (*_, where) = re.findall(r"\*\*On (?:the )?(\w+)\*\*", before)
        found.append((where, block))
    return found


class Machine:
    """A host with a home of its own, on which `mesh` is installed."""

    def __init__(self, host: Host, home: Path, processes: Processes) -> None:
        self.host, self.home = host, home
        tools = home / "bin"
        tools.mkdir(parents=True)
        (tools / "mesh").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m mesh "$@"\n')
        (tools / "mesh").chmod(0o755)
        self._env = {**os.environ, "HOME": str(home), "PATH": f"{tools}:{os.environ['PATH']}"}
        self._env |= {"PYTHONPATH": str(ROOT), MARK: processes.mark}
        self._env.pop("MESH_REGISTRY", None)
        self.log = home / "up.log"

    def run(self, block: str) -> str:
        """Type a block of commands; what they print. Each has to exit with 0."""
        done = self._typed(block)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def run_when_well(self, block: str) -> str:
        """The same, again as long as `mesh doctor` among them finds somebody who is held up."""

        def typed() -> "subprocess.CompletedProcess[str] | None":
            done = self._typed(block)
            found = [line.split()[:2] for line in done.stdout.splitlines()]
            return None if done.returncode == 1 and ["FAILED", "reach"] in found else done

        done = wait_for(typed, "nobody is held up")
        assert done is not None
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _typed(self, block: str) -> "subprocess.CompletedProcess[str]":
        with self.host:
            return subprocess.run(
                ["sh", "-eux", "-c", block],
                capture_output=True,
                text=True,
                env=self._env,
                cwd=self.home,
                timeout=120,
                check=False,
            )

    def start(self, block: str) -> "subprocess.Popen[bytes]":
        """Type a block whose last command goes on."""
        with self.host, self.log.open("wb") as log:
            return subprocess.Popen(
                ["sh", "-eu", "-c", block.replace("mesh up", "exec mesh up")],
                stdout=log,
                stderr=log,
                env=self._env,
                cwd=self.home,
                start_new_session=True,
            )


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[dict[str, Machine]]:
    with Network("hub", "gate") as network, Processes(tmp_path / "processes") as processes:
        yield {name: Machine(network[name], tmp_path / name, processes) for name in ("hub", "gate")}


def test_the_path_of_the_page_leads_to_two_devices_with_three_cameras(machines: dict[str, Machine]) -> None:
    hub, gate = machines["hub"], machines["gate"]
    (_, install), (_, write), (_, up_hub), (_, up_gate), (_, look), (_, change) = steps()
    assert "pip install" in install
    assert "3 cameras, 5 processes, 2 devices" in hub.run(write)
    (gate.home / "site").mkdir()
    shutil.copy(hub.home / "site" / "mesh.toml", gate.home / "site")
    ups = [hub.start(up_hub), gate.start(up_gate)]
    try:
        with hub.host, mesh.connect(REGISTRY, timeout=PATIENCE_S) as m:
            wait_for(lambda: recorded(m) >= CAMERAS, "all three are recorded")
            told = hub.run_when_well(look)
            assert (hub.home / "entry.jpg").read_bytes().startswith(b"\xff\xd8")
            assert all(camera in told for camera in CAMERAS)
            wait_for(lambda: online(m).keys() == CAMERAS, "the one that was paused goes on")
            before = online(m)
            assert {before[name].node for name in ("entry", "exit")} == {"capture-gate"}
            assert "cameras entry" in hub.run(change)

            def changed() -> dict[str, CameraRecord] | None:
                now = online(m)
                return now if now.keys() == CAMERAS and now["entry"].boot > before["entry"].boot else None

            now = wait_for(changed, "the camera that was changed")
            assert now is not None
            assert all(now[name].boot == before[name].boot for name in ("yard", "exit"))
    finally:
        for up in ups:
            up.send_signal(signal.SIGTERM)
        codes = [up.wait(60) for up in ups]
    assert codes == [0, 0]
    for machine in machines.values():
        assert "Traceback" not in machine.log.read_text()
    assert list((hub.home / "site" / "recordings").glob("entry/*/*-motion.mkv"))


def recorded(m: mesh.Mesh) -> set[str]:
    try:
        return {name for name, camera in m.stats()["cameras"].items() if camera["recorded"]}
    except mesh.MeshError:
        return set()


def online(m: mesh.Mesh) -> dict[str, CameraRecord]:
    return {camera.name: camera for camera in m.cameras() if camera.state is CameraState.ONLINE}
