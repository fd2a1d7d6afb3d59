"""The publishing end: one XPUB socket that a node's threads share.

Rules kept here: publishing a live stream never blocks, and what a slow subscriber cannot take is dropped for
that one alone; a lossless stream waits for its consumers (see `credit`), and for nobody else; the socket
knows who listens, and what nobody asked for is neither drawn nor encoded; every frame that is offered takes
a number, so that a subscriber sees what it lost; whoever waits sleeps until a subscriber says something.
"""

import logging
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import zmq

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.errors import DecodeError, WireError
from mesh.frame import Codec, EndOfStream, Frame, Hop, with_fields
from mesh.picture import Picture
from mesh.scope import Scope
from mesh.shm import FOLDER, sweep
from mesh.transport.channel import Camera, Channel, Channels, Directory
from mesh.transport.credit import Flow
from mesh.transport.forms import DEFAULT_PREVIEW, Forms, Preview, forms_of, preview_of
from mesh.transport.sharing import REACH_S, Sharing
from mesh.transport.sockets import READABLE, Waker, bind, open_socket, poll, send
from mesh.transport.succession import Succession
from mesh.wire import RELEASE, Message, Release, Topic, View, decode_credit, decode_release, encode

log = logging.getLogger(__name__)

HIGH_WATER_MARK = 200
END_LINGER_MS = 5_000
RUN_BITS = 50
TICK_S = 0.1
IDLE_S = 1.0
SILENT_S = 1.5  # of a consumer whose node is gone: it says something every second


class Publisher:
    """Publishes frames of any number of cameras and stages. Thread-safe; close it when done.

    node:     the name that goes into each frame's hop
    bind_to:  where to listen: `tcp://HOST:PORT`, with `*` for a free port
    rings:    the folder in memory for the pixels of subscribers on this host
    """

    def __init__(
        self,
        node: str,
        bind_to: Sequence[str] = ("tcp://127.0.0.1:*",),
        *,
        preview: Preview = DEFAULT_PREVIEW,
        hwm: int = HIGH_WATER_MARK,
        rings: Path = FOLDER,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.node = node
        self.run = random.getrandbits(RUN_BITS)
        self._preview = preview
        self._rings = rings
        self._clock = clock
        self._lock = threading.Lock()  # of all that follows
        self._heard = threading.Condition(self._lock)
        self._counts = Counter[str]()
        self._directory = Directory()
        self._flows: dict[bytes, Flow] = {}
        self._succession = Succession()
        self._used = True  # the socket, since it was heard out: that may have taken what wakes `hear`
        self._swept = False  # of the rings that others left behind
        self._sock = open_socket(zmq.XPUB, hwm=hwm)
        self.endpoints = tuple(bind(self._sock, endpoint) for endpoint in bind_to)
        self._closed = False
        self._waker = Waker()
        self._scope = Scope("publisher")
        self._scope.spawn("hear", self._hear_on)

    def __repr__(self) -> str:
        return f"<Publisher {self.node} at {', '.join(self.endpoints)} {self.stats()}>"

    @property
    def endpoint(self) -> str:
        """The first address that it listens on."""
        return self.endpoints[0]

    def stats(self) -> dict[str, int]:
        """What was offered, and what was sent, by view; `encoded` counts the pictures made into JPEGs."""
        with self._lock:
            counts = Counter(self._counts)
            for channel in self._directory.channels.values():
                counts[f"{channel.topic.view}_offered"] += channel.offered
                counts[f"{channel.topic.view}_sent"] += channel.sent
            for camera in self._directory.cameras.values():
                if camera.sharing is not None:
                    counts += camera.sharing.counts.copy()
        return dict(+counts)

    def stamp(self, frame: Frame, **changes: Any) -> Frame:
        """The frame with this node's hop: when it came in (or was captured), and that it leaves now.

        `changes` to other fields are made in the same copy.
        """
        hop = Hop(self.node, frame.received_ns or frame.captured_ns, self._clock.wall_ns())
        return with_fields(frame, hops=(*frame.hops, hop), **changes)

    def lossless(self, stage: str, camera: str, *, hold: bool, partitions: int = 1) -> None:
        """Let a stream be lossless, before its first frame. With `hold` it waits for a first consumer, in
        each of its partitions, and these share the window that one alone has."""
        with self._lock:
            for channels in self._directory.partitions(stage, camera, partitions):
                if channels.flow is None:
                    channels.flow = self._flows[channels.frame.name] = Flow(self.run, hold)
                channels.flow.shares = partitions

    def consumers(self, stage: str, camera: str) -> frozenset[str]:
        """Who consumes a lossless stream now, or some partitions of it, by the names that they go by."""
        with self._lock:
            flows = [channels.flow for channels in self._directory.partitions(stage, camera)]
            return frozenset().union(*(flow.consumers for flow in flows if flow is not None))

    def meet_nodes(self, living: Mapping[str, str]) -> None:
        """These nodes live now, by name, each of that group. A consumer that is gone is let go of once
        another of its group consumes the topic; else when it was silent for long."""
        with self._lock:
            consumers = frozenset[str]().union(*(flow.consumers for flow in self._flows.values()))
            self._succession.meet(living, consumers)

    def is_settled(self, stage: str, camera: str | None = None) -> bool:
        """Whether the consumers of a stage's lossless streams, or of one camera's, have all that was sent."""
        with self._lock:
            self._hear()
            flows = (
                channels.flow
                for (of, name), known in self._directory.cameras.items()
                if of == stage and camera in (None, name)
                for channels in known.parts.values()
            )
            return all(flow is None or flow.is_settled for flow in flows)

    def awaits(self, stage: str, camera: str, partition: int) -> bool:
        """Whether a partition of a lossless stream has consumers, or something that none has confirmed."""
        with self._lock:
            self._hear()
            flow = self._directory[stage, camera, partition].flow
            return flow is not None and bool(flow.consumers or not flow.is_settled)

    def is_taken_in(self, stage: str, camera: str, partitions: int = 1) -> bool:
        """Whether somebody takes a stream's frames in now, in each partition: as a consumer, where it is
        lossless."""
        with self._lock:
            self._hear()
            parts = self._directory.partitions(stage, camera, partitions)[:partitions]
            return all(part.taken_in for part in parts)

    def await_taker(self, stage: str, camera: str, stop: threading.Event, partitions: int = 1) -> bool:
        """Wait until a stream's frames are taken in; False when `stop` came first (see `wake`)."""
        with self._lock:
            parts = self._directory.partitions(stage, camera, partitions)[:partitions]
            return self._await(lambda: all(part.taken_in for part in parts), stop)

    def wake(self) -> None:
        """Have whoever waits here look at its `stop` at once: call it when one was set."""
        with self._lock:
            self._heard.notify_all()

    def publish(
        self, frame: Frame, stop: threading.Event | None = None, picture: Picture | None = None
    ) -> bool:
        """Offer a frame to whoever listens to its stage and camera.

        picture:  what the frame shows: drawn and encoded only for those who listen, unless the frame is a
                  JPEG already. Without one it goes out as it is.
        A frame of a lossless stream waits until its consumers have room; False when `stop` came first and it
        was not sent. Raises `WireError` for annotations that cannot be packed, and `DecodeError` for a
        picture that is damaged; such a frame takes no number.
        """
        forms = Forms(frame, frame) if picture is None else self._forms(frame, picture)
        with self._lock:
            channels = self._directory[frame.stage, frame.camera, frame.partition]
            if picture is None and self._used:  # else it was done just now, or `hear` is told
                self._hear()
            if not self._offer_forms(channels, frame, forms, stop):
                return False
            if channels.meta.asking:
                self._offer(channels.meta, frame.without_image())
            camera = channels.camera
            due = camera.preview.asking and self._preview_is_due(camera)
        if due and (picture is not None or frame.codec is not Codec.NONE):
            self._offer_preview(camera, frame, picture)
        return True

    def end(self, end: EndOfStream, stop: threading.Event | None = None) -> None:
        """Say that a partition of a stream has ended, and with the last one its preview. Saying it again is
        harmless, and helps whoever missed it.

        On a lossless stream it is said once, and waits until its consumers have everything, or for `stop`.
        """
        with self._lock:
            channels = self._directory[end.stage, end.camera, end.partition]
            channels.ended = end.boot
            for channel in channels:
                if end.lossless and channels.flow is not None and channel is channels.frame:
                    self._end_waiting(channels.flow, channel, end, stop)
                else:
                    self._say_end(channel, end)
            if channels.camera.has_ended(end.boot):
                self._say_end(channels.camera.preview, replace(end, partition=0, partitions=1))

    def rest(self, stage: str, camera: str) -> None:
        """A stream is not published any more, here: let go of its shared memory. Called by the thread that
        published it."""
        with self._lock:
            known = self._directory.cameras.get((stage, camera))
            sharing = known.sharing if known is not None else None
        if sharing is not None:
            sharing.drop()

    def send(self, parts: Iterable[bytes]) -> None:
        """Publish parts that are not a frame: a collector's acknowledgements."""
        with self._lock:
            self._used = True
            send(self._sock, list(parts))

    def listens(self, view: View, stage: str, camera: str) -> bool:
        """Whether anybody asks for this view of a stream now."""
        with self._lock:
            self._hear()
            parts = self._directory.partitions(stage, camera)
            channels = [parts[0].camera.preview, *(channel for part in parts for channel in part)]
            return any(channel.asking for channel in channels if channel.topic.view is view)

    def close(self, *, flush: bool = True) -> None:
        """Stop listening; with `flush`, what is queued still goes out, within five seconds."""
        with self._lock:
            self._closed = True
            self._heard.notify_all()
        self._scope.stop()
        self._waker.wake()
        self._scope.join()
        self._waker.close()
        self._sock.close(linger=END_LINGER_MS if flush else 0)
        until = self._clock.monotonic() + REACH_S if flush else 0.0
        for camera in self._directory.cameras.values():
            if camera.sharing is not None:
                camera.sharing.close(until - self._clock.monotonic())

    # What follows is called with the lock held, unless it says otherwise.

    def _offer_forms(
        self, channels: Channels, frame: Frame, forms: Forms, stop: threading.Event | None
    ) -> bool:
        """Send a frame in the forms that were made; False when it is time to stop."""
        if frame.lossless and channels.flow is not None:
            if not self._offer_waiting(channels.flow, channels.frame, forms.whole or frame, stop):
                return False
            n = channels.shm.take(frame.boot)
        else:
            n = channels.frame.next(frame.boot)  # taken once it was sent: one that cannot be packed has none
            self._send_form(channels.frame, n, forms.whole)
            channels.frame.take(frame.boot)
        self._send_form(channels.shm, n, forms.shared)
        self._counts["encoded"] += forms.encoded
        return True

    def _send_form(self, channel: Channel, n: int, frame: Frame | None) -> None:
        if channel.asking and frame is not None:
            self._send(Message(channel.topic, self.run, n, frame))
            channel.sent += 1

    def _offer(self, channel: Channel, frame: Frame) -> None:
        self._send_form(channel, channel.take(frame.boot), frame)

    def _forms(self, frame: Frame, picture: Picture) -> Forms:
        """Without the lock: making them takes a while."""
        with self._lock:
            self._hear()
            channels = self._directory[frame.stage, frame.camera, frame.partition]
            camera = channels.camera
            whole = channels.frame.asking > 0 or (frame.lossless and channels.flow is not None)
            sharing = self._sharing(camera, channels.shm.topic) if channels.shm.asking else None
            unused = None if sharing is not None or camera.is_shared else camera.sharing
        if unused is not None:
            unused.drop()
        return forms_of(frame, picture, sharing, whole=whole)

    def _sharing(self, camera: Camera, topic: Topic) -> Sharing:
        if camera.sharing is None:
            if not self._swept:
                self._swept = sweep(self._rings) >= 0
            camera.sharing = Sharing(topic, self._rings, self._clock)
        return camera.sharing

    def _offer_preview(self, camera: Camera, frame: Frame, picture: Picture | None) -> None:
        """Without the lock, as above."""
        try:
            preview = preview_of(frame, picture, self._preview)
        except DecodeError:
            with self._lock:
                self._counts["preview_undecodable"] += 1
            return
        with self._lock:
            self._offer(camera.preview, preview)

    def _preview_is_due(self, camera: Camera) -> bool:
        now = self._clock.monotonic()
        if now < camera.preview_due:
            return False
        camera.preview_due = now + 1 / self._preview.fps
        return True

    def _offer_waiting(
        self, flow: Flow, channel: Channel, body: Frame | EndOfStream, stop: threading.Event | None
    ) -> bool:
        """Send on a lossless stream once its consumers have room; False when `stop` came first."""
        if not self._await(lambda: flow.boot == body.boot or flow.is_settled, stop):
            return False
        if flow.boot != body.boot:
            flow.begin(body.boot)
        if not self._await(flow.is_open, stop):
            return False
        message = Message(channel.topic, self.run, flow.next, body, flow.base)
        flow.sent(message, self._send(message), self._clock.monotonic())
        if isinstance(body, Frame):
            channel.offered += 1
            channel.sent += 1
        return True

    def _end_waiting(
        self, flow: Flow, channel: Channel, end: EndOfStream, stop: threading.Event | None
    ) -> None:
        if not (flow.ended and flow.boot == end.boot):
            flow.ended = self._offer_waiting(flow, channel, end, stop)
        self._await(lambda: flow.is_settled, stop)

    def _say_end(self, channel: Channel, end: EndOfStream) -> None:
        self._send(Message(channel.topic, self.run, channel.next(end.boot), end))

    def _await(self, condition: Callable[[], bool], stop: threading.Event | None) -> bool:
        """Wait for what consumers say, and let go of the lock meanwhile; False when it is time to stop."""
        self._hear()
        while not condition():
            if self._closed or (stop is not None and stop.is_set()):
                return False
            self._heard.wait(IDLE_S)
        return True

    def _hear_on(self) -> None:
        """Read what subscribers say, also while nothing is published, and send again what they lack."""
        poller = zmq.Poller()
        poller.register(int(self._sock.getsockopt(zmq.FD)), zmq.POLLIN)
        poller.register(self._waker.fd, zmq.POLLIN)
        while not self._scope.stopping.is_set():
            poll(poller, self._tick_s())
            with self._lock:
                self._hear()
                now = self._clock.monotonic()
                for topic, flow in self._flows.items():
                    self._tend(topic, flow, now)

    def _tick_s(self) -> float:
        """Nobody waits for what a stream without consumers has to say."""
        with self._lock:
            return TICK_S if any(flow.consumers for flow in self._flows.values()) else IDLE_S

    def _tend(self, topic: bytes, flow: Flow, now: float) -> None:
        self._pass_on(flow, now)
        for consumer in flow.cut_off(now):
            self._counts["cut_off"] += 1
            log.warning("%s no longer waits for %s, which is silent", topic.decode(), consumer)
            self._heard.notify_all()
        for message in flow.resend(now):
            self._counts["resent"] += 1
            self._send(message)

    def _pass_on(self, flow: Flow, now: float) -> None:
        if not (silent := flow.silent(now, SILENT_S)):
            return
        for consumer in self._succession.succeeded(flow.consumers):
            if consumer in silent:
                flow.release(consumer)
                self._counts["passed_on"] += 1
                self._heard.notify_all()

    def _hear(self) -> None:
        """Read who has subscribed and who has left (XPUB tells the first and the last of each prefix), and
        the credits of those who consume a lossless stream; tell whoever waits for that."""
        while int(self._sock.get(zmq.EVENTS)) & READABLE:
            self._heard.notify_all()
            message: bytes = self._sock.recv(zmq.NOBLOCK)
            if message[:1] in (b"\x00", b"\x01"):
                self._directory.subscribed(message[1:], message[:1] == b"\x01")
            else:
                self._hear_consumer(message)
        self._used = False

    def _hear_consumer(self, message: bytes) -> None:
        try:
            said = (decode_release if message[:1] == RELEASE else decode_credit)(message)
        except WireError:
            self._counts["wire_errors"] += 1
            return
        if (flow := self._flows.get(said.topic)) is None:
            return
        if isinstance(said, Release):
            flow.release(said.consumer)
        else:
            flow.credit(said, self._clock.monotonic())

    def _send(self, message: Message) -> int:
        """How many bytes were sent."""
        parts = encode(message)
        self._used = True
        send(self._sock, parts)
        return sum(map(len, parts))
