"""Disk, permissions and resources of this machine, each made to fail, if it can be with the real thing."""

import os
from pathlib import Path
from typing import Any

import pytest

from mesh.doctor import Level
from mesh.doctor.asking import Answer
from mesh.doctor.disk import GIB, MIB, Local, judge_local, judge_room, judge_shared, told_folders
from mesh.doctor.disk import judge as judge_disk
from mesh.doctor.permissions import OwnFile, judge_registry_file, judge_state
from mesh.doctor.reach import Reached
from mesh.registry import Folder, open_registry
from mesh.registry.persist import STATE_FILE
from mesh.registry.server import RegistryServer
from tests.doctor.support import examined, node, of
from tests.support.disks import fill, mounted

TIB = 1 << 40


def test_a_disk_that_is_full_has_failed(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=8m") as disk:
        fill(disk)
        findings = examined("memory:", folders=[("recordings", disk / "door")])
    found = of(findings, "disk", f"recordings: {disk}/door")
    assert found.level is Level.FAILED
    assert found.found == "0 KiB free of 8.0 MiB on this machine: it is full"
    assert f"du -xh --max-depth=1 {disk}" in found.do


@pytest.mark.parametrize(
    ("free", "total", "level"),
    [
        (199 * MIB, 100 * GIB, Level.FAILED),
        (900 * MIB, 100 * GIB, Level.FAILED),  # under 1 %
        (900 * MIB, 16 * GIB, Level.WARNING),  # under 1 GiB
        (4 * GIB, 100 * GIB, Level.WARNING),  # under 5 %
        (6 * GIB, 100 * GIB, Level.OK),
        (400 * GIB, 10 * TIB, Level.OK),  # 4 %, and room for days
        (1 * GIB, 10 * TIB, Level.FAILED),
    ],
)
def test_how_much_room_is_enough(free: int, total: int, level: Level) -> None:
    assert judge_room("x", "here", "/x", free, total).level is level


def test_folders_that_nodes_and_the_registry_tell_of_are_judged() -> None:
    full = {"path": "/rec", "free_bytes": 0, "total_bytes": TIB, "writable": True}
    locked = {"path": "/spool", "free_bytes": TIB, "total_bytes": TIB, "writable": False}
    odd: list[Any] = ["nonsense", {"path": "/x"}]
    answer = Answer({"state": "running", "folders": [full, locked, *odd]})
    collector = Reached(node("collect", host="edge2"), {}, answer)
    silent = [Reached(node("old"), {}, Answer({})), Reached(node("away"), {}, None)]
    assert [len(list(told_folders(one))) for one in (collector, *silent)] == [2, 0, 0]
    findings = list(judge_disk((), [collector, *silent], [Folder.model_validate(full)], "edge3"))
    assert {f.subject: f.level for f in findings} == dict.fromkeys(
        ("collect: /rec", "collect: /spool", "registry: /rec"), Level.FAILED
    )
    assert all("edge2" in f.do for f in findings[:2])
    assert "edge3" in findings[2].do


def test_shared_memory_that_is_small_is_warned_of_and_none_is_passed_over() -> None:
    docker = Local("shared memory", "/dev/shm", "/dev/shm", True, 64 * MIB, 64 * MIB, True)
    (warned,) = judge_shared(docker)
    assert warned.level is Level.WARNING
    assert "--shm-size" in warned.do
    assert not list(judge_shared(Local("shared memory", "/dev/shm", "/dev", False, GIB, GIB, True)))


def test_a_folder_that_is_none_has_failed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "deep"
    found = of(examined("memory:", folders=[("spool", path)]), "disk", f"spool: {path}")
    assert found.level is Level.FAILED
    assert judge_local(Local("spool", str(path), trouble="is no folder")).level is Level.FAILED


def test_a_folder_on_a_read_only_disk_cannot_be_written(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "ro") as disk:
        findings = examined("memory:", folders=[("recordings", disk), ("spool", disk / "new")])
    there, new = (
        of(findings, "permissions", subject) for subject in (f"recordings: {disk}", f"spool: {disk}/new")
    )
    assert [there.level, new.level] == [Level.FAILED, Level.FAILED]
    assert there.found == "it cannot be written by this user"
    assert new.found == f"it is not there, and {disk} cannot be written by this user"


def test_a_folder_of_another_user_cannot_be_written(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    found = of(examined("memory:", folders=[("spool", folder)]), "permissions", f"spool: {folder}")
    assert found.level is Level.FAILED


def test_secrets_that_others_can_read_or_that_cannot_be_read_have_failed(tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("good", "wide", "odd", "pipe", "missing")}
    files["good"].write_text("DOOR_PASSWORD=hunter2\n")
    files["wide"].write_text("DOOR_PASSWORD=hunter2\n")
    files["odd"].write_text("hunter2\n")
    os.mkfifo(files["pipe"], 0o600)  # which would have its reader wait for ever
    for name in ("good", "odd"):
        files[name].chmod(0o600)
    files["wide"].chmod(0o644)
    findings = examined("memory:", secrets=list(files.values()))
    found = {name: of(findings, "permissions", f"secrets: {path}") for name, path in files.items()}
    assert found["good"].level is Level.OK
    assert {found[name].level for name in ("wide", "odd", "pipe", "missing")} == {Level.FAILED}
    assert found["wide"].do == f"chmod 600 {files['wide']}"
    assert "line 1: write NAME=value" in found["odd"].found
    assert found["pipe"].found == "it is no regular file"
    assert found["missing"].found == "no such file or directory"
    assert "hunter2" not in str(findings)


def test_a_registry_file_that_others_can_read_is_warned_of_where_it_holds_passwords(tmp_path: Path) -> None:
    path = tmp_path / "mesh.toml"
    with open_registry(f"file:{path}") as registry:
        registry.put("config/cameras/door", {"url": "rtsp://192.0.2.1/"})
        path.chmod(0o644)
        subject = f"registry: {path}"
        assert of(examined(registry.url), "permissions", subject).level is Level.OK
        registry.put("config/cameras/door", {"url": "rtsp://u:hunter2@192.0.2.1/"})
        path.chmod(0o644)
        found = of(examined(registry.url), "permissions", subject)
    assert (found.level, found.do) == (Level.WARNING, f"chmod 600 {path}")


def test_a_registry_file_that_this_user_cannot_write_has_failed() -> None:
    locked = OwnFile("registry", "/x/mesh.toml", mode=0o444, writable=False)
    assert judge_registry_file(locked, False).level is Level.FAILED
    assert judge_registry_file(OwnFile("registry", "/x", trouble="permission denied"), False).do


def test_a_registrys_state_that_others_can_read_is_warned_of(tmp_path: Path) -> None:
    with RegistryServer("tcp://127.0.0.1:*", state=tmp_path) as server:
        subject = f"registry state: {tmp_path}/{STATE_FILE}"
        assert of(examined(server.url), "permissions", subject).level is Level.OK
        (tmp_path / STATE_FILE).chmod(0o644)
        found = of(examined(server.url), "permissions", subject)
    assert (found.level, found.do) == (Level.WARNING, f"chmod 600 {tmp_path}/{STATE_FILE}*")
    assert judge_state(OwnFile("registry state", "/x", trouble="permission denied")).level is Level.OK


def test_another_registry_in_the_environment_is_noted() -> None:
    noted = of(examined("memory:", environment="tcp://192.0.2.1:7700"), "resources", "environment")
    assert (noted.level, noted.do) == (Level.NOTE, "export MESH_REGISTRY=memory:")
    assert of(examined("memory:"), "resources", "environment").level is Level.OK
