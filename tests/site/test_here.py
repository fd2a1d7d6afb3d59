"""Whether a plan can run here, with real sockets."""

import contextlib
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mesh.errors import ConfigError, TransportError
from mesh.ports import free_port
from mesh.site.here import check_here
from mesh.site.parts import Plan, plan
from tests.site.support import site_of


def planned(folder: Path, port: int, address: str = "127.0.0.1") -> Plan:
    text = (
        f'[site]\ninsecure = true\n[devices.hub]\naddress = "{address}"\nadvertise = "127.0.0.1"\n'
        f"[registry]\nport = {port}\n[capture.c]\n"
    )
    return plan(site_of(folder, text), folder)


@contextmanager
def taken(*ports: int, host: str = "127.0.0.1") -> Iterator[None]:
    """Somebody listens at these."""
    sockets = [socket.create_server((host, port)) for port in ports]
    try:
        yield
    finally:
        for each in sockets:
            each.close()


@pytest.fixture
def port() -> int:
    """One that is free, and so are its neighbours: the one before it, and two behind it."""
    while True:
        with contextlib.suppress(OSError):
            port = free_port()
            with taken(port - 1, port, port + 1, port + 2):
                return port


@pytest.mark.parametrize("offset", [0, 1])
def test_both_ports_of_a_registry_have_to_be_free(offset: int, port: int, tmp_path: Path) -> None:
    check_here(planned(tmp_path, port))
    told = f"^the registry cannot listen at 127.0.0.1:{port + offset}: Address already in use; "
    with taken(port + offset), pytest.raises(TransportError, match=told):
        check_here(planned(tmp_path, port))
    check_here(planned(tmp_path, port))


def test_those_of_the_registry_that_makes_room_are_free(port: int, tmp_path: Path) -> None:
    before = planned(tmp_path, port)
    with taken(port, port + 1):
        check_here(before, before.parts.values())
        check_here(planned(tmp_path, port, "0.0.0.0"), before.parts.values())
        check_here(before, planned(tmp_path, port, "0.0.0.0").parts.values())
        check_here(planned(tmp_path, port - 1), before.parts.values())
    with taken(port, port + 1, port + 2), pytest.raises(TransportError, match=f":{port + 2}: "):
        check_here(planned(tmp_path, port + 1), before.parts.values())


def test_that_of_another_address_is_not_the_registrys(port: int, tmp_path: Path) -> None:
    with taken(port, host="127.0.0.2"), pytest.raises(TransportError, match=f" 127.0.0.2:{port}: "):
        check_here(planned(tmp_path, port, "127.0.0.2"), planned(tmp_path, port).parts.values())


def test_an_address_of_another_machine_is_told(port: int, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^device 'hub' is at 192.0.2.7, which is no address of this"):
        check_here(planned(tmp_path, port, "192.0.2.7"))


def test_without_a_registry_no_port_is_looked_at(port: int, tmp_path: Path) -> None:
    site = site_of(tmp_path, f"[registry]\nport = {port}\n[capture.c]\n")
    with taken(port, port + 1):
        check_here(plan(site, tmp_path, ["capture"]))
