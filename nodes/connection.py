"""A TCP connection, with TLS over it where that is asked for.

Rules kept here: every wait ends at its deadline, or soon after `ended()` holds; after opening, `receive`
never blocks; what the kernel holds is bounded, so that pictures that wait there are young.
"""

import select
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mesh.clock import Clock

BUFFER_BYTES = 1 << 20
RECEIVE_BYTES = (
    1 << 16
)  # a larger piece would be mapped and unmapped by malloc each time, at four times the cost
LOOK_S = 0.1

_LATER = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Ended(Exception):
    """It was to end before it was done."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait: until `deadline` (of `clock.monotonic()`), or until `ended()` holds."""

    clock: Clock
    deadline: float
    ended: Callable[[], bool]

    def until_ready(self, sock: socket.socket, events: int) -> None:
        """Wait for poll `events` of `sock`. Raises `TimeoutError` or `Ended`."""
        poller = select.poll()
        poller.register(sock, events)
        while True:
            if self.ended():
                raise Ended
            left = self.deadline - self.clock.monotonic()
            if poller.poll(max(0.0, min(left, LOOK_S)) * 1000):
                return
            if left <= 0:
                raise TimeoutError


class Connection:
    """An open connection. Raises `OSError`, `TimeoutError` or `Ended` while it is being opened."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None, patience: Patience) -> None:
        self._sock = _connected(host, port, patience)
        self._secure: ssl.SSLSocket | None = None
        if tls is not None:
            self.start_tls(tls, host, patience)

    def __repr__(self) -> str:
        return f"<Connection {self._sock!r}>"

    def start_tls(self, tls: ssl.SSLContext, host: str, patience: Patience) -> None:
        """Go on with TLS, with whom `host` names. Closed when that fails; raises as opening does."""
        try:
            secure = tls.wrap_socket(self._sock, server_hostname=host, do_handshake_on_connect=False)
            self._sock = self._secure = secure  # it has taken the other one over
            _shake_hands(secure, patience)
        except BaseException:
            self._sock.close()
            raise

    @property
    def socket(self) -> socket.socket:
        """What is underneath, for a library that reads and writes by itself; it never blocks."""
        return self._sock

    def fileno(self) -> int:
        return self._sock.fileno()

    def receive(self) -> bytes | None:
        """What has come in, at most `RECEIVE_BYTES`; None where there is nothing yet, b"" at the end."""
        try:
            return self._sock.recv(RECEIVE_BYTES)
        except _LATER:
            return None

    def may_have_more(self, data: bytes) -> bool:
        """Whether to ask again at once after `data`: it filled all the room, or is but one record of TLS."""
        return len(data) == RECEIVE_BYTES or self._secure is not None

    @property
    def holds_more(self) -> bool:
        """Whether TLS holds more that was received already, so that the socket says nothing of it."""
        return self._secure is not None and self._secure.pending() > 0

    def await_data(self, patience: Patience) -> bytes:
        """What comes in next; b"" at the end. Raises `TimeoutError` or `Ended`."""
        while (data := self.receive()) is None:
            patience.until_ready(self._sock, select.POLLIN)
        return data

    def send(self, data: bytes, patience: Patience) -> None:
        """Send all of `data`. Raises `OSError`, `TimeoutError` or `Ended`."""
        left = memoryview(data)
        while left:
            try:
                left = left[self._sock.send(left) :]
            except _LATER:
                patience.until_ready(self._sock, select.POLLOUT)

    def close(self) -> None:
        self._sock.close()


def _connected(host: str, port: int, patience: Patience) -> socket.socket:
    """A socket to the first of the host's addresses that answers. Raises the last one's error."""
    failure: OSError = OSError(f"{host} has no address")
    for family, kind, protocol, _, address in _addresses(host, port):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
            # What is written in two pieces would wait for the first one's acknowledgement: 40 ms.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setblocking(False)
            _connect(sock, address, patience)
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure


def _addresses(host: str, port: int) -> list[Any]:
    try:
        return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except (
        UnicodeError
    ) as error:  # no name that there could be: a label of more than 63 letters, for instance
        raise socket.gaierror(socket.EAI_NONAME, "unknown host") from error


def _connect(sock: socket.socket, address: object, patience: Patience) -> None:
    try:
        sock.connect(address)  # type: ignore[arg-type]  # as getaddrinfo gave it
    except BlockingIOError:
        patience.until_ready(sock, select.POLLOUT)
        if number := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(number, "not connected") from None


def _shake_hands(secure: ssl.SSLSocket, patience: Patience) -> None:
    while True:
        try:
            secure.do_handshake()
        except ssl.SSLWantReadError:
            patience.until_ready(secure, select.POLLIN)
        except ssl.SSLWantWriteError:
            patience.until_ready(secure, select.POLLOUT)
        else:
            return
