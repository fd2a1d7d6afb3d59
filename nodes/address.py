"""Where a node listens, and what address it tells others.

Rules kept here: loopback is open; anything else asks for `--insecure` until there are keys; an address that
is advertised is one that others can reach, or it is said in one line that they cannot. A name is bound at
the address that it has here; an advertised name is looked up by others as IPv4, and IPv6 is given as an
address.
"""

import ipaddress
import socket
from urllib.parse import urlsplit

from mesh.errors import ConfigError

LOOPBACK = "127.0.0.1"
EVERY = "0.0.0.0"


def check_bind(host: str, insecure: bool) -> str:
    """The address of `host` (`*` is every one), when it may be listened on. Raises `ConfigError`."""
    address = _resolved(EVERY if host == "*" else host)
    if not address.is_loopback and not insecure:
        raise ConfigError(
            f"--bind {host} lets anyone on that network read and send frames: "
            "keep to 127.0.0.1, or add --insecure if the network is trusted"
        )
    return str(address)


def metrics_address(text: str, insecure: bool) -> tuple[str, int]:
    """The address and port of `[HOST:]PORT`, when it may be listened on. Raises `ConfigError`."""
    host, colon, port = text.rpartition(":")
    if not (port.isascii() and port.isdigit() and int(port) <= 65535) or (colon and not host):
        raise ConfigError(f"--metrics {text!r} is not [HOST:]PORT, such as 9700 or 192.0.2.1:9700")
    bare = host.removeprefix("[").removesuffix("]") or LOOPBACK
    address = _resolved(EVERY if bare == "*" else bare, "--metrics")
    if not address.is_loopback and not insecure:
        raise ConfigError(
            f"--metrics {text} lets anyone on that network read what this node counts: "
            "leave out the host, or add --insecure if the network is trusted"
        )
    return str(address), int(port)


def check_advertise(host: str) -> str:
    """`host`, when others could connect to it: a name or an address, without a port. Raises `ConfigError`."""
    bare = host.removeprefix("[").removesuffix("]")
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        if not bare or not all(c.isalnum() or c in "-_." for c in bare):
            raise ConfigError(f"--advertise {host!r} is no host: give a name or address, no port") from None
        return bare
    if address.is_unspecified:
        raise ConfigError(f"--advertise {host} is no address to connect to: give one of this machine's own")
    return bare


def doubt(bind: str, advertise: str | None, registry_url: str) -> str | None:
    """Why other machines will not reach a node that listens on the address `bind`, in one line; None where
    they should, or where the registry is for one machine anyway."""
    host = ipaddress.ip_address(bind)
    if advertise or _host_and_port(registry_url)[0] is None:
        return None
    try:
        near = ipaddress.ip_address(_address_towards(registry_url)).is_loopback
    except ConfigError:
        return None  # `advertised` says so where it matters
    if host.is_loopback and not near:
        return (
            f"this node listens on {bind}, where no other machine reaches it, though the registry at "
            f"{registry_url} is on a network: give --bind ADDRESS --insecure if others should"
        )
    if host.is_unspecified and near:
        return (
            f"this node listens on every address, but tells others {LOOPBACK}, as the registry at "
            f"{registry_url} is on this machine: give --advertise HOST if other machines should reach it"
        )
    return None


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
    host, port = _host_and_port(registry_url)
    if host is None:
        return LOOPBACK
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(address)
            return str(probe.getsockname()[0])
    except OSError as error:
        raise ConfigError(
            f"no route to the registry at {registry_url}: {error}; give --advertise HOST"
        ) from error


def _host_and_port(registry_url: str) -> tuple[str | None, int]:
    """Where the registry is: of a cluster, its first member. No host for one that is no server."""
    first = urlsplit(registry_url.partition(",")[0])
    return first.hostname, first.port or 0


def _resolved(host: str, option: str = "--bind") -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(socket.getaddrinfo(host, None)[0][4][0])
    except (OSError, ValueError) as error:
        raise ConfigError(f"{option} {host!r} is no address of this machine: {error}") from error
