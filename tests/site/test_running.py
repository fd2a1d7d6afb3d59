import json
import os
from pathlib import Path

import pytest

from mesh.errors import MeshError, StorageError
from mesh.site.running import Mark, running


def test_one_that_runs_is_found_and_one_that_ended_is_not(tmp_path: Path) -> None:
    with Mark(tmp_path, ["capture@gate"], "tcp://127.0.0.1:1234"):
        (found,) = running(tmp_path)
        assert (found.pid, found.endpoint) == (os.getpid(), "tcp://127.0.0.1:1234")
        assert str(found) == f"mesh up --only capture@gate (process {os.getpid()})"
    assert list(running(tmp_path)) == []


def test_a_second_one_of_the_same_parts_is_refused_and_one_of_others_is_not(tmp_path: Path) -> None:
    with Mark(tmp_path, [], "tcp://127.0.0.1:1"):
        with pytest.raises(MeshError, match=f"this runs already: mesh up .process {os.getpid()}."):
            Mark(tmp_path, [], "tcp://127.0.0.1:2").__enter__()
        with Mark(tmp_path, ["capture"], "tcp://127.0.0.1:3"):
            assert len(list(running(tmp_path))) == 2


def test_the_mark_of_one_that_was_killed_is_none(tmp_path: Path) -> None:
    (tmp_path / "up.json").write_text(json.dumps({"pid": 1, "endpoint": "tcp://127.0.0.1:1", "only": []}))
    assert list(running(tmp_path)) == []
    with Mark(tmp_path, [], "tcp://127.0.0.1:2"):
        (found,) = running(tmp_path)
    assert found.pid == os.getpid()


def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="choose another place with --state"):
        Mark(tmp_path / "file" / "state", [], "tcp://127.0.0.1:1").__enter__()
