"""The registry's server: `with RegistryServer(bind, state=directory) as server: server.wait()`.

Rules kept here: one thread owns the sockets and the store; whatever comes from the network is refused or
answered, and never ends the server; the socket limits the sizes of messages before they are taken in; no
lease ends because the server was held up (suspended, starved, or waiting for a slow disk): what waits in its
socket is heard before leases are ended, and time between two turns that is too long is no lease's time.
"""

import logging
import math
import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from socket import gethostname
from typing import Self

import zmq

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.errors import TransportError, WireError
from mesh.registry.closing import Closing
from mesh.registry.persist import Forgetful, StateDirectory
from mesh.registry.service import Service
from mesh.registry.wake import Wake
from mesh.registry.wire import (
    MAX_REQUEST,
    SYNC,
    Published,
    Request,
    decode_request,
    encode_beat,
    encode_published,
    encode_reply,
    split_address,
)
from mesh.scope import Scope
from mesh.stats import Counters, Rarely

BEAT_SECONDS = 1.0
BATCH = 100  # requests in one turn, so that neither leases nor beats wait for a flood
BATCH_BYTES = 8 << 20
FLOOD_SECONDS = 1.0  # for so long leases are kept while more requests wait than are taken in one turn
LOOK_SECONDS = 0.2  # a turn comes at least so often
STALL_SECONDS = 0.3  # between two turns: the server was held up
MAX_SUBSCRIPTION = 4096  # bytes
HWM = 10_000  # messages for one peer; a subscriber that falls behind loses changes, and sees it
BACKLOG = 4096  # connections that wait to be taken in, where the system lets so many: a site that starts
TRIES = 50  # to find two neighbouring free ports for `*`

log = logging.getLogger(__name__)


class RegistryServer(Closing):
    """The embedded registry. It serves from entering the `with` block until `stop`, or the block's end.

    `bind` is `tcp://HOST:PORT` (PORT + 1 is taken too), or `tcp://HOST:*` for any free pair. `state` is the
    directory that keeps the configuration; None keeps nothing. `stall` is how long, in seconds of real time,
    may pass between two turns before leases are given that time. `version` is the mesh's, for those who ask.
    Entering raises `TransportError` when a port is in use and `StorageError` when the state cannot be used.
    """

    def __init__(
        self,
        bind: str = "tcp://127.0.0.1:7700",
        *,
        state: Path | None = None,
        clock: Clock = SYSTEM_CLOCK,
        beat: float = BEAT_SECONDS,
        stall: float = STALL_SECONDS,
        version: str = "",
    ) -> None:
        self._host, self._port = split_address(bind)
        self._bind = bind
        self._state = state
        self._clock = clock
        self._beat = beat
        self._stall = stall
        self._identity = {
            "version": version,
            "host": gethostname(),
            "pid": os.getpid(),
            "bind": self._host,
        }
        self._last_turn = self._last_heard = 0.0  # when all that waited was heard
        self._complaints = Rarely(10.0)
        self._scope = Scope("registry")
        self._wake = Wake()
        self._malformed = Counters()
        self._held = ExitStack()
        self._held.callback(self._wake.close)

    def __repr__(self) -> str:
        return f"<RegistryServer {self.url} state={self._state}>"

    @property
    def url(self) -> str:
        """What clients on this host open."""
        host = {"*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(self._host, self._host)
        return f"tcp://{host}:{self._port or '*'}"

    def stats(self) -> dict[str, int]:
        """Counts since the start: requests, refused, repeated (came again), malformed."""
        counts = {"requests": 0, "refused": 0, "repeated": 0, "malformed": 0}
        return counts | dict(self._service.counters.snapshot()) | dict(self._malformed.snapshot())

    def __enter__(self) -> Self:
        try:
            keeper = Forgetful(self._clock.wall_ns()) if self._state is None else StateDirectory(self._state)
            self._held.callback(keeper.close)
            self._service = Service(keeper, self._clock, self._identity)
            self._open()
        except BaseException:
            self.close()
            raise
        self._scope.spawn("serve", self._serve)
        return self

    def stop(self) -> None:
        """Ask the server to end. Safe to call from a signal handler and from any thread."""
        self._wake.set()

    def wait(self) -> None:
        """Wait until the server has ended."""
        self._scope.join()

    def close(self) -> None:
        """Stop, wait, and free the ports and the state directory."""
        self.stop()
        try:
            self._scope.__exit__(None, None, None)
        finally:
            self._held.close()

    def _open(self) -> None:
        context = zmq.Context()
        self._held.callback(context.destroy, linger=0)
        self._requests, self._changes = context.socket(zmq.ROUTER), context.socket(zmq.XPUB)
        for socket, limit in ((self._requests, MAX_REQUEST), (self._changes, MAX_SUBSCRIPTION)):
            socket.set(zmq.MAXMSGSIZE, limit)
            socket.set_hwm(HWM)
            socket.set(zmq.BACKLOG, BACKLOG)
            socket.set(zmq.LINGER, 0)
            socket.set(zmq.IPV6, int("[" in self._host))
            socket.set(zmq.HEARTBEAT_IVL, 1000)
            socket.set(zmq.HEARTBEAT_TIMEOUT, 3000)
        self._changes.set(zmq.XPUB_VERBOSE, 1)  # every subscription shows
        self._port = self._bind_pair(self._port)

    def _bind_pair(self, port: int | None) -> int:
        """Bind both sockets; the port of the first. Raises `TransportError`."""
        if port is not None:
            _bind(self._requests, self._host, port, self._bind)
            _bind(self._changes, self._host, port + 1, self._bind)
            return port
        for _ in range(TRIES):
            first = _bind(self._requests, self._host, None, self._bind)
            try:
                _bind(self._changes, self._host, first + 1, self._bind)
                return first
            except TransportError:
                self._requests.unbind(_endpoint(self._requests))
        raise TransportError(f"no two neighbouring free ports were found for {self._bind}: choose a port")

    def _serve(self) -> None:
        poller = zmq.Poller()
        for source in (self._requests, self._changes, self._wake.fileno()):
            poller.register(source, zmq.POLLIN)
        next_beat = 0.0
        self._last_turn = self._last_heard = SYSTEM_CLOCK.monotonic()
        while True:
            ready = dict(poller.poll(math.ceil(self._patience(next_beat) * 1000)))
            if self._wake.fileno() in ready:
                return
            self._forgive_stall()
            self._hear()
            self._take_subscriptions()
            if SYSTEM_CLOCK.monotonic() >= next_beat:
                self._send(self._changes, encode_beat(self._service.beat()))
                next_beat = SYSTEM_CLOCK.monotonic() + self._beat

    def _patience(self, next_beat: float) -> float:
        """Seconds until something is due. Beats and turns keep the real time, leases that of the clock."""
        waits = [LOOK_SECONDS, next_beat - SYSTEM_CLOCK.monotonic()]
        if (deadline := self._service.next_deadline()) is not None:
            waits.append(deadline - self._clock.monotonic())
        return max(0.0, min(waits))

    def _forgive_stall(self) -> None:
        """Where this turn comes late, give every lease the time in which nobody was heard."""
        now = SYSTEM_CLOCK.monotonic()
        late, self._last_turn = now - self._last_turn, now
        if late < self._stall:
            return
        self._service.forgive(late - LOOK_SECONDS, self._clock.monotonic())
        if (held := self._complaints.ready(now)) is not None:
            log.warning("held up for %.1f s (and %d times before): leases last longer by that", late, held)

    def _hear(self) -> None:
        """Take in a batch of what waits, end the leases that nothing in it renews, and answer it."""
        requests, drained = self._receive_batch()
        now = SYSTEM_CLOCK.monotonic()
        if drained or now - self._last_heard >= FLOOD_SECONDS:
            self._last_heard = now
            waiting = (request for _, request in requests)
            self._publish(self._service.expire(self._clock.monotonic(), waiting))
        for peer, request in requests:
            outcome = self._service.handle(request, self._clock.monotonic())
            self._publish(outcome.published)
            if outcome.reply is not None:
                self._send(self._requests, (peer, encode_reply(outcome.reply)))

    def _receive_batch(self) -> tuple[list[tuple[bytes, Request]], bool]:
        """Requests, each with its peer, and whether no more of them wait."""
        requests: list[tuple[bytes, Request]] = []
        size = 0
        for _ in range(BATCH):
            if (parts := _receive(self._requests)) is None:
                return requests, True
            if (request := self._understood(parts)) is not None:
                requests.append((parts[0], request))
            if (size := size + sum(map(len, parts))) >= BATCH_BYTES:
                break
        return requests, False

    def _understood(self, parts: list[bytes]) -> Request | None:
        """The request in a message; None, and counted, where it is none."""
        try:
            if len(parts) != 2:
                raise WireError("a registry request has one part")
            return decode_request(parts[1])
        except WireError as error:
            self._malformed.add("malformed")
            log.debug("refused: %s", error)
            return None

    def _publish(self, published: Sequence[Published]) -> None:
        for one in published:
            self._send(self._changes, encode_published(one))

    def _take_subscriptions(self) -> None:
        """Who asks to hear when its subscriptions are in force, hears it."""
        while (parts := _receive(self._changes)) is not None:
            if parts[0].startswith(b"\1" + SYNC):
                self._send(self._changes, encode_beat(self._service.beat(), parts[0][1:]))

    def _send(self, socket: zmq.Socket[bytes], parts: Sequence[bytes]) -> None:
        try:
            socket.send_multipart(parts, zmq.NOBLOCK)
        except zmq.ZMQError as error:
            # The peer has gone or does not read; it asks again, or sees from the next beat what it missed.
            log.debug("not sent: %s", error)


def _bind(socket: zmq.Socket[bytes], host: str, port: int | None, asked: str) -> int:
    """Bind; the port. Raises `TransportError`."""
    try:
        socket.bind(f"tcp://{host}:{port or '*'}")
    except zmq.ZMQError as error:
        if error.errno == zmq.EADDRINUSE:
            what = asked if asked.endswith(f":{port}") else f"port {port}, which belongs to {asked},"
            hint = "another registry runs there, or choose another --bind"
            raise TransportError(f"{what} is in use: {hint}") from error
        raise TransportError(f"cannot bind {asked}: {error.strerror}") from error
    return int(_endpoint(socket).rpartition(":")[2])


def _endpoint(socket: zmq.Socket[bytes]) -> str:
    endpoint = socket.get(zmq.LAST_ENDPOINT)
    assert isinstance(endpoint, bytes)
    return endpoint.decode()


def _receive(socket: zmq.Socket[bytes]) -> list[bytes] | None:
    """The parts of a message, at most three of them; None when there is none."""
    try:
        parts = [socket.recv(zmq.NOBLOCK)]
    except zmq.Again:
        return None
    while socket.get(zmq.RCVMORE):
        part = socket.recv()
        if len(parts) < 3:
            parts.append(part)
    return parts
