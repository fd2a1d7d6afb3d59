"""The publishing end: one XPUB socket that a node's threads share.

Rules kept here: publishing a live stream never blocks, and what a slow subscriber cannot take is dropped for
that one alone; a lossless stream waits for its consumers (see `credit`), and for nobody else; the socket
knows who listens, and a view that nobody asked for is not made; every frame that is offered takes a number,
so that a subscriber sees what it lost.
"""

import logging
import random
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import zmq

from mesh import codec
from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.errors import DecodeError, WireError
from mesh.frame import Codec, EndOfStream, Frame, Hop
from mesh.scope import Scope
from mesh.stats import Counters
from mesh.transport.credit import Flow
from mesh.transport.sockets import Waker, bind, open_socket, poll
from mesh.wire import Message, Topic, View, decode_credit, encode

log = logging.getLogger(__name__)

HIGH_WATER_MARK = 200
END_LINGER_MS = 5_000
RUN_BITS = 50
BOOTS_KEPT = 8
TICK_S = 0.1
IDLE_S = 1.0


@dataclass(frozen=True, slots=True)
class Preview:
    """The `preview` view: the longest side in pixels, JPEG quality, and frames per second at most."""

    max_side: int = 320
    quality: int = 70
    fps: float = 2.0


DEFAULT_PREVIEW = Preview()


class Publisher:
    """Publishes frames of any number of cameras and stages. Thread-safe; close it when done.

    node:     the name that goes into each frame's hop
    bind_to:  where to listen: `tcp://HOST:PORT`, with `*` for a free port
    """

    def __init__(
        self,
        node: str,
        bind_to: Sequence[str] = ("tcp://127.0.0.1:*",),
        *,
        preview: Preview = DEFAULT_PREVIEW,
        hwm: int = HIGH_WATER_MARK,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.node = node
        self.run = random.getrandbits(RUN_BITS)
        self._preview = preview
        self._clock = clock
        self._counters = Counters()
        self._lock = threading.Condition()
        self._flows: dict[bytes, Flow] = {}
        self._prefixes: set[bytes] = set()
        self._wanted: dict[bytes, bool] = {}
        self._numbers: dict[bytes, dict[int, int]] = {}  # the next `n` of each topic, by boot
        self._preview_due: dict[Topic, float] = {}
        self._sock = open_socket(zmq.XPUB, hwm=hwm)
        self.endpoints = tuple(bind(self._sock, endpoint) for endpoint in bind_to)
        self._closed = False
        self._waker = Waker()
        self._scope = Scope("publisher")
        self._scope.spawn("hear", self._hear_on)

    def __repr__(self) -> str:
        return f"<Publisher {self.node} at {', '.join(self.endpoints)} {dict(self._counters.snapshot())}>"

    @property
    def endpoint(self) -> str:
        """The first address that it listens on."""
        return self.endpoints[0]

    def stats(self) -> dict[str, int]:
        """What was offered, and what was sent, by view."""
        return dict(self._counters.snapshot())

    def stamp(self, frame: Frame) -> Frame:
        """The frame with this node's hop: when it came in (or was captured), and that it leaves now."""
        hop = Hop(self.node, frame.received_ns or frame.captured_ns, self._clock.wall_ns())
        return replace(frame, hops=(*frame.hops, hop))

    def lossless(self, stage: str, camera: str, *, hold: bool) -> None:
        """Let a stream be lossless, before its first frame. With `hold` it waits for a first consumer."""
        topic = bytes(Topic(View.FRAME, stage, camera))
        with self._lock:
            self._flows.setdefault(topic, Flow(self.run, hold))

    def consumers(self, stage: str, camera: str) -> frozenset[str]:
        """Who consumes a lossless stream now, by the names that they go by."""
        with self._lock:
            flow = self._flows.get(bytes(Topic(View.FRAME, stage, camera)))
            return flow.consumers if flow is not None else frozenset()

    def publish(self, frame: Frame, stop: threading.Event | None = None) -> bool:
        """Offer a frame to whoever listens to its stage and camera.

        A frame of a lossless stream waits until its consumers have room; False when `stop` came first and it
        was not sent. Raises `WireError` for annotations that cannot be packed.
        """
        topic = Topic(View.FRAME, frame.stage, frame.camera)
        flow = self._flows.get(bytes(topic)) if frame.lossless else None
        if flow is None:
            self._offer(View.FRAME, frame)
        elif not self._offer_waiting(flow, topic, frame, stop):
            return False
        meta, preview = (Topic(view, frame.stage, frame.camera) for view in (View.META, View.PREVIEW))
        if self._listens(meta):
            self._offer(View.META, frame.without_image())
        if self._listens(preview) and self._preview_is_due(preview) and frame.codec is not Codec.NONE:
            self._offer_preview(frame)
        return True

    def end(self, end: EndOfStream, stop: threading.Event | None = None) -> None:
        """Say that a stream has ended. Saying it again is harmless, and helps whoever missed it.

        On a lossless stream it is said once, and waits until its consumers have everything, or for `stop`.
        """
        for view in View:
            topic = Topic(view, end.stage, end.camera)
            flow = self._flows.get(bytes(topic)) if end.lossless else None
            if flow is not None:
                self._end_waiting(flow, topic, end, stop)
                continue
            with self._lock:
                self._send(Message(topic, self.run, self._next(bytes(topic), end.boot), end))

    def send(self, parts: Iterable[bytes]) -> None:
        """Publish parts that are not a frame: a collector's acknowledgements."""
        with self._lock:
            self._sock.send_multipart(list(parts), copy=True)

    def listens(self, view: View, stage: str, camera: str) -> bool:
        """Whether anybody asks for this stream now."""
        return self._listens(Topic(view, stage, camera))

    def close(self, *, flush: bool = True) -> None:
        """Stop listening; with `flush`, what is queued still goes out, within five seconds."""
        with self._lock:
            self._closed = True
            self._lock.notify_all()
        self._scope.stop()
        self._waker.wake()
        self._scope.join()
        self._waker.close()
        self._sock.close(linger=END_LINGER_MS if flush else 0)

    def _offer(self, view: View, frame: Frame) -> None:
        topic = Topic(view, frame.stage, frame.camera)
        name = bytes(topic)
        self._counters.add(f"{view}_offered")
        with self._lock:
            n = self._next(name, frame.boot)
            self._numbers[name][frame.boot] = n + 1
            if self._asked(name):
                self._send(Message(topic, self.run, n, frame))
                self._counters.add(f"{view}_sent")

    def _next(self, topic: bytes, boot: int) -> int:
        """The next number on a topic of a boot. Several boots may take turns, as when results that waited for
        long are forwarded between new ones; those of the newest few go on."""
        boots = self._numbers.setdefault(topic, {})
        if boot not in boots:
            boots[boot] = 0
            for old in sorted(boots)[:-BOOTS_KEPT]:
                if old != boot:
                    del boots[old]
        return boots[boot]

    def _offer_preview(self, frame: Frame) -> None:
        try:
            small = frame.thumbnail(self._preview.max_side)
        except DecodeError:
            self._counters.add("preview_undecodable")
            return
        jpeg = codec.encode(small, self._preview.quality)
        preview = replace(frame.with_image(small), payload=jpeg, codec=Codec.JPEG, channels=3)
        self._offer(
            View.PREVIEW,
            replace(preview, attributes={**frame.attributes, "full_size": [frame.width, frame.height]}),
        )

    def _preview_is_due(self, topic: Topic) -> bool:
        now = self._clock.monotonic()
        if now < self._preview_due.get(topic, now):
            return False
        self._preview_due[topic] = now + 1 / self._preview.fps
        return True

    def _listens(self, topic: Topic) -> bool:
        with self._lock:
            return self._asked(bytes(topic))

    def _asked(self, topic: bytes) -> bool:
        self._hear()
        if topic not in self._wanted:
            self._wanted[topic] = any(topic.startswith(prefix) for prefix in self._prefixes)
        return self._wanted[topic]

    def _offer_waiting(
        self, flow: Flow, topic: Topic, body: Frame | EndOfStream, stop: threading.Event | None
    ) -> bool:
        """Send on a lossless stream once its consumers have room; False when `stop` came first."""
        with self._lock:
            if not self._await(lambda: flow.boot == body.boot or flow.is_settled, stop):
                return False
            if flow.boot != body.boot:
                flow.begin(body.boot)
            if not self._await(flow.is_open, stop):
                return False
            message = Message(topic, self.run, flow.next, body, flow.base)
            flow.sent(message, self._send(message), self._clock.monotonic())
        if isinstance(body, Frame):
            self._counters.add("frame_offered")
            self._counters.add("frame_sent")
        return True

    def _end_waiting(self, flow: Flow, topic: Topic, end: EndOfStream, stop: threading.Event | None) -> None:
        if not (flow.ended and flow.boot == end.boot):
            flow.ended = self._offer_waiting(flow, topic, end, stop)
        with self._lock:
            self._await(lambda: flow.is_settled, stop)

    def _await(self, condition: Callable[[], bool], stop: threading.Event | None) -> bool:
        """Wait, with the lock held, for what consumers say; False when it is time to stop instead."""
        self._hear()
        while not condition():
            if self._closed or (stop is not None and stop.is_set()):
                return False
            self._lock.wait(TICK_S)
        return True

    def _hear_on(self) -> None:
        """Read what subscribers say, also while nothing is published, and send again what they lack."""
        poller = zmq.Poller()
        poller.register(int(self._sock.getsockopt(zmq.FD)), zmq.POLLIN)
        poller.register(self._waker.fd, zmq.POLLIN)
        while not self._scope.stopping.is_set():
            poll(poller, TICK_S if self._flows else IDLE_S)
            with self._lock:
                self._hear()
                now = self._clock.monotonic()
                for topic, flow in self._flows.items():
                    self._tend(topic, flow, now)
                self._lock.notify_all()

    def _tend(self, topic: bytes, flow: Flow, now: float) -> None:
        for consumer in flow.cut_off(now):
            self._counters.add("cut_off")
            log.warning("%s no longer waits for %s, which is silent", topic.decode(), consumer)
        for message in flow.resend(now):
            self._counters.add("resent")
            self._send(message)

    def _hear(self) -> None:
        """Read who has subscribed and who has left (XPUB tells the first and the last of each prefix), and
        the credits of those who consume a lossless stream."""
        while int(self._sock.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            message: bytes = self._sock.recv(zmq.NOBLOCK)
            if message[:1] in (b"\x00", b"\x01"):
                change = self._prefixes.add if message[:1] == b"\x01" else self._prefixes.discard
                change(message[1:])
                self._wanted.clear()
            else:
                self._hear_credit(message)

    def _hear_credit(self, message: bytes) -> None:
        try:
            credit = decode_credit(message)
        except WireError:
            self._counters.add("wire_errors")
            return
        if (flow := self._flows.get(credit.topic)) is not None:
            flow.credit(credit, self._clock.monotonic())

    def _send(self, message: Message) -> int:
        """How many bytes were sent."""
        parts = encode(message)
        self._sock.send_multipart(parts, copy=False)
        return sum(map(len, parts))
