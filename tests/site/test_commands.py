"""Where the commands about a site's file look, whatever the file and the folder are called."""

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mesh.cli.main import app
from mesh.cli.site import state_of
from mesh.errors import ConfigError


def test_without_a_working_directory_only_whole_paths_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert state_of(tmp_path / "mesh.toml", None) == tmp_path / ".mesh"
    for file, state in ((Path("mesh.toml"), None), (tmp_path / "mesh.toml", Path("state"))):
        with pytest.raises(ConfigError, match="the working directory is gone: change to another one"):
            state_of(file, state)


def test_each_file_has_a_state_folder_of_its_own(tmp_path: Path) -> None:
    assert state_of(tmp_path / "lab.toml", None) == tmp_path / ".mesh-lab"
    assert state_of(tmp_path / "lab.toml", tmp_path / "state") == tmp_path / "state"


def test_a_file_whose_name_is_no_utf_8_is_checked_and_told(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff.toml")
    assert CliRunner().invoke(app, ["config", "init", str(path)]).exit_code == 0
    result = CliRunner().invoke(app, ["config", "check", str(path)])
    assert result.exit_code == 0
    assert "\\udcff.toml is right: " in result.stdout
