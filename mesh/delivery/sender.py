"""The sending end of a delivery: one PUSH socket a collector, and a subscription to its acknowledgements.

Rules kept here: offering never blocks (`offer_waiting` does, as its name says) and never loses silently; a
result is delivered when its collector says that it is recorded, and not before; one thread owns every
socket, another one the disk.
"""

import logging
import random
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import zmq

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.delivery.counts import Counts, SentCount
from mesh.delivery.result import Result, Stream
from mesh.delivery.spool import Spool
from mesh.delivery.spooler import Spooler
from mesh.delivery.window import Window
from mesh.errors import StorageError, TransportError, WireError
from mesh.frame import EndOfStream, Frame
from mesh.scope import Scope
from mesh.stats import Counters
from mesh.transport.sockets import NOBLOCK, SyncSocket, Waker, connect, open_socket, poll, receive, send
from mesh.wire import Envelope, Message, Parts, ack_topic, decode_ack, encode, encode_envelope, frame_topic

log = logging.getLogger(__name__)

MAX_BYTES = 64 * 1024 * 1024
MAX_RESULTS = 8192
RESEND_AFTER_S = 3.0
LOOKS = 4  # at what is overdue, in that time
HIGH_WATER_MARK = 64
RUN_BITS = 50
ROOM_LOOK_S = 0.1
# Between two looks for results: what comes meanwhile goes together, and wakes threads once. It is little
# beside the time until a collector has them on disk.
PAUSE_S = 0.01


@dataclass(frozen=True, slots=True)
class Collector:
    """A collector: its node, where it pulls results, and where it publishes its acknowledgements."""

    node: str
    pull: str
    pub: str


@dataclass(slots=True)
class _Line:
    """The sockets to one collector."""

    collector: Collector
    push: SyncSocket
    acks: SyncSocket
    blocked: bool = False

    def wait_for_room(self, poller: zmq.Poller, blocked: bool) -> None:
        """Have the poller tell when there is room for more, as long as there is none."""
        if blocked != self.blocked:
            poller.modify(self.push, zmq.POLLOUT if blocked else 0)
            self.blocked = blocked

    def leave(self, poller: zmq.Poller) -> None:
        self.wait_for_room(poller, blocked=False)
        poller.unregister(self.acks)

    def close(self) -> None:
        self.push.close(linger=0)
        self.acks.close(linger=0)


class Sender:
    """Delivers results to the collectors that it is told of, on threads of `scope`.

    Until a collector has recorded them results wait in memory: `max_bytes` and `max_results` at most; what
    passes that goes to the `spool`, and what is in the spool from an earlier run is delivered first. Without
    a spool the oldest go. The spool is the sender's: it is closed when `scope` stops.

    on_delivered:  is told, on a thread of the sender, the numbers of results that are delivered now; of what
                   was in a spool it is not told
    """

    def __init__(
        self,
        scope: Scope,
        node: str,
        *,
        max_bytes: int = MAX_BYTES,
        max_results: int = MAX_RESULTS,
        resend_after_s: float = RESEND_AFTER_S,
        spool: Spool | None = None,
        on_delivered: Callable[[list[int]], None] | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.node = node
        self._on_delivered = on_delivered
        self.run = random.getrandbits(RUN_BITS)
        self._clock = clock
        self._resend_after_s = resend_after_s
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._counts = Counts()
        self._counters = Counters()
        self._sent = 0
        self._targets: Mapping[str, Collector] = {}
        self._retarget = False
        self._resend_due = clock.monotonic()
        self._refused: set[Collector] = set()
        self._waker = Waker()
        self._scope = scope
        self._over = threading.Event()
        self._window = self._open_window(max_bytes, max_results, spool)
        self._spooler: Spooler | None = None
        scope.on_stop(self._waker.wake)
        if spool is not None:
            self._spooler = Spooler(
                spool, self._window, self._counts, self._counters, self._changed, self._waker.wake, clock
            )
            scope.on_stop(self._spooler.wake)
            scope.spawn("spooler", self._spooler.run, scope.stopping, self._over)
        scope.spawn("sender", self._run)

    def __repr__(self) -> str:
        return f"<Sender {self.node} {self._window!r}>"

    def offer(self, body: Frame | EndOfStream) -> None:
        """Queue a result; never blocks. Raises `WireError` for annotations that cannot be packed."""
        with self._lock:
            self._take_in(body, self._encode(body))
        self._wake()

    def offer_if_room(self, body: Frame | EndOfStream) -> int | None:
        """Queue a result where nothing has to go for it; its number, by which `on_delivered` speaks of it, or
        None where there is no room. Raises `WireError` for annotations that cannot be packed."""
        with self._lock:
            parts = self._encode(body)
            if not self._window.has_room(sum(map(len, parts)), self._spool_free()):
                return None
            number = self._window.next_number
            self._take_in(body, parts)
        self._wake()
        return number

    def offer_waiting(self, body: Frame | EndOfStream, stop: threading.Event) -> bool:
        """Queue a result, once memory or the spool has room for it: nothing goes to make room.

        False when `stop` was set, or the sender ended, before that; the result is not queued then, and not
        counted. Raises `WireError` for annotations that cannot be packed.
        """
        while not (stop.is_set() or self._scope.stopping.is_set()):
            with self._lock:
                parts = self._encode(body)
                if self._window.has_room(sum(map(len, parts)), self._spool_free()):
                    self._take_in(body, parts)
                    break
                self._changed.wait(ROOM_LOOK_S)
        else:
            return False
        self._wake()
        return True

    def set_collectors(self, collectors: Iterable[Collector]) -> None:
        """The collectors that live now."""
        with self._lock:
            self._targets = {collector.node: collector for collector in collectors}
            self._retarget = True
        self._waker.wake()

    def counts(self) -> dict[Stream, SentCount]:
        """A snapshot, by (stage, camera, boot)."""
        with self._lock:
            return self._counts.snapshot(self._window)

    def stats(self) -> dict[str, int]:
        return {**self._counters.snapshot(), "sent": self._sent}

    def drain(self, timeout: float, rush: threading.Event | None = None) -> bool:
        """Wait until everything is acknowledged; False when that takes longer, when `rush` is set, or when no
        collector lives."""
        deadline = self._clock.monotonic() + timeout
        with self._lock:
            while len(self._window):
                left = deadline - self._clock.monotonic()
                if left <= 0 or not self._targets or (rush is not None and rush.is_set()):
                    return False
                self._changed.wait(min(left, 0.2))
        return True

    def _open_window(self, max_bytes: int, max_results: int, spool: Spool | None) -> Window:
        """A window behind what the spool holds already."""
        if spool is None:
            return Window(max_bytes, max_results, self._resend_after_s)
        try:
            found, number, notes = spool.adopt()
        except StorageError as error:
            found, number, notes = {}, 0, [str(error)]
        for note in notes:
            log.error("%s", note)
        window = Window(max_bytes, max_results, self._resend_after_s, spool=True, next_number=number)
        for stream, what in found.items():
            self._counts.carry(stream, what.tally, what.frames)
            window.shelve(stream, what.rows, what.frames)
        if waiting := sum(what.frames for what in found.values()):
            log.info("%d results of an earlier run wait in the spool in %s", waiting, spool.folder)
        return window

    def _encode(self, body: Frame | EndOfStream) -> Parts:
        stream = (body.stage, body.camera, body.boot)
        topic = frame_topic(body.stage, body.camera, body.partition)
        flow = 0 if body.lossless else None  # all that is not acknowledged can still be had
        return encode(Message(topic, self.run, self._counts.own(stream), body, flow))

    def _take_in(self, body: Frame | EndOfStream, parts: Parts) -> None:
        stream = (body.stage, body.camera, body.boot)
        frames = int(isinstance(body, Frame))
        self._counts.of(stream).results += frames
        self._counts.give_up(self._window.offer(stream, frames, parts))

    def _spool_free(self) -> int:
        return self._spooler.free if self._spooler is not None else 0

    def _wake(self) -> None:
        self._waker.wake()
        if self._spooler is not None and self._window.overfull():
            self._spooler.wake()

    def _run(self) -> None:
        lines: dict[str, _Line] = {}
        poller = zmq.Poller()
        poller.register(self._waker.fd, zmq.POLLIN)
        try:
            while not self._scope.stopping.is_set():
                if self._retarget:
                    self._follow(lines, poller)
                if self._push(lines, poller):
                    self._scope.stopping.wait(PAUSE_S)  # in real time, whatever the clock
                self._wait(lines, poller)
        finally:
            for line in lines.values():
                line.close()
            self._waker.close()
            if self._spooler is None:
                with self._lock:
                    self._counts.give_up(self._window.give_up_all())
            self._over.set()

    def _follow(self, lines: dict[str, _Line], poller: zmq.Poller) -> None:
        """Open lines to new collectors, close those to collectors that left or moved."""
        with self._lock:
            targets, self._retarget = dict(self._targets), False
        gone = [node for node, line in lines.items() if targets.get(node) != line.collector]
        for node in gone:
            lines[node].leave(poller)
            lines.pop(node).close()
        if gone:  # what was on its way to them goes again at once, also where one came back elsewhere
            with self._lock:
                self._window.set_collectors(lines)
        for node in targets.keys() - lines.keys():
            if (line := self._try_open(targets[node])) is not None:
                lines[node] = line
                poller.register(line.acks, zmq.POLLIN)
                log.info("delivering to collector %s at %s", node, targets[node].pull)
        with self._lock:
            self._window.set_collectors(lines)

    def _try_open(self, collector: Collector) -> _Line | None:
        """None for a malformed record, of which nobody else should suffer; it is told of once."""
        if collector in self._refused:
            return None
        line = self._open(collector)
        try:
            connect(line.acks, collector.pub)
            connect(line.push, collector.pull)
        except TransportError as error:
            line.close()
            self._refused.add(collector)
            log.warning("collector %s is left out: %s", collector.node, error)
            return None
        return line

    def _open(self, collector: Collector) -> _Line:
        acks = open_socket(zmq.SUB, hwm=0)
        acks.setsockopt(zmq.SUBSCRIBE, ack_topic(self.node))
        push = open_socket(zmq.PUSH, hwm=HIGH_WATER_MARK)
        push.setsockopt(zmq.IMMEDIATE, 1)  # queue for live connections only: the window keeps the rest
        return _Line(collector, push, acks)

    def _push(self, lines: dict[str, _Line], poller: zmq.Poller) -> bool:
        """Send what may be sent now; whether that was anything, and no socket was full."""
        before = self._sent
        for node, line in lines.items():
            blocked = False
            result, parts = self._next(node)
            while result is not None and not blocked:
                if blocked := not self._send(line, result, parts):
                    break
                result, parts = self._next(node, sent=result)
            line.wait_for_room(poller, blocked)
        return self._sent > before and not any(line.blocked for line in lines.values())

    def _next(self, node: str, sent: Result | None = None) -> tuple[Result | None, Sequence[Any]]:
        """What is to be sent next to a collector, with its parts, which go with what is given up; `sent` is
        what has been handed to its socket just now."""
        with self._lock:
            if sent is not None:
                self._window.sent(sent, node, self._clock.monotonic())
                self._sent += 1
            result = self._window.waiting(node)
            return result, result.parts if result is not None else ()

    def _send(self, line: _Line, result: Result, parts: Sequence[Any]) -> bool:
        """Whether there was room for it."""
        envelope = encode_envelope(Envelope(self.node, self.run, result.number))
        try:
            send(line.push, (envelope, *parts), NOBLOCK)
        except zmq.Again:
            return False
        return True

    def _wait(self, lines: dict[str, _Line], poller: zmq.Poller) -> None:
        with self._lock:
            idle = not len(self._window)
        ready = poll(poller, None if idle else self._resend_after_s / LOOKS)
        if self._waker.fd in ready:
            self._waker.clear()
        for node, line in lines.items():
            if line.acks in ready:
                self._hear(node, line)
        self._look_for_overdue()
        if self._spooler is not None and (self._window.shelved or self._window.acknowledged_count):
            self._spooler.wake()

    def _look_for_overdue(self) -> None:
        """Send again what is overdue; now and then only, since this looks at all that is in flight."""
        now = self._clock.monotonic()
        if now < self._resend_due:
            return
        self._resend_due = now + self._resend_after_s / (2 * LOOKS)
        with self._lock:
            self._counters.add("resent", self._window.resend(now))

    def _hear(self, node: str, line: _Line) -> None:
        while True:
            try:
                parts = receive(line.acks)
                if parts is None:
                    return
                ack = decode_ack(parts)
            except WireError as error:
                self._counters.add("wire_errors")
                log.warning("collector %s sent a bad acknowledgement: %s", node, error)
                continue
            if ack.run == self.run:
                self._acknowledge(node, ack.numbers)

    def _acknowledge(self, node: str, numbers: tuple[int, ...]) -> None:
        with self._lock:
            delivered, revived = self._window.acknowledge(node, numbers, self._clock.monotonic())
            self._counts.deliver(delivered)
            self._counts.revive(revived)
            self._changed.notify_all()
        if self._on_delivered is not None and delivered:
            self._on_delivered([result.number for result in delivered])
