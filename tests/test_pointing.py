"""Which registry a command means, and what is said where it does not answer."""

import ast
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mesh.cli.main import app
from mesh.cli.pointing import Meant, connect, meant, telling
from mesh.client import DEFAULT_REGISTRY
from mesh.errors import RegistryUnavailable
from mesh.registry.server import RegistryServer
from mesh.site.running import running
from tests.support.processes import ROOT

NOBODY = 65534


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own, in which nothing says where a registry is."""
    monkeypatch.delenv("MESH_REGISTRY", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[RegistryServer]:
    with RegistryServer("tcp://127.0.0.1:*", beat=0.1) as server:
        yield server


def write(text: str) -> None:
    Path("mesh.toml").write_text(text)


def told(registry: str | None = None) -> str:
    """What is said where it does not answer."""
    with pytest.raises(RegistryUnavailable) as caught, telling(registry):
        raise RegistryUnavailable("no registry answers at X: start one")
    return str(caught.value)


def test_a_site_in_this_folder_is_meant_where_nothing_else_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert meant(None).url == DEFAULT_REGISTRY
    assert told() == "no registry answers at X: start one"
    write('[devices.hub]\naddress = "192.0.2.1"\nadvertise = "hub.lan"\n[registry]\nport = 7866\n')
    assert meant(None).url == "tcp://hub.lan:7866"
    assert told() == (
        "no registry answers at tcp://hub.lan:7866, where mesh.toml in this folder has it: `mesh up` runs "
        "it; another one is named by --registry or MESH_REGISTRY"
    )
    assert meant("tcp://192.0.2.9:1").url == "tcp://192.0.2.9:1"
    assert told("tcp://192.0.2.9:1") == "no registry answers at X: start one"
    monkeypatch.setenv("MESH_REGISTRY", "tcp://192.0.2.8:1")
    assert meant(None).url == "tcp://192.0.2.8:1"


def test_a_folder_that_is_closed_to_us_has_no_site(folder: Path) -> None:
    folder.chmod(0)
    user = os.geteuid()
    try:
        if user == 0:  # to whom nothing is closed
            os.seteuid(NOBODY)
        assert meant(None) == Meant(DEFAULT_REGISTRY)
        assert list(running(folder / ".mesh", Path("mesh.toml"))) == []
    finally:
        os.seteuid(user)
        folder.chmod(0o700)


def test_that_of_a_site_that_uses_another_one_is_told_as_the_sites() -> None:
    write('[site]\nname = "a"\n[registry]\nurl = "etcd://192.0.2.1:2379"\n')
    assert meant(None).url == "etcd://192.0.2.1:2379"
    assert told() == "no registry answers at X: start one (mesh.toml in this folder says that it is there)"


def test_what_is_wrong_elsewhere_in_the_file_is_no_matter() -> None:
    write('[registry]\nport = 7866\n[process.p]\nprocesors = ["motion"]\n[cameras]\ndoor = 5\n')
    assert meant(None).url == "tcp://127.0.0.1:7866"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[registry]\nport = 0\n", "mesh.toml:2: registry.port: it is too small: give 1 or more"),
        ('[registry]\ndevice = "hub"\n', "mesh.toml:2: registry.device: there is no device 'hub': write "),
        ("[registry\n", "mesh.toml:1: "),
    ],
)
def test_a_file_that_cannot_be_read_is_passed_over_and_told(text: str, why: str) -> None:
    write(text)
    assert meant(None).url == DEFAULT_REGISTRY
    assert told().startswith(
        f"no registry answers at X: start one (that of the site here is not known: {why}"
    )


def test_commands_ask_the_one_of_the_site(server: RegistryServer) -> None:
    write(f"[registry]\nport = {server.url.rpartition(':')[2]}\n")
    done = CliRunner().invoke(app, ["ls", "--json"])
    assert done.exit_code == 0, done.output
    with connect(None) as mesh:
        assert mesh.registry.url == server.url


def test_no_command_goes_past_that() -> None:
    """But `mesh doctor`, who may be given another file."""
    for path in (ROOT / "mesh" / "cli").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "mesh.client":
                names = {alias.name for alias in node.names}
                assert not names & {"connect", "registry_url"} or path.name == "doctor.py", path
