"""What can hang is asked in a process of its own: it costs the time once, and hides nothing else."""

import contextlib
import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.doctor.aside import ask_aside
from mesh.doctor.findings import Level
from tests.doctor.support import BRIEF_S, PATIENT_S, examined, of
from tests.support.waiting import wait_for

DETACH = 2  # MNT_DETACH, of umount2(2)


@contextlib.contextmanager
def hanging(folder: Path) -> Iterator[Path]:
    """A file system that never answers, like a share whose server is gone: FUSE, and nobody behind it."""
    folder.mkdir()
    try:
        fuse = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        pytest.skip(f"there is no FUSE here: {error.strerror}")
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0".encode()
    try:
        if libc.mount(b"hangs", os.fsencode(folder), b"fuse", 0, options):
            pytest.skip(f"cannot mount: {os.strerror(ctypes.get_errno())}")
        try:
            yield folder
        finally:
            libc.umount2(os.fsencode(folder), DETACH)
    finally:
        os.close(fuse)


def living_children() -> set[str]:
    """Children of this process by id, but for those that have ended and were not waited for."""
    pids = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    found = set()
    for pid in pids:
        with contextlib.suppress(OSError):  # it ended just now
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found.add(pid)
    return found


def test_a_disk_that_hangs_has_failed_the_rest_is_told_and_nothing_stays_behind(tmp_path: Path) -> None:
    before = living_children()
    with hanging(tmp_path / "share") as share:
        url, folders = f"file:{share}/mesh.toml", [("spool", tmp_path), ("recordings", share / "door")]
        findings = examined(url, timeout=BRIEF_S, folders=folders)
        wait_for(lambda: living_children() <= before, "the processes that looked have ended")
    hangs = of(findings, "disk", f"recordings: {share}/door")
    assert (hangs.level, hangs.found) == (Level.FAILED, "it does not answer within 4 s")
    assert f"findmnt -T {share}" in hangs.do
    assert of(findings, "permissions", f"spool: {tmp_path}").level is Level.OK
    away = of(findings, "registry", url)
    assert away.level is Level.FAILED
    assert away.found.startswith("its disk does not answer within 4 s")


def test_names_and_paths_that_are_none_are_answered(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    names = [("name", "localhost"), ("name", "nowhere.invalid"), ("name", "a" * 80)]
    questions = [*names, ("file", missing), ("folder", f"{missing}/deep")]
    answers = ask_aside(questions, PATIENT_S)
    assert answers["name", "localhost"] == {"address": "127.0.0.1"}
    assert answers["folder", f"{missing}/deep"]["there"] == str(tmp_path)
    assert answers["folder", f"{missing}/deep"]["exists"] is False
    refused = {question for question, found in answers.items() if "error" in found}
    assert refused == {*names[1:], ("file", missing)}
