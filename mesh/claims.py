"""Frames whose pixels are in shared memory, and how they get them when their turn comes.

Rules kept here: pixels are pinned when a frame is handed out, not when it arrives, so that frames which wait
hold nothing up; a frame whose slot was overwritten meanwhile is dropped and counted, never delivered; a ring
is opened as soon as a frame names it, while its writer is sure to be there; one that cannot be opened (in
another container, by another user) is told of once a stream, so that its frames can be had another way.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from mesh.errors import TransportError
from mesh.frame import Frame, Slot, with_fields
from mesh.inbox import Cause, StreamKey
from mesh.shm import FOLDER, RingReader
from mesh.wire import Message

log = logging.getLogger(__name__)

RINGS_KEPT = 2  # of each stream: the one that is written, and one that frames on their way may still name

Sink = Callable[[list[Message]], None]


@dataclass(slots=True)
class _Stream:
    rings: deque[RingReader] = field(default_factory=lambda: deque(maxlen=RINGS_KEPT))
    unreadable: str = ""  # the newest ring that could not be opened
    told: bool = False


class Claims:
    """The rings that one subscriber reads. Thread-safe.

    give_up:  called with the camera of each stream whose ring cannot be opened, once
    """

    def __init__(self, give_up: Callable[[str], None], folder: Path = FOLDER) -> None:
        self._give_up = give_up
        self._folder = folder
        self._lock = threading.Lock()
        self._streams: dict[StreamKey, _Stream] = {}

    def before(self, sink: Sink) -> Sink:
        """`sink`, with the rings that messages name opened first."""

        def meet(messages: list[Message]) -> None:
            for message in messages:
                if isinstance(message.body, Frame) and message.body.shm is not None:
                    self._ring(message.body, message.body.shm)
            sink(messages)

        return meet

    def claim(self, frame: Frame) -> Frame | Cause:
        """The frame with its pixels, which stay as they are while it is there; or why it is dropped."""
        slot = frame.shm
        ring = self._ring(frame, slot) if slot is not None else None
        if ring is None or slot is None:
            return Cause.UNREADABLE
        try:
            pixels = ring.take(slot, frame.width * frame.height * frame.channels)
        except TransportError as error:
            self._refuse(frame, slot, error)
            return Cause.UNREADABLE
        return Cause.OVERWRITTEN if pixels is None else with_fields(frame, payload=pixels, shm=None)

    def _ring(self, frame: Frame, slot: Slot) -> RingReader | None:
        with self._lock:
            key = frame.stage, frame.camera
            stream = self._streams.get(key)
            if stream is None:
                stream = self._streams[key] = _Stream()
            for ring in stream.rings:
                if ring.name == slot.ring:
                    return ring
            if stream.unreadable == slot.ring:
                return None
            try:
                ring = RingReader(slot.ring, self._folder)
            except TransportError as error:
                why = error
            else:
                stream.rings.appendleft(ring)
                return ring
        self._refuse(frame, slot, why)
        return None

    def _refuse(self, frame: Frame, slot: Slot, why: TransportError) -> None:
        with self._lock:
            stream = self._streams[frame.stage, frame.camera]
            stream.unreadable = slot.ring
            told, stream.told = stream.told, True
        if not told:
            log.warning("%s/%s is taken encoded, without shared memory: %s", frame.stage, frame.camera, why)
            self._give_up(frame.camera)
