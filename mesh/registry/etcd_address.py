"""`etcd://HOST:PORT[,HOST:PORT…][/PREFIX]`: the members of a cluster, and where in it a mesh is. Pure.

Rules kept here: every member's port is written out; a mesh has a prefix of its own, `mesh` unless another is
given, so that several of them, and whatever else a site keeps in etcd, can share one cluster.
"""

import re
from dataclasses import dataclass

from mesh.errors import ConfigError

PREFIX = "mesh"

_MEMBER = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9._-]+)):(?P<port>[0-9]{1,5})")
_PREFIX = re.compile(r"[A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+)*")


@dataclass(frozen=True, slots=True)
class Address:
    """Host and port of each member; `prefix` comes before every key, and ends with a slash."""

    members: tuple[tuple[str, int], ...]
    prefix: str

    def __str__(self) -> str:
        """The members as a person writes them."""
        return ", ".join(written(host, port) for host, port in self.members)


def parse_address(url: str) -> Address:
    """The address in `url`. Raises `ConfigError`."""
    scheme, _, rest = url.partition("://")
    members, _, prefix = rest.partition("/")
    prefix = prefix.rstrip("/") or PREFIX
    if scheme != "etcd" or not _PREFIX.fullmatch(prefix):
        raise _wrong(url)
    return Address(tuple(_member(url, member) for member in members.split(",")), f"{prefix}/")


def written(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _member(url: str, member: str) -> tuple[str, int]:
    match = _MEMBER.fullmatch(member)
    if match is None or not 0 < int(match["port"]) < 65536:
        raise _wrong(url)
    return match["ipv6"] or match["host"], int(match["port"])


def _wrong(url: str) -> ConfigError:
    return ConfigError(f"{url!r} is not an etcd cluster: write etcd://HOST:PORT[,HOST:PORT…][/PREFIX]")
