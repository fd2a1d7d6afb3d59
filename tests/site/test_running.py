import fcntl
import os
from pathlib import Path

import pytest

from mesh.errors import MeshError, StorageError
from mesh.site.running import Mark, running


def test_one_that_runs_is_found_and_one_that_ended_is_not(tmp_path: Path) -> None:
    file = tmp_path / "mesh.toml"
    with Mark(tmp_path, file, ["capture@gate"], ["capture-gate"], "tcp://127.0.0.1:1234"):
        (found,) = running(tmp_path, file)
        assert (found.pid, found.endpoint) == (os.getpid(), "tcp://127.0.0.1:1234")
        assert str(found) == f"mesh up {file} --only capture@gate (process {os.getpid()})"
        assert list(running(tmp_path, tmp_path / "other.toml")) == []
    assert list(running(tmp_path, file)) == []


def test_the_same_file_by_another_name_is_the_same(tmp_path: Path) -> None:
    file, link = tmp_path / "mesh.toml", tmp_path / "link.toml"
    file.touch()
    link.symlink_to(file)
    with Mark(tmp_path, link, [], ["registry"], "tcp://127.0.0.1:1"):
        assert len(list(running(tmp_path, file))) == 1


def test_a_part_is_run_once(tmp_path: Path) -> None:
    file = tmp_path / "mesh.toml"
    with Mark(tmp_path, file, [], ["registry", "capture-c"], "tcp://127.0.0.1:1"):
        with pytest.raises(MeshError, match=r"capture-c runs already: mesh up .*mesh.toml .process"):
            Mark(tmp_path, file, ["capture"], ["capture-c"], "tcp://127.0.0.1:2").__enter__()
        with Mark(tmp_path, file, ["process"], ["process-p"], "tcp://127.0.0.1:3"):
            assert len(list(running(tmp_path, file))) == 2
        with Mark(tmp_path, tmp_path / "other.toml", [], ["registry"], "tcp://127.0.0.1:4"):
            assert len(list(running(tmp_path, file))) == 1


def test_what_a_reload_added_is_run_once_too(tmp_path: Path) -> None:
    file = tmp_path / "mesh.toml"
    with Mark(tmp_path, file, [], ["registry"], "tcp://127.0.0.1:1") as mark:
        mark.tell(["registry", "capture-c"])
        with pytest.raises(MeshError, match="capture-c runs already"):
            Mark(tmp_path, file, ["capture"], ["capture-c"], "tcp://127.0.0.1:2").__enter__()


def test_however_much_is_chosen_the_mark_has_a_name(tmp_path: Path) -> None:
    file = tmp_path / "mesh.toml"
    with Mark(tmp_path, file, [f"capture-{n:060}" for n in range(50)], ["a"], "tcp://127.0.0.1:1"):
        assert len(list(running(tmp_path, file))) == 1


def test_the_mark_of_one_that_was_killed_is_none(tmp_path: Path) -> None:
    file = tmp_path / "mesh.toml"
    with Mark(tmp_path, file, [], ["registry"], "tcp://127.0.0.1:1"):
        (mark,) = tmp_path.glob("up-*.json")
        left = mark.read_text()
    mark.write_text(left)
    assert list(running(tmp_path, file)) == []
    with Mark(tmp_path, file, [], ["registry"], "tcp://127.0.0.1:2"):
        (found,) = running(tmp_path, file)
    assert found.endpoint == "tcp://127.0.0.1:2"


@pytest.mark.parametrize("rubbish", ["", "[]", "{}", '{"pid": "x"}', "\0"])
def test_a_mark_that_is_none_is_passed_over(rubbish: str, tmp_path: Path) -> None:
    path = tmp_path / "up-0.json"
    path.write_text(rubbish)
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert list(running(tmp_path, tmp_path / "mesh.toml")) == []


def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="choose another place with --state"):
        Mark(tmp_path / "file" / "state", tmp_path, [], [], "tcp://127.0.0.1:1").__enter__()
