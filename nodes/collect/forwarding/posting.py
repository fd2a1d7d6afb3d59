"""POST over HTTP/1.1: one connection at a time, kept while both ends like it.

Rules kept here: no wait is longer than it may be, in all, however slowly the other end goes on, and every
wait ends soon after `ended()` holds; of an answer its head is read, and a little of what follows, whatever
sizes it claims; no redirect is followed; a proxy is asked where the environment names one, as everywhere
(`https_proxy`, `no_proxy`).

What is sent and read is the standard library's (`http.client`), over a connection of ours: its own would wait
for each piece as long as for the whole, and nobody could end that.
"""

import io
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from mesh.clock import Clock
from mesh.errors import ConfigError
from nodes.collect.forwarding.endpoint import Endpoint, basic
from nodes.collect.forwarding.verdict import Answer
from nodes.connection import Connection, Ended, Patience

PROXY_PORT = 3128  # where none is given
OPEN_S = 15.0
ANSWER_S = 30.0
REST_S = 2.0  # for what follows an answer's head
SLOWEST_BYTES_A_S = 8 << 10
MOST_REST_BYTES = 64 << 10  # of what follows, to be read before the next request
MOST_ANSWER_BYTES = 256 << 10  # in all, so that no answer fills the memory

_CLOSED = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)


@dataclass(frozen=True, slots=True)
class Proxy:
    host: str
    port: int
    user: str


def proxy_for(endpoint: Endpoint, named: Mapping[str, str]) -> Proxy | None:
    """The proxy that `named` (of the environment) has for it, if any. Raises `ConfigError`."""
    url = named.get(endpoint.scheme)
    if not url or proxy_bypass(endpoint.host):
        return None
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port or PROXY_PORT
    except ValueError:
        raise _no_proxy(endpoint) from None
    if parts.scheme != "http" or not parts.hostname:
        raise _no_proxy(endpoint)
    user = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else ""
    return Proxy(parts.hostname, port, user)


def _no_proxy(endpoint: Endpoint) -> ConfigError:
    return ConfigError(
        f"{endpoint.shown}: {endpoint.scheme}_proxy in the environment names no proxy that is known here: "
        "write http://HOST:PORT there, or its host in no_proxy"
    )


class Poster:
    """Posts to `endpoint` by one thread."""

    def __init__(self, endpoint: Endpoint, clock: Clock, ended: Callable[[], bool]) -> None:
        self._endpoint, self._clock, self._ended = endpoint, clock, ended
        self._proxy = proxy_for(endpoint, getproxies())
        self._headers = {"Host": endpoint.authority}
        if endpoint.user:
            self._headers["Authorization"] = basic(endpoint.user)
        self._target = endpoint.target
        if self._proxy is not None and endpoint.tls is None:
            self._target = f"http://{endpoint.authority}{endpoint.target}"
            self._headers |= _for_proxy(self._proxy)
        self._http: HTTPConnection | None = None

    def __repr__(self) -> str:
        return f"<Poster to {self._endpoint.shown}, {'connected' if self._http else 'not connected'}>"

    def post(self, headers: Mapping[str, str], body: bytes) -> Answer:
        """What it answers. Raises `OSError`, `HTTPException`, `TimeoutError` or `Ended`."""
        kept = self._http is not None
        try:
            return self._post(headers, body)
        except _CLOSED:
            # The other end may close what it keeps, just when this one is about to use it.
            if not kept:
                raise
        return self._post(headers, body)

    def close(self) -> None:
        if self._http is not None:
            self._http.close()
            self._http = None

    def _post(self, headers: Mapping[str, str], body: bytes) -> Answer:
        try:
            http = self._http = self._http or self._opened()
            stream: _Stream = http.sock  # type: ignore[assignment]  # as `_opened` has it
            stream.patience = self._patience(ANSWER_S + len(body) / SLOWEST_BYTES_A_S)
            with suppress(*_CLOSED):  # an answer may be there all the same: 413, and closed
                http.request("POST", self._target, body, {**self._headers, **headers})
            stream.patience, stream.left_bytes = self._patience(ANSWER_S), MOST_ANSWER_BYTES
            with _answer(http) as response:
                stream.patience = self._patience(REST_S)
                if not _read_through(response) or http.sock is None:  # it said that it closes
                    self.close()
                return Answer(response.status, response.headers.get("Retry-After", ""))
        except BaseException:
            self.close()
            raise

    def _opened(self) -> HTTPConnection:
        endpoint, proxy, patience = self._endpoint, self._proxy, self._patience(OPEN_S)
        http = HTTPConnection(endpoint.host, endpoint.port)
        http.response_class = _Final
        if proxy is None:
            connection = Connection(endpoint.host, endpoint.port, endpoint.tls, patience)
        else:
            connection = Connection(proxy.host, proxy.port, None, patience)
            if endpoint.tls is not None:
                _tunnel(connection, endpoint, proxy, patience)
        http.sock = _Stream(connection, patience)
        return http

    def _patience(self, seconds: float) -> Patience:
        return Patience(self._clock, self._clock.monotonic() + seconds, self._ended)


class _Final(HTTPResponse):
    """The answer behind those that only say that one will come (RFC 9110, 15.2); `http.client` passes over
    100 alone."""

    def begin(self) -> None:
        super().begin()
        while 100 < self.status < 200 and self.status != HTTPStatus.SWITCHING_PROTOCOLS:
            self.headers = None  # type: ignore[assignment]  # it has none yet
            super().begin()


class _Stream:
    """What `http.client` takes for a socket: reads and writes as long as `patience` has it, and reads
    `left_bytes` at most."""

    def __init__(self, connection: Connection, patience: Patience) -> None:
        self._connection, self.patience = connection, patience
        self.left_bytes = MOST_ANSWER_BYTES

    def sendall(self, data: bytes) -> None:
        self._connection.send(data, self.patience)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self))

    def receive(self) -> bytes:
        """Raises `HTTPException` where that is too much, besides what `Connection.await_data` does."""
        data = self._connection.await_data(self.patience)
        self.left_bytes -= len(data)
        if self.left_bytes < 0:
            raise HTTPException("an answer without an end")
        return data

    def close(self) -> None:
        self._connection.close()


class _Reader(io.RawIOBase):
    def __init__(self, stream: _Stream) -> None:
        self._stream, self._rest = stream, b""

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        data = self._rest or self._stream.receive()
        into[: len(data)], self._rest = data[: len(into)], data[len(into) :]
        return min(len(data), len(into))


def _answer(http: HTTPConnection) -> HTTPResponse:
    try:
        return http.getresponse()
    except ValueError as error:  # a number that is none, where `http.client` does not look
        raise HTTPException("an answer that cannot be read") from error


def _read_through(response: HTTPResponse) -> bool:
    """Whether the connection may be kept: what follows the head was short, and came at once."""
    try:
        response.read(MOST_REST_BYTES)
    except (OSError, HTTPException, ValueError, Ended):  # ValueError: a chunk of less than no bytes
        return False  # what is said in the head is said
    return response.isclosed()


def _tunnel(connection: Connection, endpoint: Endpoint, proxy: Proxy, patience: Patience) -> None:
    """Have the proxy connect to the endpoint, and begin TLS with that. Closed when it fails."""
    try:
        host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
        where = f"{host}:{endpoint.port}"
        head = {"Host": where, **_for_proxy(proxy)}
        lines = [f"CONNECT {where} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items()), "", ""]
        connection.send("\r\n".join(lines).encode("latin-1"), patience)
        stream: Any = _Stream(connection, patience)
        response = HTTPResponse(stream, method="CONNECT")
        response.begin()
        if response.status != 200:
            raise HTTPException(f"the proxy answers {response.status}")
        assert endpoint.tls is not None
        connection.start_tls(endpoint.tls, endpoint.host, patience)
    except BaseException:
        connection.close()
        raise


def _for_proxy(proxy: Proxy) -> dict[str, str]:
    return {"Proxy-Authorization": basic(proxy.user)} if proxy.user else {}
