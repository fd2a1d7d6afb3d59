"""`mesh up`: a site from one file, as real processes: run, edited, broken, killed, stopped."""

import os
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import mesh
from mesh.frame import Frame
from mesh.ports import free_port
from mesh.registry.records import CameraState, NodeState
from tests.support.processes import MARK, ROOT, Done, Process, Processes
from tests.support.waiting import PATIENCE_S, wait_for

pytestmark = pytest.mark.timeout(300)

CAMERAS = [f"cam-{number:02}" for number in range(20)]
SMALL = "synthetic:?size=160x120&fps=3"
FEW = """
[registry]
port = {port}
[cameras.door]
url = "synthetic:?size=160x120&fps=5"
[capture.cameras]
[process.motion]
processors = ["motion"]
[collect.recorder]
"""


class RunningSite:
    """A site's file, and `mesh up` on it."""

    def __init__(self, processes: Processes, folder: Path, text: str, *options: str) -> None:
        self.processes, self.folder = processes, folder
        self.file = folder / "mesh.toml"
        self.port = free_port()
        self.file.write_text(text.replace("{port}", str(self.port)))
        self.mesh = mesh.connect(f"tcp://127.0.0.1:{self.port}", timeout=PATIENCE_S)
        self.up = self.start(*options)

    def start(self, *options: str) -> Process:
        self.up = self.processes.start("up", *options, name="up", cwd=self.folder)
        return self.up

    def run(self, *arguments: str) -> Done:
        """A command about the site's file."""
        return self.processes.run(*arguments, self.file)

    def edit(self, old: str, new: str) -> None:
        text = self.file.read_text()
        assert old in text
        self.file.write_text(text.replace(old, new, 1))

    def wait_log(self, *texts: str) -> None:
        wait_for(lambda: all(text in self.up.log for text in texts), f"{texts} in the log")

    def wait_recorded(self, *cameras: str) -> None:
        """Wait until more of each is recorded than now."""
        before = self.recorded()
        wait_for(
            lambda: all(self.recorded().get(name, 0) > before.get(name, 0) for name in cameras),
            f"{cameras} are recorded",
        )

    def recorded(self) -> dict[str, int]:
        try:
            found = self.mesh.stats()["cameras"]
        except mesh.MeshError:
            return {}
        return {name: camera["recorded"].get("motion", 0) for name, camera in found.items()}

    def pid(self, name: str) -> int:
        """Of the newest process of that name that `mesh up` started."""
        lines = [line for line in self.up.log.splitlines() if f"{name} is started (pid " in line]
        return int(lines[-1].rpartition("pid ")[2].rstrip(")"))


@contextmanager
def running(folder: Path, text: str) -> Iterator[RunningSite]:
    with Processes(folder / "processes") as processes:
        site = RunningSite(processes, folder, text)
        try:
            yield site
        finally:
            site.mesh.close()
            if site.up.alive:
                site.up.stop()


def runs(pid: int) -> bool:
    return Path(f"/proc/{pid}/cmdline").exists() and bool(Path(f"/proc/{pid}/cmdline").read_bytes())


def test_a_site_of_twenty_cameras_from_the_example_runs_is_edited_and_stops(tmp_path: Path) -> None:
    with Processes(tmp_path / "init") as processes:
        example = processes.run("config", "init").out
    more = "".join(f'[cameras.{name}]\nurl = "{SMALL}&seed={n}"\n' for n, name in enumerate(CAMERAS))
    text = example.replace("# port = 7700 ", "port = {port} ") + more
    with running(tmp_path, text) as site:
        site.wait_log("all is started: 3 nodes, 22 cameras configured")
        wait_for(lambda: online(site.mesh) >= set(CAMERAS), "all cameras are online")
        site.wait_recorded(*CAMERAS)
        bad_edit_changes_nothing(site)
        reload_touches_one_camera_only(site)
        killed_node_is_started_again(site)
        assert site.up.stop() == 0
        stopped = [line for line in site.up.log.splitlines() if "has ended" in line and line.startswith("up")]
        order = ["capture-cameras", "process-motion", "collect-recorder", "registry"]
        assert [line.split()[4] for line in stopped[-4:]] == order
        assert "Traceback" not in site.up.log


def online(m: mesh.Mesh) -> set[str]:
    return {camera.name for camera in m.cameras() if camera.state is CameraState.ONLINE}


def bad_edit_changes_nothing(site: RunningSite) -> None:
    """The running site goes on; the message names line and key."""
    good = site.file.read_text()
    site.edit("[process.motion]", '[process.motion]\nprocesors = ["codes"]')
    line = 1 + site.file.read_text().splitlines().index('procesors = ["codes"]')
    told = f"mesh.toml:{line}: process.motion.procesors: there is no such key: did you mean processors?"
    done = site.run("reload")
    assert done.code == 2
    assert told in done.last_line
    assert "all goes on as it was" in done.last_line
    check = site.run("config", "check")
    assert (check.code, check.last_line) == (2, f"mesh: {site.folder}/{told}")
    site.up.send(signal.SIGHUP)
    site.wait_log(f"all goes on as it was: {told}")
    site.file.write_text(good)
    site.edit("[capture.cameras]", '[capture.cameras]\nsecrets = "no.env"')
    done = site.run("reload")
    assert done.code == 2
    assert f"capture.cameras.secrets: {site.folder}/no.env: No such file or directory; all" in done.last_line
    site.wait_recorded(*CAMERAS)
    assert site.up.log.count("is started (pid") == 4
    site.file.write_text(good)


def reload_touches_one_camera_only(site: RunningSite) -> None:
    """The others' streams show no gap, and none of them begins anew."""
    changed, *others = CAMERAS
    boots = {camera.name: camera.boot for camera in site.mesh.cameras()}
    seen: dict[str, list[Frame]] = defaultdict(list)
    with site.mesh.subscribe("raw", policy="fifo", view="meta", depth=1000) as frames:

        def all_seen(least: int) -> bool:
            while (frame := frames.get(0)) is not None:
                seen[frame.camera].append(frame)
            return all(len(seen[name]) >= least for name in CAMERAS)

        wait_for(lambda: all_seen(3), "frames of all cameras")
        site.edit(f"{SMALL}&seed=0", f"{SMALL}&seed=99")
        done = site.run("reload")
        assert (done.code, done.out.rpartition(": ")[2]) == (0, f"cameras {changed}\n")
        wait_for(
            lambda: all_seen(3) and seen[changed][-1].boot > boots[changed], "the camera that was changed"
        )
        more = 5 + max(len(seen[name]) for name in others)
        wait_for(lambda: all_seen(0) or all(len(seen[name]) >= more for name in others) or None)
        wait_for(lambda: all_seen(0) and all(len(seen[n]) >= more for n in others), "more of the others")
    for name in others:
        assert {frame.boot for frame in seen[name]} == {boots[name]}
        numbers = [frame.seq for frame in seen[name]]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert site.up.log.count("is started (pid") == 4


def killed_node_is_started_again(site: RunningSite) -> None:
    pid = site.pid("process-motion")
    os.kill(pid, signal.SIGKILL)
    site.wait_log("process-motion ended with signal 9; it starts again in ")
    wait_for(lambda: site.pid("process-motion") != pid, "the node is started again")
    site.wait_recorded(*CAMERAS)


def test_crash_loops_ended_nodes_and_second_starts_leave_a_site_alone(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "class Boom:\n"
        "    def __init__(self):\n"
        "        raise RuntimeError('the model is not there')\n"
        "    def __call__(self, frame):\n"
        "        return frame\n"
    )
    crashing = FEW.replace("[process.motion]", '[process.own]\nprocessors = ["own:Boom"]\n[process.motion]')
    with running(tmp_path, crashing) as site:
        site.wait_recorded("door")
        for name in ("nodes.py", "queue.py"):  # what is called so in somebody's folder is none of ours
            (tmp_path / name).write_text("raise RuntimeError('not ours')\n")
        a_second_one_and_a_port_that_is_taken_are_refused(site)
        what_was_asked_to_end_stays_so_until_the_file_is_read_again(site)
        a_crash_loop_goes_on_until_the_file_is_mended(site)


def a_crash_loop_goes_on_until_the_file_is_mended(site: RunningSite) -> None:
    site.wait_log(
        "process-own ended with exit code 2, 3 times in a row; it starts again in ",
        "RuntimeError: the model is not there",
    )
    site.wait_recorded("door")
    told = wait_for(lambda: doctors_words(site, "process-own: ended"), "the doctor looks between two starts")
    assert told.startswith("FAILED")
    assert "the model is not there" in told
    site.edit("own:Boom", "passthrough")
    done = site.run("reload")
    assert done.code == 0
    assert "start process-own" in done.out or "restart process-own" in done.out
    wait_for(lambda: "process-own" in alive(site.mesh), "the mended node runs")


def doctors_words(site: RunningSite, about: str) -> str:
    """The line of `mesh doctor` with these words; empty where there is none."""
    doctor = site.processes.run("doctor", site.file, "--timeout", 30)
    told = next((line for line in doctor.out.splitlines() if about in line), "")
    assert doctor.code == 1 or not told
    return told


def alive(m: mesh.Mesh) -> set[str]:
    return {node.id for node in m.nodes() if node.state is NodeState.RUNNING}


def what_was_asked_to_end_stays_so_until_the_file_is_read_again(site: RunningSite) -> None:
    registry = f"tcp://127.0.0.1:{site.port}"
    drain = ("ctl", "process-motion", "drain", "--timeout", 90)
    assert site.processes.run(*drain, "--registry", registry, within=120).code == 0
    site.wait_log("process-motion has ended, as it was asked to")
    done = site.run("reload")
    assert "process-motion" in done.out.partition("start ")[2]
    site.wait_recorded("door")


def test_one_that_is_killed_takes_its_processes_with_it_and_another_goes_on(tmp_path: Path) -> None:
    with running(tmp_path, FEW) as site:
        site.wait_log("all is started")
        site.wait_recorded("door")
        pids = [site.pid(name) for name in ("registry", "capture-cameras", "process-motion")]
        site.up.kill()
        wait_for(lambda: not any(map(runs, pids)), "its processes end by themselves")
        wait_for(lambda: not site.processes.left_behind(), "all of them")
        site.start()
        site.wait_log("all is started")
        site.wait_recorded("door")


def a_second_one_and_a_port_that_is_taken_are_refused(site: RunningSite) -> None:
    again = site.run("up")
    assert again.code == 1
    assert f"registry runs already: mesh up {site.file} (process {site.up.popen.pid})" in again.last_line
    other = site.folder / "other"
    other.mkdir()
    (other / "mesh.toml").write_text(site.file.read_text())
    taken = site.processes.run("up", cwd=other)
    assert taken.code == 1
    place = f"127.0.0.1:{site.port}"
    assert f"the registry cannot listen at {place}: Address already in use" in taken.last_line
    assert "Traceback" not in again.err + taken.err


def test_one_whose_terminal_is_closed_stops(tmp_path: Path) -> None:
    with Processes(tmp_path / "processes") as processes:
        file = tmp_path / "mesh.toml"
        file.write_text(FEW.replace("{port}", str(free_port())))
        master, terminal = os.openpty()
        up = subprocess.Popen(
            [sys.executable, "-m", "mesh", "up", str(file)],
            stderr=terminal,
            stdin=terminal,
            cwd=tmp_path,
            env={**os.environ, MARK: processes.mark, "PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )
        os.close(terminal)
        seen = b""
        while b"all is started" not in seen:
            seen += os.read(master, 65536)
        assert b"\x1b[" in seen  # names are coloured
        os.close(master)
        up.send_signal(signal.SIGHUP)
        assert up.wait(60) == 0


def test_an_address_of_another_machine_is_refused_before_anything_starts(tmp_path: Path) -> None:
    file = tmp_path / "mesh.toml"
    file.write_text('[site]\ninsecure = true\n[devices.gate]\naddress = "192.0.2.7"\n[capture.c]\n')
    with Processes(tmp_path / "processes") as processes:
        done = processes.run("up", file)
    assert done.code == 2
    assert done.err.splitlines() == [
        "mesh: device 'gate' is at 192.0.2.7, which is no address of this machine: say what runs here with "
        "--only @DEVICE"
    ]


@pytest.mark.parametrize("command", ["up", "reload", "config check"])
def test_without_a_file_each_says_how_to_make_one(command: str, tmp_path: Path) -> None:
    with Processes(tmp_path / "processes") as processes:
        done = processes.run(*command.split(), cwd=tmp_path)
    assert done.code == 2
    assert done.err == "mesh: mesh.toml: no such file: `mesh config init > mesh.toml` makes one\n"


def test_the_example_is_written_once(tmp_path: Path) -> None:
    with Processes(tmp_path / "processes") as processes:
        assert processes.run("config", "init", "mesh.toml", cwd=tmp_path).code == 0
        again = processes.run("config", "init", "mesh.toml", cwd=tmp_path)
        assert (again.code, again.last_line) == (2, "mesh: mesh.toml is there already: nothing was written")
        check = processes.run("config", "check", cwd=tmp_path)
        assert check.code == 0
        assert check.out.startswith("mesh.toml is right: 2 cameras, 4 processes, 1 device\n")
        reload = processes.run("reload", cwd=tmp_path)
        assert (reload.code, "no `mesh up mesh.toml` runs" in reload.last_line) == (1, True), reload
