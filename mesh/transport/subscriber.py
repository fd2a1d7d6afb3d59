"""The subscribing end: one SUB socket, drained continuously by a thread of its own.

Rules kept here: the socket is always drained, so that policy lives in the inbox and not in a hidden queue;
what breaks the wire format is counted and refused; only the draining thread touches the socket.
"""

import contextlib
import logging
from collections import deque
from collections.abc import Callable

import zmq

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.codec import Buffer
from mesh.errors import TransportError, WireError
from mesh.scope import Scope
from mesh.stats import Counters, Rarely
from mesh.transport.credit import Receipts
from mesh.transport.reconnect import Reconnector
from mesh.transport.sockets import SyncSocket, Waker, connect, open_socket, poll, receive
from mesh.wire import (
    DEFAULT_LIMITS,
    Credit,
    Limits,
    Message,
    Release,
    Topic,
    decode,
    encode_credit,
    encode_release,
)

log = logging.getLogger(__name__)

HIGH_WATER_MARK = 200
BATCH = 64
LOOKS = 16  # at the socket, between two at everything else
MANY = 20  # streams from which a pause is as long as it may be
LEAST_PAUSE_S = 0.001  # what poll(2) can wait
CREDIT_EVERY_S = 1.0
FAREWELL_MS = 500  # for what is said last

Command = Callable[[SyncSocket], None]


class Subscriber:
    """Gives the messages of the topics asked for to `sink`, on a thread of `scope`, as many as have come.

    It may connect to any number of publishers; connections are made again by themselves.

    consumer:  the name under which it consumes lossless streams
    pause_s:   how long it waits before it looks again, once it has taken in what was there: where much comes,
               several messages then come together, and wake every thread on their way once. What comes
               alone waits for nothing, and where there are few streams the pause is shorter by as much, or
               none: frames of one stream shall not wait for one another.
    """

    def __init__(
        self,
        scope: Scope,
        sink: Callable[[list[Message]], None],
        *,
        consumer: str = "",
        pause_s: float = 0.0,
        limits: Limits = DEFAULT_LIMITS,
        hwm: int = HIGH_WATER_MARK,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._sink = sink
        self._pause_s = pause_s
        self._limits = limits
        self._hwm = hwm
        self._clock = clock
        self._commands: deque[Command] = deque()
        self._counters = Counters()
        self._rarely = Rarely()
        self._connected: set[str] = set()
        self._streams: set[bytes] = set()  # topics that came, as many as make a difference
        self._consumer = consumer
        self._receipts: dict[bytes, Receipts] = {}
        self._rooms: dict[bytes, Callable[[], int]] = {}
        self._credits: dict[bytes, list[Credit]] = {}  # what was said last, by topic
        self._credits_due = 0.0
        self._room_made = False
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
            self._tell(lambda sock: self._connect(sock, endpoint))

    def disconnect(self, endpoint: str) -> None:
        if endpoint in self._connected:
            self._connected.discard(endpoint)
            self._tell(lambda sock: self._disconnect(sock, endpoint))

    def subscribe(self, prefix: bytes) -> None:
        self._tell(lambda sock: sock.send(b"\x01" + prefix))

    def unsubscribe(self, prefix: bytes) -> None:
        self._tell(lambda sock: sock.send(b"\x00" + prefix))

    def consume(self, topic: Topic, room: Callable[[], int]) -> None:
        """Be a consumer of a lossless topic: its publisher waits until there is `room()` for its frames,
        and sends again what did not arrive. Call `made_room` when there is more, and `release` to let go."""

        def begin(sock: SyncSocket) -> None:
            if bytes(topic) not in self._receipts:
                self._receipts[bytes(topic)] = Receipts(self._consumer, bytes(topic))
            self._rooms[bytes(topic)] = room
            self._say_credit(sock, bytes(topic))

        self._tell(begin)

    def release(self, topic: Topic) -> None:
        """Be a consumer of a lossless topic no more: its publisher waits for the others alone, and gives
        what was not confirmed from here to whoever joins."""

        def let_go(sock: SyncSocket) -> None:
            if bytes(topic) in self._receipts:
                self._let_go(sock, bytes(topic))

        self._tell(let_go)

    def made_room(self) -> None:
        """Some of what was received has been taken."""
        if not self._room_made:  # else it is about to be told
            self._room_made = True
            self._tell(self._say_more_room)

    def _tell(self, command: Command) -> None:
        self._commands.append(command)
        self._waker.wake()

    def _run(self) -> None:
        # XSUB, because it can also say something to its publishers: credits.
        sock = open_socket(zmq.XSUB, hwm=self._hwm, limits=self._limits)
        reconnector = Reconnector(sock)
        poller = zmq.Poller()
        for source in (sock, reconnector.monitor, self._waker.fd):
            poller.register(source, zmq.POLLIN)
        try:
            while not self._scope.stopping.is_set():
                ready = poll(poller, self._wait_s(reconnector))
                if self._waker.fd in ready:
                    self._obey(sock)
                if sock in ready:
                    self._drain_on(sock)
                if reconnector.monitor in ready:
                    reconnector.hear(self._clock.monotonic(), self._connected)
                if self._receipts and self._clock.monotonic() >= self._credits_due:
                    self._say_credits(sock)
                if again := reconnector.act(self._clock.monotonic(), self._connected):
                    self._counters.add("connected_anew", again)
        finally:
            reconnector.close()
            sock.close(linger=self._say_farewell(sock))
            self._waker.close()

    def _wait_s(self, reconnector: Reconnector) -> float | None:
        now = self._clock.monotonic()
        credits = max(0.0, self._credits_due - now) if self._receipts else None
        return min((wait for wait in (credits, reconnector.wait_s(now)) if wait is not None), default=None)

    def _say_credits(self, sock: SyncSocket) -> None:
        self._credits_due = self._clock.monotonic() + CREDIT_EVERY_S
        for topic in self._receipts:
            self._say_credit(sock, topic)

    def _say_more_room(self, sock: SyncSocket) -> None:
        self._room_made = False
        for topic in self._receipts:
            self._say_credit(sock, topic, again=False)

    def _say_credit(self, sock: SyncSocket, topic: bytes, *, again: bool = True) -> None:
        """Tell the publishers of a topic what is here and how much room there is; it is said again soon."""
        credits = self._receipts[topic].credits(max(0, self._rooms[topic]()), self._clock.monotonic())
        if not again and credits == self._credits.get(topic):
            return
        self._credits[topic] = credits
        with contextlib.suppress(zmq.Again):
            for credit in credits:
                sock.send(encode_credit(credit), zmq.NOBLOCK)

    def _say_farewell(self, sock: SyncSocket) -> int:
        """Let go of what is still consumed here; how many milliseconds to give that."""
        consumed = list(self._receipts)
        for topic in consumed:
            self._let_go(sock, topic)
        return FAREWELL_MS if consumed else 0

    def _let_go(self, sock: SyncSocket, topic: bytes) -> None:
        del self._receipts[topic], self._rooms[topic]
        self._credits.pop(topic, None)
        with contextlib.suppress(zmq.Again):  # it is cut off, then, in some seconds
            sock.send(encode_release(Release(self._consumer, topic)), zmq.NOBLOCK)

    def _obey(self, sock: SyncSocket) -> None:
        self._waker.clear()
        while self._commands:
            self._commands.popleft()(sock)

    def _connect(self, sock: SyncSocket, endpoint: str) -> None:
        # Somebody else's malformed record must not end this node: it is counted and passed over.
        try:
            connect(sock, endpoint)
        except TransportError as error:
            self._counters.add("bad_endpoints")
            self._connected.discard(endpoint)
            log.warning("%s", error)

    def _disconnect(self, sock: SyncSocket, endpoint: str) -> None:
        # Polling has libzmq read the first part of a message ahead; ending its connection then would leave
        # the rest missing, and libzmq aborts the process for that (fq.cpp). Reading that message prevents it.
        self._drain(sock, 1)
        with contextlib.suppress(zmq.ZMQError):  # libzmq had given it up by itself
            sock.disconnect(endpoint)

    def _drain_on(self, sock: SyncSocket) -> None:
        """Take in what is there; with pauses, also what comes in some of them, without asking the poller,
        which costs more than a message. It goes back to it when told something, or when nothing came."""
        for _ in range(LOOKS):
            few = 0 < self._drain(sock) < BATCH
            pause_s = self._pause_s * len(self._streams) / MANY
            if not few or pause_s < LEAST_PAUSE_S or self._waker.pause(pause_s):
                return

    def _drain(self, sock: SyncSocket, most: int = BATCH) -> int:
        """Take in what is there; how many messages, `most` at most."""
        messages: list[Message] = []
        topics = set()
        taken = 0
        while taken < most and (parts := receive(sock)) is not None:
            taken += 1
            if (message := self._taken(parts)) is not None:
                messages.append(message)
                if len(self._streams) < MANY:
                    self._streams.add(bytes(parts[0]))
            if self._receipts:
                topics.add(bytes(parts[0]))
        if messages:
            self._counters.add("received", len(messages))
            self._sink(messages)
        for topic in topics & self._receipts.keys():
            self._say_credit(sock, topic)
        return taken

    def _taken(self, parts: list[Buffer]) -> Message | None:
        """The message that the parts hold; None when it is refused, or not its turn yet."""
        try:
            message = decode(parts, self._limits, self._clock.wall_ns())
        except WireError as error:
            self._counters.add("wire_errors")
            if (held := self._rarely.ready(self._clock.monotonic())) is not None:
                log.warning("refused a message: %s (%d more like it)", error, held)
            return None
        receipts = self._receipts.get(bytes(parts[0])) if message.flow is not None else None
        if receipts is not None and not receipts.takes(message, self._clock.monotonic()):
            self._counters.add("out_of_turn")
            return None
        return message
