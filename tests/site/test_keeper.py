"""The cameras of a site's file, kept in a registry."""

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mesh import setups
from mesh.ports import free_port
from mesh.registry import Registry, open_registry
from mesh.registry.server import RegistryServer
from mesh.registry.setups import PREFIX, CameraSetup
from mesh.scope import Scope
from mesh.site.keeper import Keeper, configure
from mesh.site.parts import Plan
from tests.support.clock import ManualClock
from tests.support.slow_proxy import SlowProxy
from tests.support.waiting import PATIENCE_S, WITHIN_S, wait_for


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


@contextmanager
def kept(url: str, *cameras: CameraSetup) -> Iterator[ManualClock]:
    """A keeper of cameras in a registry, and its clock."""
    clock = ManualClock()
    with Scope("site") as scope:
        keeper = Keeper(scope, "shop", clock)
        keeper.start()
        keeper.keep(Plan(url, {}, cameras))
        yield clock


def test_what_somebody_else_writes_at_the_same_moment_is_read_and_the_cameras_are_kept(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Between the look at what stands and the write, as a request is held up on its way."""
    held, go = threading.Event(), threading.Event()

    def hold(piece: bytes) -> None:
        if b"\xa3put" in piece:
            held.set()
            go.wait(WITHIN_S)

    with (
        RegistryServer("tcp://127.0.0.1:*") as server,
        SlowProxy(int(server.url.rpartition(":")[2]), 10**8, hold) as proxy,
        open_registry(server.url, timeout=PATIENCE_S) as registry,
        kept(proxy.url, camera("a", fps=5)) as clock,
    ):
        try:
            wait_for(held.is_set)
            setups.add(registry, camera("a", site="", fps=1))
        finally:
            go.set()
        clock.advance_until(lambda: standing(registry)["a"] == camera("a", fps=5))
        assert "camera 'a' was changed by somebody else meanwhile" in caplog.text
        assert "trying again" in caplog.text


def test_a_registry_that_starts_anew_without_its_configuration_is_told_the_cameras_again() -> None:
    clock, url = ManualClock(), f"tcp://127.0.0.1:{free_port()}"
    with (
        RegistryServer(url, clock=clock) as server,
        open_registry(url, timeout=PATIENCE_S) as registry,
        kept(url, camera("a")) as keepers,
    ):
        wait_for(lambda: set(standing(registry)) == {"a"})
        server.close()
        clock.advance(60.0)
        with (
            RegistryServer(url, clock=clock),
            open_registry(url, timeout=PATIENCE_S) as anew,
        ):
            keepers.advance_until(lambda: set(standing(anew)) == {"a"})
