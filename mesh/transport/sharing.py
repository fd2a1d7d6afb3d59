"""One stream's pixels in shared memory, for its subscribers on this host.

Rules kept here: there is a ring while somebody asks for one; a picture that cannot go there (no room, no
ring, every slot pinned) goes out as bytes, and is counted; a host that refused a ring is not asked again with
every frame.
"""

import logging
import threading
from collections import Counter
from pathlib import Path

from mesh.clock import Clock
from mesh.errors import TransportError
from mesh.frame import Codec, Frame, with_fields
from mesh.picture import Picture
from mesh.shm import RingWriter
from mesh.wire import Topic

log = logging.getLogger(__name__)

AGAIN_S = 30.0
REACH_S = 5.0  # so long a subscriber may take to open a ring whose writer closes, on a busy machine


class Sharing:
    """One ring for all partitions of a camera, which may be published by a thread each.

    counts: `shm_shared` pictures in the ring, `shm_busy` and `shm_no_ring`: those that went out as bytes
    """

    def __init__(self, topic: Topic, folder: Path, clock: Clock) -> None:
        self.counts = Counter[str]()
        self._topic, self._folder, self._clock = topic, folder, clock
        self._ring: RingWriter | None = None
        self._closed = False
        self._lock = threading.Lock()  # of these two
        self._writing = threading.Lock()
        self._refused: tuple[int, float] | None = None  # bytes of a frame, and until when

    def put(self, frame: Frame, picture: Picture) -> Frame | None:
        """`frame` with its pixels in the ring; None when they have to go another way.

        Raises `DecodeError` for a picture that is damaged.
        """
        with self._writing:
            return self._put(frame, picture)

    def _put(self, frame: Frame, picture: Picture) -> Frame | None:
        shape = (frame.height, frame.width, 3) if picture.channels == 3 else (frame.height, frame.width)
        ring = self._ring_of(frame.width * frame.height * picture.channels)
        if ring is None:
            self.counts["shm_no_ring"] += 1
            return None
        slot = ring.write(shape, picture.draw)
        self.counts["shm_shared" if slot is not None else "shm_busy"] += 1
        if slot is None:
            return None
        raw = {"codec": Codec.RAW, "channels": picture.channels, "payload": b"", "config": b""}
        return with_fields(frame, shm=slot, _pixels={}, **raw)

    def drop(self) -> None:
        """Nobody asks any more."""
        with self._writing:
            self._drop()

    def close(self, linger_s: float) -> None:
        """Have no ring any more. This one goes once a subscriber has it open, or after `linger_s` seconds."""
        with self._lock:
            self._closed, ring, self._ring = True, self._ring, None
        if ring is not None:
            ring.close(linger_s)

    def _drop(self) -> None:
        with self._lock:
            ring, self._ring = self._ring, None
        if ring is not None:
            ring.close()

    def _ring_of(self, size: int) -> RingWriter | None:
        ring = self._ring
        if ring is not None and ring.fits(size):
            return ring
        now = self._clock.monotonic()
        if self._refused is not None and self._refused[0] == size and now < self._refused[1]:
            return None
        self._drop()
        try:
            return self._keep(RingWriter(size, self._folder))
        except TransportError as error:
            if self._refused is None:
                name = f"{self._topic.stage}/{self._topic.camera}"
                log.warning("%s goes out encoded, without shared memory: %s", name, error)
            self._refused = (size, now + AGAIN_S)
            return None

    def _keep(self, ring: RingWriter) -> RingWriter | None:
        with self._lock:
            if not self._closed:
                self._ring = ring
                return ring
        ring.close()
        return None
