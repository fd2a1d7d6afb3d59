"""How a socket of the mesh is made: bounded queues, bounded messages, heartbeats, no waiting at the end.

Rules kept here: nothing queues without bound; a message over the limit cuts its sender off before memory is
taken for it; a silent peer is noticed by heartbeats; what zmq raises leaves here as `TransportError`.
"""

import errno
import socket
from typing import Any

import zmq

from mesh.errors import TransportError
from mesh.wire import DEFAULT_LIMITS, MAX_HEADER, Limits

SyncSocket = zmq.Socket[bytes]

HEARTBEAT_MS = 2_000
HEARTBEAT_TIMEOUT_MS = 10_000
RECONNECT_MS = 100
RECONNECT_MAX_MS = 2_000


def open_socket(kind: int, *, hwm: int, limits: Limits = DEFAULT_LIMITS) -> SyncSocket:
    """A socket of the process-wide context. `hwm` bounds its queues, in messages, each way and per peer."""
    sock: SyncSocket = zmq.Context.instance().socket(kind)
    sock.setsockopt(zmq.LINGER, 0)
    sock.setsockopt(zmq.SNDHWM, hwm)
    sock.setsockopt(zmq.RCVHWM, hwm)
    sock.setsockopt(zmq.MAXMSGSIZE, limits.payload + MAX_HEADER)
    sock.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
    sock.setsockopt(zmq.HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS)
    sock.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
    sock.setsockopt(zmq.RECONNECT_IVL_MAX, RECONNECT_MAX_MS)
    return sock


def bind(sock: SyncSocket, endpoint: str) -> str:
    """Bind, and say where: `tcp://HOST:*` gives the port that was free. Raises `TransportError`."""
    try:
        sock.bind(endpoint)
    except zmq.ZMQError as error:
        sock.close()
        raise TransportError(f"cannot bind {endpoint}: {_reason(error)}") from error
    return sock.getsockopt_string(zmq.LAST_ENDPOINT)


def _reason(error: zmq.ZMQError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "the port is in use; choose another, or * for any that is free"
    if error.errno in (errno.ENODEV, errno.EADDRNOTAVAIL):
        return "this machine has no such address; give one of its own, or 127.0.0.1"
    return str(error).lower()


def connect(sock: SyncSocket, endpoint: str) -> None:
    """Connect; the connection is made, and made again, in the background. Raises `TransportError`."""
    try:
        sock.connect(endpoint)
    except zmq.ZMQError as error:
        raise TransportError(f"cannot connect to {endpoint!r}: {str(error).lower()}") from error


class Waker:
    """Wakes a thread that polls sockets. `wake` may be called from any thread."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    @property
    def fd(self) -> int:
        return self._reader.fileno()

    def wake(self) -> None:
        # A full pipe has been told already; a closed one has nobody left to wake.
        try:
            self._writer.send(b"\0")
        except OSError:
            return

    def clear(self) -> None:
        try:
            while self._reader.recv(4096):
                pass
        except BlockingIOError:
            return

    def close(self) -> None:
        self._writer.close()
        self._reader.close()


def poll(poller: Any, timeout: float | None) -> dict[Any, int]:
    """What is ready within `timeout` seconds (None: wait), by socket or file descriptor."""
    return dict(poller.poll(None if timeout is None else max(0, int(timeout * 1000))))
