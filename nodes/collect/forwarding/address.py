"""Where recordings are forwarded to, as people write it: `tcp://hq.example:7700?from=-2h`. Pure.

Rules kept here: what cannot be a destination is a `ConfigError` that says how one is written; no error, name
or `repr` shows a password. What else an option means, the carrier of its scheme knows.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import unquote, urlsplit

from mesh.errors import ConfigError
from mesh.names import check_name
from mesh.recordings.times import parse_time

# What there is, and how it is written.
SCHEMES: Mapping[str, str] = {
    "tcp": "tcp://HOST:PORT[/COLLECTOR] for the registry of another site",
    "mqtt": "mqtt[s]://HOST[:PORT]/TOPIC for a broker",
    "mqtts": "",
    "http": "http[s]://HOST[:PORT]/PATH for a webhook",
    "https": "",
}
PORTS: Mapping[str, int] = {"mqtt": 1883, "mqtts": 8883, "http": 80, "https": 443}  # unless another is given
WEBHOOKS = frozenset({"http", "https"})
FROM = "from"
BEGIN = "begin"  # of everything that is recorded
LAST_PORT = 65534  # a registry takes the next one, too


@dataclass(frozen=True, slots=True)
class Address:
    """A destination's URL in its parts, named as in `urllib.parse.SplitResult`: `path` begins with a slash
    or is empty; `user` and `password` are as they are meant, without percent signs; `options` stand behind
    the `?`."""

    scheme: str
    host: str
    port: int | None = None
    path: str = field(default="", repr=False)
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    options: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        """Its name: what it is told apart by, and shown as; options and who logs in are not part of it."""
        port = "" if self.port is None else f":{self.port}"
        return f"{self.scheme}://{self._bracketed}{port}{self._place}"

    @property
    def server_port(self) -> int:
        """Where its server listens: at what is usual where nothing else is said."""
        return self.port or PORTS[self.scheme]

    @property
    def server(self) -> str:
        """What its carrier calls it in messages: a path is often a secret."""
        return f"{self.scheme}://{self._bracketed}:{self.server_port}"

    @property
    def _bracketed(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def _place(self) -> str:
        """Its path. A webhook's may be its secret: some digits tell it apart from others."""
        if self.scheme not in WEBHOOKS or self.path in ("", "/"):
            return self.path
        return f"/…{hashlib.sha256(self.path.encode()).hexdigest()[:8]}"


def parse(url: str) -> Address:
    """Raises `ConfigError`."""
    scheme, colon, _ = url.partition("://")
    if not colon or scheme.lower() not in SCHEMES:
        raise ConfigError(f"--forward {_shown(url)!r} is no destination: {_forms()}")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"--forward {_shown(url)!r}: its host or port is none: {_forms()}") from error
    if not host or parts.fragment or not url.isprintable() or " " in url:
        raise ConfigError(f"--forward {_shown(url)!r} is not written as a URL is: {_forms()}")
    user, password = (None if each is None else unquote(each) for each in (parts.username, parts.password))
    address = Address(parts.scheme, host, port, parts.path, user, password, _options(parts.query, url))
    since_ns(address, 0)
    return _checked(address)


def since_ns(address: Address, now_ns: int) -> int | None:
    """From when on what was recorded before is to be forwarded, too, where a destination is met for the first
    time; None: nothing of it. Raises `ConfigError`."""
    text = address.options.get(FROM)
    if text is None:
        return None
    try:
        return 0 if text == BEGIN else parse_time(text, now_ns)
    except ConfigError as error:
        raise ConfigError(f"--forward {address}: {FROM} is a time, or {BEGIN}: {error}") from None


def without_from(address: Address) -> Address:
    """What is left for its carrier."""
    return replace(address, options={name: text for name, text in address.options.items() if name != FROM})


def addresses(urls: Iterable[str]) -> tuple[Address, ...]:
    """Several destinations, none of them twice. Raises `ConfigError`."""
    found: dict[str, Address] = {}
    for url in urls:
        address = parse(url)
        if str(address) in found:
            raise ConfigError(f"--forward {address} is given twice: leave one of them out")
        found[str(address)] = address
    return tuple(found.values())


def _checked(address: Address) -> Address:
    """With what ports there are, and what a site's registry, and a collector in it, may be called."""
    if address.port == 0 and address.scheme != "tcp":
        raise ConfigError(f"--forward {address}: nothing listens at port 0: leave it out, or give another")
    if address.scheme != "tcp":
        return address
    if address.port is None or not 0 < address.port <= LAST_PORT:
        raise ConfigError(f"--forward {address}: give the port of its registry, as in tcp://hq.example:7700")
    if address.user is not None:
        raise ConfigError(f"--forward {address}: a registry takes no user and no password: leave them out")
    if name := address.path.strip("/"):
        check_name("collector", name)
    address = replace(address, path=f"/{name}" if name else "")
    if odd := address.options.keys() - {FROM}:
        raise ConfigError(f"--forward {address}: there is no option {min(odd)!r}; there is {FROM}")
    return address


def _options(query: str, url: str) -> dict[str, str]:
    """`a=1&b=2`; a plus is a plus, as in times. Raises `ConfigError`."""
    options: dict[str, str] = {}
    for pair in filter(None, query.split("&")):
        name, equals, value = pair.partition("=")
        if not equals or name in options:
            raise ConfigError(f"--forward {_shown(url)!r}: write each option once, as NAME=VALUE")
        options[unquote(name)] = unquote(value)
    return options


def _shown(url: str) -> str:
    """A URL that cannot be read, without what may be a secret in it."""
    scheme, colon, rest = url.partition("://")
    if not colon:
        scheme, rest = "", url
    hidden = rest.rpartition("@")[2].partition("?")[0]
    return f"{scheme}{colon}{'***@' if '@' in rest else ''}{hidden}"


def _forms() -> str:
    return "write " + ", or ".join(filter(None, SCHEMES.values()))
