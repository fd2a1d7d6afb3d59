"""Source URLs: their scheme, host and path, read without opening anything.

Rules kept here: pure; every mistake is one `ConfigError` that says what would be right, and never shows a
password.
"""

import re
from urllib.parse import quote, urlsplit

from mesh.errors import ConfigError
from nodes.capture.sources.base import Size
from nodes.redact import redact

MAX_SIDE = 16384
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")  # two letters or more: C:\ is a path
_BARE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_USERINFO_SAFE = "%!$&'()*+,;=:"


def scheme_of(url: str) -> str:
    """The scheme in lower case; "file" for a plain path."""
    found = _SCHEME.match(url)
    return found[1].lower() if found else "file"


def rest_of(url: str) -> str:
    """What follows `scheme:`."""
    return url.partition(":")[2]


def size(text: str) -> Size:
    """WIDTHxHEIGHT in pixels."""
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    width, height = (int(found[1]), int(found[2])) if found else (0, 0)
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise ValueError(f"give WIDTHxHEIGHT, for instance 1280x720, each side 1 to {MAX_SIDE}")
    return width, height


def network_url(url: str) -> str:
    """A URL with a host, its credentials percent-encoded for FFmpeg, which decodes them. `ConfigError` else.

    A password may hold `@` as it is; a `/`, `?` or `#` in it must be written %2F, %3F or %23.
    """
    scheme, slashes, rest = url.partition("://")
    end = min((rest.index(c) for c in "/?#" if c in rest), default=len(rest))
    userinfo, at, address = rest[:end].rpartition("@")
    _check_address(url, slashes, address)
    if not at:
        return f"{scheme.lower()}://{rest}"
    encoded = quote(_BARE_PERCENT.sub("%25", userinfo), safe=_USERINFO_SAFE)
    return f"{scheme.lower()}://{encoded}@{address}{rest[end:]}"


def _check_address(url: str, slashes: str, address: str) -> None:
    example = f"{scheme_of(url)}://user:password@192.168.1.20/stream"
    if any(c.isspace() or not c.isprintable() for c in url):
        raise ConfigError(f"{redact(url)!r}: a URL holds no spaces or control characters; write %20")
    try:
        parts = urlsplit(f"//{address}")
        port = parts.port
    except ValueError as error:
        hint = "a '/', '?' or '#' in a password is written %2F, %3F, %23"
        raise ConfigError(f"{redact(url)}: the host or port is wrong; {hint}") from error
    if not slashes or not parts.hostname or port == 0:
        raise ConfigError(f"{redact(url)}: names no host; write for instance {example}")


def address_of(url: str) -> tuple[str, int | None]:
    """(host, port) of a URL that `network_url` gave."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port
