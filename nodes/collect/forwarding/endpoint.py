"""`http://[USER:PASSWORD@]HOST[:PORT]/PATH?OPTIONS`, and `https://`: where a webhook posts to. Pure, but for
the files of certificates that it names.

Rules kept here: every mistake is one `ConfigError`; what stands for a destination in messages is its host
alone, since a webhook's path is often its password; what goes unsigned was asked to.
"""

import base64
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

from mesh.errors import ConfigError
from nodes.collect.forwarding.address import PORTS, Address
from nodes.collect.forwarding.signing import keys_of
from nodes.collect.forwarding.trust import check_chosen, context
from nodes.options import Reader, choice, read_given

_PRINTABLE = "%/:=&?~+!$,;'@()*[]"  # what `quote` is to leave alone

# What is not among these is the receiver's.
_READERS: Mapping[str, Reader] = {
    "jpeg": choice("0", "1"),
    "only": choice("detections"),
    "secret": str,
    "unsigned": choice("1"),
    "ca": str,
    "cert": str,
    "from": str,  # the forwarder's
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to post to, and what.

    target:  path and query, as they stand in a request
    user:    `USER:PASSWORD` for Basic authentication, or empty
    keys:    what webhooks are signed with; none where they go unsigned
    """

    shown: str
    host: str
    port: int
    tls: ssl.SSLContext | None
    target: str = field(repr=False)
    user: str = field(repr=False)
    keys: tuple[bytes, ...] = field(repr=False)
    jpeg: bool = False
    only_detections: bool = False

    @property
    def scheme(self) -> str:
        return "http" if self.tls is None else "https"

    @property
    def authority(self) -> str:
        """Host and port as a request names them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


def endpoint_of(address: Address) -> Endpoint:
    """What `address` says. Raises `ConfigError`."""
    shown, given = address.server, options_of(address)
    theirs = {name: text for name, text in address.options.items() if name not in _READERS}
    target = quote(address.path or "/", safe=_PRINTABLE) + (f"?{urlencode(theirs)}" if theirs else "")
    return Endpoint(
        shown,
        _ascii(shown, address.host),
        address.server_port,
        context(shown, given.get("ca"), given.get("cert")) if address.scheme == "https" else None,
        target,
        f"{address.user}:{address.password or ''}" if address.user else "",
        _keys(shown, given),
        given.get("jpeg") == "1",
        "only" in given,
    )


def options_of(address: Address) -> Mapping[str, str]:
    """Our own options, by name, once all that `address` says was checked that needs neither a file nor a
    secret. Raises `ConfigError`."""
    shown = address.server
    ours = {name: text for name, text in address.options.items() if name in _READERS}
    given = read_given(shown, ours.items(), _READERS)
    check_chosen(shown, None if address.scheme == "https" else "https", given)
    _ascii(shown, address.host)
    if ("secret" in given) == ("unsigned" in given):
        raise ConfigError(
            f"{shown}: say how its receiver knows that a webhook is yours: secret={{NAME}}, with "
            "NAME=whsec_… in the node's environment or its --secrets FILE; or unsigned=1"
        )
    return given


def basic(user: str) -> str:
    """The header's value for `USER:PASSWORD` (RFC 7617)."""
    return "Basic " + base64.b64encode(user.encode()).decode()


def _ascii(shown: str, host: str) -> str:
    """A host as a request's head names it. Raises `ConfigError`."""
    try:
        return host.encode("idna").decode()
    except UnicodeError:
        raise ConfigError(f"{shown}: there can be no host of that name") from None


def _keys(shown: str, given: Mapping[str, str]) -> tuple[bytes, ...]:
    if "secret" not in given:
        return ()
    try:
        return keys_of(given["secret"])
    except ConfigError as error:
        raise ConfigError(f"{shown}: {error}") from None
