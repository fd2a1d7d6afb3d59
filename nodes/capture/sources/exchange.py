"""One GET over HTTP/1.1: the request, the head of the response, redirects and passwords.

Rules kept here: credentials go to the server that they were given for, and only when it asks; a head is
bounded; a response's body is left to whoever asked; no error of here holds the URL. A certificate is not
verified, as FFmpeg does not by itself: cameras sign their own.
"""

import re
import secrets
import ssl
from contextlib import suppress
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesHeaderParser
from urllib.parse import quote, unquote, urljoin, urlsplit

from nodes.capture.sources.authorization import Credentials, answer
from nodes.capture.sources.chunked import ChunkedDecoder
from nodes.connection import Connection, Patience

MAX_HEAD = 64 << 10
MAX_REQUESTS = 8
_PORTS = {"http": 80, "https": 443}
_REDIRECTS = (301, 302, 303, 307, 308)
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3})(?: [^\r\n]*)?\r?\n")
_EMPTY_LINE = re.compile(rb"\r?\n\r?\n")
_STALE = re.compile(r"(?i)\bstale\s*=\s*\"?true")  # the password was right, the nonce too old
_PRINTABLE = "%/:=&?~#+!$,;'@()*[]"  # what `quote` is to leave alone


class NotHttp(Exception):
    """What answers does not speak HTTP as it is known here."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a request goes: what stands in a URL, without its credentials."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def is_same_server(self, other: "Address") -> bool:
        """Whether what was meant for this one may be told to `other`: the same, or its https side."""
        if self.host != other.host:
            return False
        to_tls = (self.scheme, self.port, other.scheme, other.port) == ("http", 80, "https", 443)
        return to_tls or (self.scheme, self.port) == (other.scheme, other.port)


class Response:
    """The answer to a GET: its status, its headers, and its body as it comes in."""

    def __init__(self, connection: Connection, head: bytes, rest: bytes) -> None:
        line = _STATUS_LINE.match(head)
        if line is None:
            raise NotHttp
        self.status = int(line[1])
        self.headers: Message = BytesHeaderParser().parsebytes(head[line.end() :])
        chunked = "chunked" in str(self.headers.get("Transfer-Encoding", "")).lower()
        self.connection = connection
        self._chunks = ChunkedDecoder() if chunked else None
        self._rest = rest

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.headers.get_content_type()}>"

    def every(self, name: str) -> list[str]:
        """Every header of that name, each on one line."""
        return [re.sub(r"[\r\n]+", "", str(value)) for value in self.headers.get_all(name, [])]

    def first(self) -> bytes:
        """What came in behind the head, once."""
        rest, self._rest = self._rest, b""
        return rest

    def decode(self, data: bytes) -> bytes:
        """Received bytes as the body's own. Raises `ValueError` where they break the transfer coding."""
        return self._chunks.decode(data) if self._chunks is not None else data

    @property
    def is_complete(self) -> bool:
        """Whether the body has said that it ends."""
        return self._chunks is not None and self._chunks.ended


def get(url: str, patience: Patience) -> Response:
    """GET a URL that `urls.network_url` gave, over redirects and with its credentials.

    The response may have any status; its connection is to be closed. Raises `OSError`, `TimeoutError`,
    `Ended`, or `NotHttp`.
    """
    address, credentials = _split(url)
    header: str | None = None
    for _ in range(MAX_REQUESTS):
        response = _request(address, header, patience)
        following = _redirected(address, response)
        if following is not None:
            response.connection.close()
            credentials = credentials if address.is_same_server(following) else None
            address, header = following, None
            continue
        again = _authorized(address, response, credentials)
        if again is None or (header is not None and not _is_stale(response)):
            return response
        response.connection.close()
        header = again
    raise NotHttp  # it sends one round in a circle


def _split(url: str) -> tuple[Address, Credentials | None]:
    parts = urlsplit(url)
    target = quote(parts.path or "/", safe=_PRINTABLE)
    if parts.query:
        target += "?" + quote(parts.query, safe=_PRINTABLE)
    usual = _PORTS[parts.scheme]  # a KeyError for what is no HTTP, also where the port is given
    address = Address(parts.scheme, parts.hostname or "", parts.port or usual, target)
    if parts.username is None:
        return address, None
    return address, Credentials(unquote(parts.username), unquote(parts.password or ""))


def _request(address: Address, authorization: str | None, patience: Patience) -> Response:
    lines = [
        f"GET {address.target} HTTP/1.1",
        f"Host: {address.authority}",
        "User-Agent: framemesh",
        "Accept: */*",
        "Connection: close",
    ]
    if authorization is not None:
        lines.append(f"Authorization: {authorization}")
    tls = _unverified() if address.scheme == "https" else None
    connection = Connection(address.host, address.port, tls, patience)
    try:
        connection.send("\r\n".join([*lines, "", ""]).encode(), patience)
        return Response(connection, *_head(connection, patience))
    except BaseException:
        connection.close()
        raise


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _head(connection: Connection, patience: Patience) -> tuple[bytes, bytes]:
    """The response's head, and what came behind it."""
    data = b""
    while len(data) < MAX_HEAD:
        more = connection.await_data(patience)
        data += more
        if end := _EMPTY_LINE.search(data):
            return data[: end.end()], data[end.end() :]
        if not more or not _may_be_http(data):
            break
    raise NotHttp


def _may_be_http(data: bytes) -> bool:
    return data.startswith(b"HTTP/1."[: len(data)])


def _redirected(address: Address, response: Response) -> Address | None:
    """Where a response sends one; None where it does not, or to what is no HTTP."""
    location = next(iter(response.every("Location")), "")
    if response.status not in _REDIRECTS or not location:
        return None
    base = f"{address.scheme}://{address.authority}{address.target}"
    with suppress(ValueError, KeyError):
        following, _ = _split(urljoin(base, location))
        return following if following.host else None
    return None


def _authorized(address: Address, response: Response, credentials: Credentials | None) -> str | None:
    """How to ask again after a response that wants a password; None where that cannot be answered."""
    if response.status != 401 or credentials is None:
        return None
    cnonce = secrets.token_hex(8)
    return answer(response.every("WWW-Authenticate"), credentials, "GET", address.target, cnonce)


def _is_stale(response: Response) -> bool:
    return any(_STALE.search(challenge) for challenge in response.every("WWW-Authenticate"))
