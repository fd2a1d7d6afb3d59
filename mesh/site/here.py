"""Whether a plan can run on this machine, asked before anything starts.

Rules kept here: a port that is taken is told at once: nodes would find whoever has it in place of their
registry; so is an address of another machine.
"""

import errno
import ipaddress
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

from mesh.errors import ConfigError, TransportError
from mesh.site.parts import REGISTRY, Part, Plan
from mesh.site.sections import EVERY


def check_here(plan: Plan, ours: Iterable[Part] = ()) -> None:
    """Raises `ConfigError` for an address that is not this machine's, `TransportError` for a port that is
    taken: but for those that a registry of `ours` has, which makes room."""
    for part in plan.parts.values():
        bind = part.argument("--bind")
        host = urlsplit(bind).hostname if part.kind == REGISTRY else bind
        if host and not _is_here(host):
            raise ConfigError(
                f"device {part.device!r} is at {host}, which is no address of this machine: say what runs "
                "here with --only @DEVICE"
            )
    theirs = _ports(ours)
    for where in _ports(plan.parts.values()):
        if not any(_overlap(where, other) for other in theirs):
            _check_free(*where)


def parts_here(plan: Plan) -> set[str]:
    """The names of those parts that surely run on this machine, wherever the plan was made: what listens at
    every address does as far as that goes which it tells others. No name is looked up."""
    return {part.name for part in plan.parts.values() if _is_surely_here(_address(part))}


def _address(part: Part) -> str:
    bind = part.argument("--bind")
    host = (urlsplit(bind).hostname or "") if part.kind == REGISTRY else bind
    return part.argument("--advertise") if host in EVERY and "--advertise" in part.arguments else host


def _is_surely_here(host: str) -> bool:
    try:
        _try(str(ipaddress.ip_address(host)), 0)
    except (OSError, ValueError):
        return host == "localhost"
    return True


def _ports(parts: Iterable[Part]) -> list[tuple[str, int]]:
    """Where the registries among them listen."""
    places = [urlsplit(part.argument("--bind")) for part in parts if part.kind == REGISTRY]
    return [(place.hostname or "", (place.port or 0) + more) for place in places for more in (0, 1)]


def _overlap(one: tuple[str, int], other: tuple[str, int]) -> bool:
    """Whether who listens at one of them is in the way of the other."""
    return one[1] == other[1] and (one[0] == other[0] or bool(EVERY & {one[0], other[0]}))


def _is_here(host: str) -> bool:
    try:
        _try(host, 0)
    except OSError as error:
        return error.errno != errno.EADDRNOTAVAIL
    return True


def _check_free(host: str, port: int) -> None:
    try:
        _try(host, port)
    except OSError as error:
        raise TransportError(
            f"the registry cannot listen at {host}:{port}: {error.strerror}; is another one running? Stop "
            "it, or write another port = … under [registry]"
        ) from error


def _try(host: str, port: int) -> None:
    """Bind a socket, and let it go. Raises `OSError`."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the registry's own socket does
        probe.bind(address)
