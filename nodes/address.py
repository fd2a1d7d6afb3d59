"""Where a node listens, and what address it tells others.

Rules kept here: loopback is open; anything else asks for `--insecure` until there are keys; an address that
is advertised is one that others can reach.
"""

import ipaddress
import socket
from urllib.parse import urlsplit

from mesh.errors import ConfigError

LOOPBACK = "127.0.0.1"


def check_bind(host: str, insecure: bool) -> str:
    """`host` itself, when it may be listened on. Raises `ConfigError`."""
    address = _resolved(host)
    if not address.is_loopback and not insecure:
        raise ConfigError(
            f"--bind {host} lets anyone on that network read and send frames: "
            "keep to 127.0.0.1, or add --insecure if the network is trusted"
        )
    return str(address)


def bind_endpoint(host: str) -> str:
    """A zmq endpoint on a free port of `host` (an address)."""
    return f"tcp://[{host}]:*" if ":" in host else f"tcp://{host}:*"


def advertised(endpoint: str, bind: str, advertise: str | None, registry_url: str) -> str:
    """`endpoint` as others should connect to it.

    The host is `advertise` where given; for a socket bound to every interface it is the address that this
    machine uses towards its registry; else it is the one that was bound.
    """
    port = urlsplit(endpoint).port
    host = advertise or (_address_towards(registry_url) if _resolved(bind).is_unspecified else bind)
    return f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"


def _address_towards(registry_url: str) -> str:
    """This machine's address on the route to the registry; nothing is sent to find it."""
    registry = urlsplit(registry_url)
    if registry.hostname is None:
        return LOOPBACK
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            registry.hostname, registry.port or 0, type=socket.SOCK_DGRAM
        )[0]
        with socket.socket(family, kind) as probe:
            probe.connect(address)
            return str(probe.getsockname()[0])
    except OSError as error:
        raise ConfigError(
            f"no route to the registry at {registry_url}: {error}; give --advertise HOST"
        ) from error


def _resolved(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(socket.getaddrinfo(host, None)[0][4][0])
    except (OSError, ValueError) as error:
        raise ConfigError(f"--bind {host!r} is no address of this machine: {error}") from error
