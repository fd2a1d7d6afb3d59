"""Addresses as they stand in records and URLs: which host and port, and whether that is loopback. Pure."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from mesh.errors import ConfigError
from mesh.registry.etcd_address import parse_address

WITH_PORTS = ("tcp", "http", "https")
IPC = "ipc://@"


@dataclass(frozen=True, slots=True)
class Where:
    """A host, by name or address, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def where(endpoint: str) -> Where | None:
    """Where an endpoint is; None for one without a host and a port."""
    try:
        parts = urlsplit(endpoint)
        if parts.scheme in WITH_PORTS and parts.hostname and parts.port:
            return Where(parts.hostname, parts.port)
    except ValueError:  # a port that is no number
        pass
    return None


def is_numeric(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether a host, as it is written, is this machine to itself, whoever reads it."""
    return host == "localhost" or (is_numeric(host) and ipaddress.ip_address(host).is_loopback)


def servers_of(registry_url: str) -> tuple[Where, ...]:
    """The servers of a registry: one, or the members of a cluster; none for a file. For the one server its
    second port, on which changes are published, is left out."""
    if registry_url.startswith("etcd:"):
        try:
            return tuple(Where(host, port) for host, port in parse_address(registry_url).members)
        except ConfigError:
            return ()
    found = where(registry_url)
    return (found,) if found is not None else ()


def is_here_alone(registry_url: str) -> bool:
    """Whether a registry is one that other machines do not reach."""
    return all(is_loopback(server.host) for server in servers_of(registry_url))


def resolved(text: str, addresses: Mapping[str, str]) -> str:
    """A URL or endpoint with its hosts' names replaced by what they were resolved to."""
    for host, address in addresses.items():
        for before, after in (("//", ":"), (",", ":")):
            text = text.replace(f"{before}{host}{after}", f"{before}{address}{after}")
    return text
