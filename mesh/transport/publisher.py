"""The publishing end: one XPUB socket that a node's threads share.

Rules kept here: publishing never blocks, and what a slow subscriber cannot take is dropped for that one
alone; the socket knows who listens, and a view that nobody asked for is not made; every frame that is
offered takes a number, so that a subscriber sees what it lost.
"""

import logging
import random
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import zmq

from mesh import codec
from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.errors import DecodeError
from mesh.frame import Codec, EndOfStream, Frame, Hop
from mesh.stats import Counters
from mesh.transport.sockets import bind, open_socket
from mesh.wire import Message, Topic, View, encode

log = logging.getLogger(__name__)

HIGH_WATER_MARK = 200
END_LINGER_MS = 5_000
RUN_BITS = 50


@dataclass(frozen=True, slots=True)
class Preview:
    """The `preview` view: the longest side in pixels, JPEG quality, and frames per second at most."""

    max_side: int = 320
    quality: int = 70
    fps: float = 2.0


DEFAULT_PREVIEW = Preview()


class Publisher:
    """Publishes frames of any number of cameras and stages. Thread-safe; close it when done.

    node:  the name that goes into each frame's hop
    bind:  where to listen: `tcp://HOST:PORT`, with `*` for a free port
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
        self._lock = threading.Lock()
        self._prefixes: set[bytes] = set()
        self._wanted: dict[bytes, bool] = {}
        self._numbers: dict[bytes, tuple[int, int]] = {}
        self._preview_due: dict[Topic, float] = {}
        self._sock = open_socket(zmq.XPUB, hwm=hwm)
        self.endpoints = tuple(bind(self._sock, endpoint) for endpoint in bind_to)

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

    def publish(self, frame: Frame) -> None:
        """Offer a frame to whoever listens to its stage and camera. Raises `WireError` for annotations that
        cannot be packed."""
        self._offer(View.FRAME, frame)
        meta, preview = (Topic(view, frame.stage, frame.camera) for view in (View.META, View.PREVIEW))
        if self._listens(meta):
            self._offer(View.META, frame.without_image())
        if self._listens(preview) and self._preview_is_due(preview) and frame.codec is not Codec.NONE:
            self._offer_preview(frame)

    def end(self, end: EndOfStream) -> None:
        """Say that a stream has ended. Saying it again is harmless, and helps whoever missed it."""
        for view in View:
            topic = Topic(view, end.stage, end.camera)
            with self._lock:
                boot, n = self._numbers.get(bytes(topic), (end.boot, 0))
                self._send(Message(topic, self.run, n if boot == end.boot else 0, end))

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
            self._sock.close(linger=END_LINGER_MS if flush else 0)

    def _offer(self, view: View, frame: Frame) -> None:
        topic = Topic(view, frame.stage, frame.camera)
        name = bytes(topic)
        self._counters.add(f"{view}_offered")
        with self._lock:
            boot, n = self._numbers.get(name, (frame.boot, 0))
            n = n if boot == frame.boot else 0
            self._numbers[name] = (frame.boot, n + 1)
            if self._asked(name):
                self._send(Message(topic, self.run, n, frame))
                self._counters.add(f"{view}_sent")

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

    def _hear(self) -> None:
        """Read who has subscribed and who has left; XPUB tells the first and the last of each prefix."""
        while int(self._sock.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            message: bytes = self._sock.recv(zmq.NOBLOCK)
            change = self._prefixes.add if message[:1] == b"\x01" else self._prefixes.discard
            change(message[1:])
            self._wanted.clear()

    def _send(self, message: Message) -> None:
        self._sock.send_multipart(encode(message), copy=False)
