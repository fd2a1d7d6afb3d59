"""Where recorded frames are forwarded to: `SCHEME://[USER:PASSWORD@]HOST[:PORT]/PATH?OPTIONS`. Pure.

Rules kept here: every mistake is one `ConfigError` that says what would be right; neither it nor a `repr`
shows a password.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from mesh.errors import ConfigError
from nodes.redact import redact

SCHEMES = ("tcp", "mqtt", "mqtts", "http", "https")


@dataclass(frozen=True, slots=True)
class Address:
    """A destination. `port` is None where the URL names none; `path` begins with its slash, or is empty.

    User, password and the options' values are as they are meant: decoded, with their placeholders filled in.
    """

    scheme: str
    host: str
    port: int | None
    path: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    options: Mapping[str, str] = field(default_factory=dict, repr=False)


def parse(url: str) -> Address:
    """The address in a URL whose placeholders are filled in. Raises `ConfigError`."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"{redact(url)}: the host or port is wrong") from error
    if parts.scheme not in SCHEMES or not host:
        forms = ", ".join(f"{scheme}://HOST" for scheme in SCHEMES)
        raise ConfigError(f"{redact(url)!r} is nowhere to forward to: write one of {forms}")
    user, password = (None if text is None else unquote(text) for text in (parts.username, parts.password))
    return Address(parts.scheme, host, port, parts.path, user, password, dict(parse_qsl(parts.query, True)))
