"""`mesh doctor` at a real mesh: all is well, a node hangs, a camera fails, the registry is gone."""

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mesh.doctor import CHECKS
from mesh.registry.records import CameraState
from tests.e2e.site import SMALL, Site
from tests.support.processes import ROOT, Done

PATIENT = ("--timeout", 30)  # where everything answers
BRIEF = ("--timeout", 10)  # where one never answers, and all others do


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A camera, motion and a collector, as all should be; leases are long, so that who hangs stays listed."""
    folder = tmp_path_factory.mktemp("doctor")
    with Site(folder, state=folder / "state", lasting=True) as site:
        site.collect()
        site.node("process", "motion")
        site.capture(f"door={SMALL}")
        site.wait_recorded("door", "motion", 5)
        clocks = site.mesh.stats
        site.wait_for(
            lambda: all(n["clock_offset_ns"] is not None for n in clocks()["nodes"].values()),
            "each node knows how far its clock is",
        )
        yield site


def lines(done: Done, level: str) -> list[str]:
    return [line for line in done.out.splitlines() if line.startswith(level)]


def both(site: Site, *options: object) -> tuple[Done, dict[str, Any]]:
    """What the doctor says, for people and for programs, at the same time."""
    as_json = site.processes.start("doctor", "--json", *options, "--registry", site.url)
    done = site.run("doctor", *options)
    assert as_json.wait() == done.code
    return done, json.loads(as_json.out)


def test_a_healthy_mesh_is_well_and_every_check_says_so(site: Site) -> None:
    done, told = both(site, *PATIENT, "--into", site.recordings)
    assert (done.code, done.err) == (0, ""), done
    assert {line.split()[1] for line in lines(done, "ok")} == {check.name for check in CHECKS}
    assert not lines(done, "FAILED")
    reached = [line.split()[2] for line in done.out.splitlines() if line.split()[1:2] == ["reach"]]
    assert reached == ["capture:", "collect:", "process:"]
    assert any("door: online at node capture" in line for line in lines(done, "ok"))
    assert set(told) == {"findings", "worst"}
    assert told["worst"] in ("ok", "note", "warning")  # a small machine may have little room
    assert {found["check"] for found in told["findings"]} == {check.name for check in CHECKS}
    for found in told["findings"]:
        assert set(found) == {"check", "subject", "level", "found", "do"}
        assert bool(found["do"]) is (found["level"] != "ok")


def test_a_node_that_hangs_is_named_with_what_to_do(site: Site) -> None:
    pid = site.listed("process").pid
    os.kill(pid, signal.SIGSTOP)
    try:
        done, told = both(site, *BRIEF)
    finally:
        os.kill(pid, signal.SIGCONT)
    (failed,) = lines(done, "FAILED")
    assert done.code == 1
    assert f"reach       process: pid {pid} on " in failed
    assert failed.endswith(": it hangs")
    verdict = done.out.splitlines()[-1]
    assert f"kill -9 {pid}, and start the node again (reach, process)" in verdict
    assert told["worst"] == "failed"
    assert [found["subject"] for found in told["findings"] if found["level"] == "failed"] == ["process"]


def test_a_camera_that_cannot_be_opened_is_named_with_what_to_do(tmp_path: Path) -> None:
    with Site(tmp_path, lasting=True) as site:
        site.capture(f"bad={tmp_path}/none.mp4", f"also={SMALL}", name="bad-capture")
        site.wait_camera("bad", CameraState.FAILED)
        site.wait_camera("also")
        done = site.run("doctor", *PATIENT)
    assert done.code == 1
    (failed,) = lines(done, "FAILED")
    assert "cameras     bad: failed at node bad-capture: " in failed
    assert "no such file" in failed.lower()
    assert "mesh camera test URL opens it by itself (cameras, bad)" in done.out.splitlines()[-1]


def test_a_small_machine_is_told(site: Site) -> None:
    """Docker's 64 MiB of shared memory and few open files, as a container has them."""
    if shutil.which("unshare") is None or os.geteuid() != 0:
        pytest.skip("mounting in a namespace takes root and unshare")
    small = "mount -t tmpfs -o size=64m tmpfs /dev/shm && ulimit -n 240 && exec"
    command = f"{small} {sys.executable} -m mesh doctor --json --registry {site.url} --timeout 30"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", command],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    if done.returncode and "mount" in done.stderr:
        pytest.skip(f"cannot mount here: {done.stderr.strip()}")
    warned = {f["subject"]: f for f in json.loads(done.stdout)["findings"] if f["level"] == "warning"}
    assert warned["shared memory: /dev/shm"]["found"].startswith("64.0 MiB free of 64.0 MiB")
    assert "240 files open here; a registry for" in warned["open files"]["found"]


def test_on_a_terminal_lines_are_folded_and_in_colour(site: Site) -> None:
    shown = on_a_terminal("doctor", "--registry", site.url, *map(str, PATIENT), columns=70)
    assert "\x1b[32mok" in shown
    assert max(len(line) for line in plain(shown).splitlines()) <= 70


def test_wrong_usage_ends_with_2(site: Site) -> None:
    done = site.processes.run("doctor", "--registry", "http://here")
    assert (done.code, done.out) == (2, "")
    assert done.last_line == (
        "mesh: --registry 'http://here' is no address: it begins with tcp://, etcd://, file:, memory:"
    )


def test_without_a_registry_the_machine_is_still_told(tmp_path: Path) -> None:
    with Site(tmp_path, registry=False) as site:
        done = site.run("doctor", "--timeout", 3)
    assert done.code == 1
    (failed,) = lines(done, "FAILED")
    assert f"registry    {site.url}: no registry answers there" in failed
    assert {line.split()[1] for line in lines(done, "ok")} >= {"versions", "disk", "permissions", "resources"}
    asked = [line for line in lines(done, "note") if line.endswith("not checked: no registry")]
    assert {line.split()[1] for line in asked} == {check.name for check in CHECKS if check.of_site}
    assert "mesh registry --bind" in done.out.splitlines()[-1]


def on_a_terminal(*arguments: str, columns: int) -> str:
    """What a command shows on a terminal of so many columns."""
    near, far = pty.openpty()
    environment = os.environ | {"COLUMNS": str(columns), "TERM": "xterm", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "mesh", *arguments]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=far, env=environment) as process:
        os.close(far)
        shown = b""
        try:
            while data := os.read(near, 65536):
                shown += data
        except OSError:  # the other end was closed
            pass
        process.wait()
    os.close(near)
    return shown.decode()


def plain(shown: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", shown)
