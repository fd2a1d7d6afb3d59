"""The subscribing end: one SUB socket, drained continuously by a thread of its own.

Rules kept here: the socket is always drained, so that policy lives in the inbox and not in a hidden queue;
what breaks the wire format is counted and refused; only the draining thread touches the socket.
"""

import logging
from collections import deque
from collections.abc import Callable

import zmq

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.errors import WireError
from mesh.scope import Scope
from mesh.stats import Counters, Rarely
from mesh.transport.reconnect import Reconnector
from mesh.transport.sockets import SyncSocket, Waker, connect, open_socket, poll
from mesh.wire import DEFAULT_LIMITS, Limits, Message, decode

log = logging.getLogger(__name__)

HIGH_WATER_MARK = 200
BATCH = 64

Command = Callable[[SyncSocket], None]


class Subscriber:
    """Gives every message of the topics asked for to `sink`, on a thread of `scope`.

    It may connect to any number of publishers; connections are made again by themselves.
    """

    def __init__(
        self,
        scope: Scope,
        sink: Callable[[Message], None],
        *,
        limits: Limits = DEFAULT_LIMITS,
        hwm: int = HIGH_WATER_MARK,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._sink = sink
        self._limits = limits
        self._hwm = hwm
        self._clock = clock
        self._commands: deque[Command] = deque()
        self._counters = Counters()
        self._rarely = Rarely()
        self._connected: set[str] = set()
        self._waker = Waker()
        self._scope = scope
        scope.on_stop(self._waker.wake)
        scope.spawn("subscriber", self._run)

    def __repr__(self) -> str:
        return f"<Subscriber to {sorted(self._connected)} {dict(self._counters.snapshot())}>"

    def stats(self) -> dict[str, int]:
        """Messages received, and `wire_errors`: those that were refused."""
        return dict(self._counters.snapshot())

    def connect(self, endpoint: str) -> None:
        """Connect to a publisher. Connecting twice is the same as once."""
        if endpoint not in self._connected:
            self._connected.add(endpoint)
            self._tell(lambda sock: connect(sock, endpoint))

    def disconnect(self, endpoint: str) -> None:
        if endpoint in self._connected:
            self._connected.discard(endpoint)
            self._tell(lambda sock: sock.disconnect(endpoint))

    def subscribe(self, prefix: bytes) -> None:
        self._tell(lambda sock: sock.setsockopt(zmq.SUBSCRIBE, prefix))

    def unsubscribe(self, prefix: bytes) -> None:
        self._tell(lambda sock: sock.setsockopt(zmq.UNSUBSCRIBE, prefix))

    def _tell(self, command: Command) -> None:
        self._commands.append(command)
        self._waker.wake()

    def _run(self) -> None:
        sock = open_socket(zmq.SUB, hwm=self._hwm, limits=self._limits)
        reconnector = Reconnector(sock)
        poller = zmq.Poller()
        for source in (sock, reconnector.monitor, self._waker.fd):
            poller.register(source, zmq.POLLIN)
        try:
            while not self._scope.stopping.is_set():
                ready = poll(poller, reconnector.wait_s(self._clock.monotonic()))
                if self._waker.fd in ready:
                    self._obey(sock)
                if sock in ready:
                    self._drain(sock)
                if reconnector.monitor in ready:
                    reconnector.hear(self._clock.monotonic())
                if again := reconnector.act(self._clock.monotonic(), self._connected):
                    self._counters.add("connected_anew", again)
        finally:
            reconnector.close()
            sock.close(linger=0)
            self._waker.close()

    def _obey(self, sock: SyncSocket) -> None:
        self._waker.clear()
        while self._commands:
            self._commands.popleft()(sock)

    def _drain(self, sock: SyncSocket) -> None:
        for _ in range(BATCH):
            try:
                parts = sock.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            self._receive(parts)

    def _receive(self, parts: list[bytes]) -> None:
        try:
            message = decode(parts, self._limits, self._clock.wall_ns())
        except WireError as error:
            self._counters.add("wire_errors")
            if (held := self._rarely.ready(self._clock.monotonic())) is not None:
                log.warning("refused a message: %s (%d more like it)", error, held)
            return
        self._counters.add("received")
        self._sink(message)
