"""Whether a plan can run on this machine, asked before anything starts.

Rules kept here: a port that is taken is told at once: nodes would find whoever has it in place of their
registry; so is an address of another machine.
"""

import errno
import socket
from urllib.parse import urlsplit

from mesh.errors import ConfigError, TransportError
from mesh.site.parts import REGISTRY, Plan


def check_here(plan: Plan) -> None:
    """Raises `ConfigError` for an address that is not this machine's, `TransportError` for a port that is
    taken."""
    for part in plan.parts.values():
        bind = part.argument("--bind")
        host = urlsplit(bind).hostname if part.kind == REGISTRY else bind
        if host and not _is_here(host):
            raise ConfigError(
                f"device {part.device!r} is at {host}, which is no address of this machine: say what runs "
                "here with --only @DEVICE"
            )
    if REGISTRY in plan.parts:
        where = urlsplit(plan.parts[REGISTRY].argument("--bind"))
        for port in (where.port or 0, (where.port or 0) + 1):
            _check_free(where.hostname or "", port)


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
