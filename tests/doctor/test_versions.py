"""Versions: each way in which they can be wrong, and that those here are right."""

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from mesh.doctor.findings import Level
from mesh.doctor.site import Site
from mesh.doctor.versions import Package, Versions, is_older, judge, packages_here, required
from mesh.registry.records import NodeState
from nodes.capture.sources.container import ffmpeg_version
from tests.doctor.support import node

ROOT = Path(__file__).parents[2]
HERE = Versions("1.0", (3, 11, 7), (Package("pyzmq", "26", "27.1"),), "4.3.5", True, "8.0")


def found(versions: Versions, site: Site | None = None) -> dict[str, Level]:
    return {finding.subject: finding.level for finding in judge(versions, site)}


def test_what_is_installed_here_is_well() -> None:
    assert set(found(Versions.here(ffmpeg_version())).values()) == {Level.OK}


def test_every_requirement_of_ours_is_understood() -> None:
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert [f"{name}>={least}" for name, least in required(asked)] == asked
    assert {p.name: p.least for p in packages_here() or ()} == dict(required(asked))


def test_a_python_that_is_too_old_has_failed() -> None:
    assert found(replace(HERE, python=(3, 10, 14)))["python"] is Level.FAILED


@pytest.mark.parametrize(("version", "told"), [("25.1.2", "pyzmq 25.1.2"), ("", "pyzmq is missing")])
def test_a_package_that_is_missing_or_too_old_has_failed_and_is_named(version: str, told: str) -> None:
    bad = replace(HERE, packages=(Package("pyzmq", "26", version), Package("rich", "13.7", "14.0")))
    (failed,) = (finding for finding in judge(bad, None) if finding.level is not Level.OK)
    assert (failed.level, failed.subject) == (Level.FAILED, "packages")
    assert failed.found == f"{told} (26 or newer is needed)"
    assert failed.do.endswith("-m pip install --upgrade 'pyzmq>=26'")


def test_what_is_not_installed_and_a_libzmq_without_encryption_are_noted() -> None:
    assert found(replace(HERE, packages=None))["packages"] is Level.NOTE
    assert found(replace(HERE, curve=False))["libraries"] is Level.NOTE


def test_nodes_of_another_version_are_named_and_those_that_ended_are_not() -> None:
    nodes = (
        node("same", version="1.0"),
        node("old", version="0.9"),
        node("gone", version="0.1", state=NodeState.ENDED),
    )
    (warned,) = (f for f in judge(HERE, Site(nodes=nodes)) if f.subject == "nodes")
    assert warned.level is Level.WARNING
    assert "old has 0.9" in warned.found
    assert "gone" not in warned.found
    assert found(HERE, Site(nodes=nodes[:1]))["nodes"] is Level.OK


@pytest.mark.parametrize(
    ("version", "least", "older"),
    [
        ("26", "26.0", False),
        ("26.0.1", "26", False),
        ("9.9", "10", True),
        ("2.0rc1", "2", False),
        ("1.0.7", "1.0.8", True),
        ("5.0.0.93", "4.9", False),
        ("unknown", "1", False),
    ],
)
def test_versions_are_compared_by_their_numbers(version: str, least: str, older: bool) -> None:
    assert is_older(version, least) is older
