"""`mqtt://[USER:PASSWORD@]HOST[:PORT]/TOPIC?OPTIONS`, and `mqtts://` with TLS: what a broker is told, and
what it answers. Values; pure, but for the files of certificates that a URL names.

Rules kept here: every mistake is one `ConfigError`, and no password shows in it.
"""

import secrets
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from mesh.errors import ConfigError
from nodes.collect.forwarding.address import Address
from nodes.collect.forwarding.trust import check_chosen, context
from nodes.options import Reader, choice, read_given

TOPIC = "framemesh"
PICTURE, WORDS = "image/jpeg", "application/json"
MOST_TOPIC_BYTES = 60_000  # what the protocol allows, less what is put behind it

_READERS: Mapping[str, Reader] = {
    "jpeg": choice("0", "1", "inline"),
    "only": choice("detections"),
    "qos": choice("0", "1"),
    "client": str,
    "ca": str,
    "cert": str,
    "from": str,  # the forwarder's
}


@dataclass(frozen=True, slots=True)
class Broker:
    """What to connect to, and what to publish there.

    topic:   what all topics begin with, without a slash at either end
    qos:     1: a frame is done when the broker acknowledged it; 0: when it was written
    jpeg:    a message of its own for each picture; `inline`: in the JSON, in base64
    only_detections:  frames in which nothing was found are left out
    """

    shown: str
    host: str
    port: int
    tls: ssl.SSLContext | None
    user: str | None
    password: str | None = field(repr=False)
    client: str
    topic: str
    qos: int = 1
    jpeg: bool = False
    inline: bool = False
    only_detections: bool = False

    @property
    def status_topic(self) -> str:
        """Where it says whether it is there."""
        return f"{self.topic}/status"


class Broken(Exception):
    """The session is over; the words say why."""


class BrokenOff(Broken):
    """The other end closed it, or broke the protocol: it may be for what it was sent last."""


class OldBroker(Broken):
    """It speaks MQTT 3.1.1, and no newer version."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """`refusal` is empty where the broker has the message; `may_later` tells that it may take it yet."""

    mid: int
    refusal: str = ""
    may_later: bool = False


@dataclass(frozen=True, slots=True)
class Publication:
    """A message: its topic, and what MQTT 5 tells beside it."""

    topic: str
    payload: bytes
    content_type: str
    about: tuple[tuple[str, str], ...] = ()

    @property
    def is_picture(self) -> bool:
        return self.content_type == PICTURE

    @property
    def most_bytes(self) -> int:
        """The packet's size at most."""
        words = (self.topic, self.content_type, *(word for pair in self.about for word in pair))
        return len(self.payload) + sum(len(word.encode()) + 5 for word in words) + 16


def broker_of(address: Address) -> Broker:
    """What `address` says. Raises `ConfigError`."""
    shown, given = address.server, options_of(address)
    return Broker(
        shown,
        address.host,
        address.server_port,
        context(shown, given.get("ca"), given.get("cert")) if address.scheme == "mqtts" else None,
        address.user or None,
        address.password,
        given.get("client") or f"framemesh{secrets.token_hex(6)}",
        _topic(shown, address.path),
        int(given.get("qos", 1)),
        given.get("jpeg") == "1",
        given.get("jpeg") == "inline",
        "only" in given,
    )


def options_of(address: Address) -> Mapping[str, str]:
    """Its options, by name, once all that `address` says was checked that needs neither a file nor a secret.
    Raises `ConfigError`."""
    shown = address.server
    given = read_given(shown, address.options.items(), _READERS)
    check_chosen(shown, None if address.scheme == "mqtts" else "mqtts", given)
    if not address.user and address.password:
        raise ConfigError(
            f"{shown}: a password goes with a user: write {address.scheme}://USER:PASSWORD@HOST"
        )
    _topic(shown, address.path)
    return given


def _topic(shown: str, path: str) -> str:
    topic = unquote(path).strip("/") or TOPIC
    if set(topic) & set("+#\0") or topic.startswith("$") or len(topic.encode()) > MOST_TOPIC_BYTES:
        raise ConfigError(f"{shown}: {topic[:60]!r} is no topic to publish to: it holds no +, # or leading $")
    return topic
