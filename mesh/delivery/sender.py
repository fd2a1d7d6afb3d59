"""The sending end of a delivery: one PUSH socket a collector, and a subscription to its acknowledgements.

Rules kept here: offering never blocks and never loses silently; a result is delivered when its collector
says that it is recorded, and not before; one thread owns every socket.
"""

import logging
import random
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import zmq

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.delivery.window import GiveUp, Result, Stream, Window
from mesh.errors import WireError
from mesh.frame import EndOfStream, Frame
from mesh.scope import Scope
from mesh.stats import Counters
from mesh.transport.sockets import SyncSocket, Waker, connect, open_socket, poll
from mesh.wire import Envelope, Message, Topic, View, ack_topic, decode_ack, encode, encode_envelope

log = logging.getLogger(__name__)

MAX_BYTES = 64 * 1024 * 1024
MAX_RESULTS = 8192
RESEND_AFTER_S = 3.0
HIGH_WATER_MARK = 64
RUN_BITS = 50


@dataclass(frozen=True, slots=True)
class Collector:
    """A collector: its node, where it pulls results, and where it publishes its acknowledgements."""

    node: str
    pull: str
    pub: str


@dataclass(slots=True)
class SentCount:
    """What became of one stream's results. `undelivered` is by cause."""

    results: int = 0
    delivered: int = 0
    undelivered: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class _Line:
    """The sockets to one collector."""

    collector: Collector
    push: SyncSocket
    acks: SyncSocket
    blocked: bool = False

    def close(self) -> None:
        self.push.close(linger=0)
        self.acks.close(linger=0)


class Sender:
    """Delivers results to the collectors that it is told of, on a thread of `scope`.

    While no collector lives, results wait in the window: `max_bytes` and `max_results` at most.
    """

    def __init__(
        self,
        scope: Scope,
        node: str,
        *,
        max_bytes: int = MAX_BYTES,
        max_results: int = MAX_RESULTS,
        resend_after_s: float = RESEND_AFTER_S,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.node = node
        self.run = random.getrandbits(RUN_BITS)
        self._clock = clock
        self._resend_after_s = resend_after_s
        self._changed = threading.Condition()
        self._window = Window(max_bytes, max_results, resend_after_s)
        self._counts: dict[Stream, SentCount] = {}
        self._counters = Counters()
        self._targets: Mapping[str, Collector] = {}
        self._waker = Waker()
        self._scope = scope
        scope.on_stop(self._waker.wake)
        scope.spawn("sender", self._run)

    def __repr__(self) -> str:
        return f"<Sender {self.node} {self._window!r}>"

    def offer(self, body: Frame | EndOfStream) -> None:
        """Queue a result. Raises `WireError` for annotations that cannot be packed."""
        stream = (body.stage, body.camera, body.boot)
        topic = Topic(View.FRAME, body.stage, body.camera)
        frames = int(isinstance(body, Frame))
        with self._changed:
            count = self._counts.setdefault(stream, SentCount())
            parts = encode(Message(topic, self.run, count.results, body))
            count.results += frames
            self._give_up(self._window.offer(stream, frames, parts), GiveUp.OVERFLOW)
        self._waker.wake()

    def set_collectors(self, collectors: Iterable[Collector]) -> None:
        """The collectors that live now."""
        with self._changed:
            self._targets = {collector.node: collector for collector in collectors}
        self._waker.wake()

    def counts(self) -> dict[Stream, SentCount]:
        """A snapshot, by (stage, camera, boot)."""
        with self._changed:
            return {
                stream: SentCount(count.results, count.delivered, Counter(count.undelivered))
                for stream, count in self._counts.items()
            }

    def stats(self) -> dict[str, int]:
        return dict(self._counters.snapshot())

    def drain(self, timeout: float) -> bool:
        """Wait until everything is acknowledged; False when that takes longer, or when no collector lives."""
        deadline = self._clock.monotonic() + timeout
        with self._changed:
            while len(self._window):
                left = deadline - self._clock.monotonic()
                if left <= 0 or not self._targets:
                    return False
                self._changed.wait(min(left, 0.2))
        return True

    def _give_up(self, results: Iterable[Result], cause: GiveUp) -> None:
        for result in results:
            self._counts[result.stream].undelivered[cause] += result.frames

    def _run(self) -> None:
        lines: dict[str, _Line] = {}
        try:
            while not self._scope.stopping.is_set():
                self._follow(lines)
                self._push(lines)
                self._wait(lines)
        finally:
            for line in lines.values():
                line.close()
            self._waker.close()
            with self._changed:
                self._give_up(self._window.give_up_all(), GiveUp.CLOSED)

    def _follow(self, lines: dict[str, _Line]) -> None:
        """Open lines to new collectors, close those to collectors that left or moved."""
        with self._changed:
            targets = dict(self._targets)
        for node in [n for n, line in lines.items() if targets.get(n) != line.collector]:
            lines.pop(node).close()
        for node in targets.keys() - lines.keys():
            lines[node] = self._open(targets[node])
            log.info("delivering to collector %s at %s", node, targets[node].pull)
        with self._changed:
            self._window.set_collectors(lines)

    def _open(self, collector: Collector) -> _Line:
        acks = open_socket(zmq.SUB, hwm=0)
        acks.setsockopt(zmq.SUBSCRIBE, ack_topic(self.node))
        connect(acks, collector.pub)
        push = open_socket(zmq.PUSH, hwm=HIGH_WATER_MARK)
        push.setsockopt(zmq.IMMEDIATE, 1)  # queue for live connections only: the window keeps the rest
        connect(push, collector.pull)
        return _Line(collector, push, acks)

    def _push(self, lines: dict[str, _Line]) -> None:
        for node, line in lines.items():
            line.blocked = False
            while not line.blocked:
                with self._changed:
                    result = self._window.waiting(node)
                if result is None:
                    break
                self._send(node, line, result)

    def _send(self, node: str, line: _Line, result: Result) -> None:
        envelope = encode_envelope(Envelope(self.node, self.run, result.number))
        try:
            line.push.send_multipart([envelope, *result.parts], zmq.NOBLOCK, copy=False)
        except zmq.Again:
            line.blocked = True
            return
        with self._changed:
            self._window.sent(result, node, self._clock.monotonic())
        self._counters.add("sent")

    def _wait(self, lines: dict[str, _Line]) -> None:
        poller = zmq.Poller()
        poller.register(self._waker.fd, zmq.POLLIN)
        for line in lines.values():
            poller.register(line.acks, zmq.POLLIN)
            if line.blocked:
                poller.register(line.push, zmq.POLLOUT)
        with self._changed:
            idle = not len(self._window)
        ready = poll(poller, None if idle else self._resend_after_s / 4)
        self._waker.clear()
        for node, line in lines.items():
            if line.acks in ready:
                self._hear(node, line)
        with self._changed:
            self._counters.add("resent", self._window.resend(self._clock.monotonic()))

    def _hear(self, node: str, line: _Line) -> None:
        while True:
            try:
                ack = decode_ack(line.acks.recv_multipart(zmq.NOBLOCK))
            except zmq.Again:
                return
            except WireError as error:
                self._counters.add("wire_errors")
                log.warning("collector %s sent a bad acknowledgement: %s", node, error)
                continue
            if ack.run == self.run:
                self._acknowledge(node, ack.numbers)

    def _acknowledge(self, node: str, numbers: tuple[int, ...]) -> None:
        with self._changed:
            delivered, revived = self._window.acknowledge(node, numbers, self._clock.monotonic())
            for result in delivered:
                self._counts[result.stream].delivered += result.frames
            for result in revived:
                self._counts[result.stream].undelivered[GiveUp.OVERFLOW] -= result.frames
            self._changed.notify_all()
