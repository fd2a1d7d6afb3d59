"""How a socket of the mesh is made: bounded queues and messages, dead links noticed, no waiting at the end.

Rules kept here:

- Nothing queues without bound: high-water marks bound what libzmq holds, in messages, and `BUFFER_BYTES`
  what the kernel holds each way, so that a slow link's frames are young. The kernel's own choice grows to
  several megabytes: seconds of old frames.
- A message over the limit cuts its sender off before memory is taken for it.
- A link that went silently is noticed by TCP: an idle one by keepalive (after 5 s, then every 2 s), one with
  data that nobody acknowledges after `DEAD_AFTER_MS` (RFC 5482), a connection that is not answered after
  `CONNECT_MS`. A slow link is never cut: every byte that gets through counts for TCP. ZeroMQ's own
  heartbeats are not used, because they do cut it: a PONG waits behind the frame that is being sent, and
  libzmq (`stream_engine_base_t::decode_and_push`) takes only whole messages for a sign of life. They would
  not see a peer whose buffers are full, either: nothing is sent, so no PING is.
- What zmq raises leaves here as `TransportError`.
"""

import contextlib
import errno
import select
import socket
from collections.abc import Sequence
from typing import Any

import zmq

from mesh.codec import Buffer
from mesh.errors import TransportError
from mesh.wire import DEFAULT_LIMITS, MAX_HEADER, Limits

SyncSocket = zmq.Socket[bytes]

# As plain integers: arithmetic with pyzmq's enumerations costs as much as a system call, with every message.
MORE = int(zmq.SNDMORE)
READABLE = int(zmq.POLLIN)
NOBLOCK = int(zmq.NOBLOCK)

LEND_FROM = 1 << 20  # bytes of a part from which lending it to libzmq costs less than a copy
VIEW_FROM = 16 * 1024  # bytes of a part from which a view of it costs less than a copy; see `receive`

BUFFER_BYTES = 1 << 20
KEEPALIVE_IDLE_S = 5
KEEPALIVE_EVERY_S = 2
KEEPALIVE_COUNT = 3
DEAD_AFTER_MS = 15_000
CONNECT_MS = 5_000
RECONNECT_MS = 100
RECONNECT_MAX_MS = 2_000


def open_socket(kind: int, *, hwm: int, limits: Limits = DEFAULT_LIMITS) -> SyncSocket:
    """A socket of the process-wide context. `hwm` bounds its queues, in messages, each way and per peer."""
    sock: SyncSocket = zmq.Context.instance().socket(kind)
    sock.setsockopt(zmq.LINGER, 0)
    sock.setsockopt(zmq.SNDHWM, hwm)
    sock.setsockopt(zmq.RCVHWM, hwm)
    sock.setsockopt(zmq.MAXMSGSIZE, limits.payload + MAX_HEADER)
    sock.setsockopt(zmq.SNDBUF, BUFFER_BYTES)
    sock.setsockopt(zmq.RCVBUF, BUFFER_BYTES)
    sock.setsockopt(zmq.TCP_KEEPALIVE, 1)
    sock.setsockopt(zmq.TCP_KEEPALIVE_IDLE, KEEPALIVE_IDLE_S)
    sock.setsockopt(zmq.TCP_KEEPALIVE_INTVL, KEEPALIVE_EVERY_S)
    sock.setsockopt(zmq.TCP_KEEPALIVE_CNT, KEEPALIVE_COUNT)
    sock.setsockopt(zmq.TCP_MAXRT, DEAD_AFTER_MS)
    sock.setsockopt(zmq.CONNECT_TIMEOUT, CONNECT_MS)
    sock.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
    sock.setsockopt(zmq.RECONNECT_IVL_MAX, RECONNECT_MAX_MS)
    return sock


def zmq_library() -> tuple[str, bool]:
    """The version of libzmq, and whether it can encrypt (CURVE)."""
    return zmq.zmq_version(), zmq.has("curve")


def bind(sock: SyncSocket, endpoint: str) -> str:
    """Bind, and say where: `tcp://HOST:*` gives the port that was free. Raises `TransportError`."""
    try:
        _choose_family(sock, endpoint)
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
        _choose_family(sock, endpoint)
        sock.connect(endpoint)
    except zmq.ZMQError as error:
        raise TransportError(f"cannot connect to {endpoint!r}: {str(error).lower()}") from error


def _choose_family(sock: SyncSocket, endpoint: str) -> None:
    """Use IPv6 where the address is one, for the next bind or connect; names are looked up as IPv4.

    A socket that asks for IPv6 throughout would reach `localhost` at ::1 alone.
    """
    sock.setsockopt(zmq.IPV6, int("[" in endpoint))


def send(sock: SyncSocket, parts: Sequence[Buffer], flags: int = 0) -> None:
    """Send a message; with `NOBLOCK`, `zmq.Again` where there is no room for it.

    Parts of less than `LEND_FROM` bytes are copied: what is lent has to be tracked, and pyzmq lets go of it
    on a thread of its own, which takes the interpreter's lock with every message. Measured, CPU of the
    sending process a message: 400 kB copied 74 us, lent 87 us; 6 MB copied 1.1 ms, lent 0.83 ms.
    """
    last = len(parts) - 1
    for number, part in enumerate(parts):
        sock.send(part, flags | MORE if number < last else flags, copy=len(part) < LEND_FROM)


def receive(sock: SyncSocket) -> list[Buffer] | None:
    """The parts of the next message; None when none waits.

    A small part is copied. A large one is a read-only view of libzmq's memory, which lives as long as the
    view does; libzmq gives what is larger than its 8 KiB of read-ahead memory of its own, so that a view
    keeps nothing else alive. Measured in one process, a copy costs 1 us more at 37 kB, 8 at 200 kB, and 300
    at 6 MB, and more where the bytes are in another core's cache.
    """
    try:
        part = sock.recv(NOBLOCK, copy=False)
    except zmq.Again:
        return None
    parts = [_content(part)]
    while part.more:
        part = sock.recv(copy=False)
        parts.append(_content(part))
    return parts


def _content(part: zmq.Frame) -> Buffer:
    return part.bytes if len(part) < VIEW_FROM else part.buffer.toreadonly()


class Waker:
    """Wakes a thread that polls sockets. `wake` may be called from any thread.

    A thread that was told and has not looked yet is not told again: that would be a system call a frame.
    Whoever finds `fd` readable calls `clear`, and then looks at what there is to do.
    """

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._told = False
        self._poll = select.poll()
        self._poll.register(self._reader, select.POLLIN)

    @property
    def fd(self) -> int:
        return self._reader.fileno()

    def wake(self) -> None:
        if self._told:
            return
        self._told = True
        with contextlib.suppress(OSError):  # it was closed: nobody is left to wake
            self._writer.send(b"\0")

    def pause(self, seconds: float) -> bool:
        """Wait for nothing else than to be woken, real `seconds` at most; whether that came. For the thread
        that is woken: an `Event` would not tell it what it is told meanwhile."""
        return bool(self._poll.poll(seconds * 1000))

    def clear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._reader.recv(4096)
        self._told = False  # last: what came in between is seen by whoever looks now

    def close(self) -> None:
        self._writer.close()
        self._reader.close()


def poll(poller: Any, timeout: float | None) -> dict[Any, int]:
    """What is ready within `timeout` seconds (None: wait), by socket or file descriptor."""
    return dict(poller.poll(None if timeout is None else max(0, int(timeout * 1000))))
