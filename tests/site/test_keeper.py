"""The cameras of a site's file, kept in a registry."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh import setups
from mesh.registry import Registry, open_registry
from mesh.registry.setups import PREFIX, CameraSetup
from mesh.site.keeper import configure


@pytest.fixture
def registry() -> Iterator[Registry]:
    with open_registry(f"memory:{secrets.token_hex(4)}") as made:
        yield made


def camera(name: str, site: str = "shop", **options: object) -> CameraSetup:
    return CameraSetup.made(name, {"url": "synthetic:", "site": site, **options})


def standing(registry: Registry) -> dict[str, CameraSetup]:
    return {setup.name: setup for setup in setups.setups(registry)}


def test_cameras_are_added_changed_and_removed_as_the_file_has_them(registry: Registry) -> None:
    assert configure(registry, "shop", [camera("a"), camera("b")]) == ["a added", "b added"]
    assert configure(registry, "shop", [camera("b", fps=5), camera("c")]) == [
        "b changed",
        "c added",
        "a removed",
    ]
    assert standing(registry) == {"b": camera("b", fps=5), "c": camera("c")}


def test_what_stands_already_is_not_written(registry: Registry) -> None:
    configure(registry, "shop", [camera("a")])
    before = [entry.revision for entry in registry.list(PREFIX)]
    assert configure(registry, "shop", [camera("a")]) == []
    assert [entry.revision for entry in registry.list(PREFIX)] == before


def test_cameras_that_a_person_configured_stay_and_one_that_is_in_the_file_becomes_its(
    registry: Registry,
) -> None:
    for name in ("own", "both"):
        setups.add(registry, camera(name, site=""))
    configure(registry, "shop", [camera("both"), camera("a")])
    assert configure(registry, "shop", []) == ["a removed", "both removed"]
    assert set(standing(registry)) == {"own"}


def test_two_sites_on_one_registry_leave_one_another_alone(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    configure(registry, "shop", [camera("a")])
    assert configure(registry, "lab", [camera("a", "lab", fps=1), camera("b", "lab")]) == ["b added"]
    assert "camera a is configured by the site 'shop'" in caplog.text
    assert configure(registry, "shop", [camera("a")]) == []
    assert set(standing(registry)) == {"a", "b"}


def test_an_entry_that_is_malformed_is_mended(registry: Registry, tmp_path: Path) -> None:
    registry.put(f"{PREFIX}a", {"fps": "rubbish"})
    assert configure(registry, "shop", [camera("a")]) == ["a changed"]


def test_a_camera_that_is_moved_to_a_file_is_not_captured_anew() -> None:
    assert camera("a").capture == camera("a", site="").capture
