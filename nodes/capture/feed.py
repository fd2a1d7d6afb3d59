"""What a camera publishes: its pictures as frames, numbered and stamped, and the end of its stream.

Rules kept here: `seq` counts on over reconnects and pauses; what a picture's `captured_ns` says is when it
was taken here; one that nobody wants is counted, and neither converted nor encoded.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from mesh.clock import Clock
from mesh.frame import Codec, EndOfStream, Frame, Hop, new_frame
from mesh.transport import Publisher
from nodes.capture.picture import GrabPicture
from nodes.capture.sources.base import Grab, Size

STAGE = "raw"

_AT_ONCE = threading.Event()  # what waits for it to be set does not wait
_AT_ONCE.set()


class Feed:
    """One capture of a camera, numbered from 0 under its `boot`. For one thread at a time; counts for any."""

    def __init__(
        self, camera: str, boot: int, publisher: Publisher, clock: Clock, *, lossless: bool, partitions: int
    ) -> None:
        self.boot = boot
        self.captured = 0
        self.dropped: Counter[str] = Counter()
        self._camera, self._lossless, self._partitions = camera, lossless, partitions
        self._fields = {
            "camera": camera,
            "boot": boot,
            "stage": STAGE,
            "lossless": lossless,
            "partitions": partitions,
        }  # what all its frames have in common
        self._publisher, self._clock = publisher, clock

    def __repr__(self) -> str:
        return f"<Feed {self._camera} boot={self.boot} captured={self.captured}>"

    def publish(self, grab: Grab, size: Size | None, quality: int, stop: threading.Event) -> Frame | None:
        """Publish a picture; None when `stop` came before there was room for it: it is not counted then.

        Raises `DecodeError`.
        """
        frame, picture = self._framed(grab, size, quality)
        if not self._publisher.publish(frame, stop, picture):
            return None
        self.captured += 1
        return frame

    def is_taken_in(self) -> bool:
        """Whether somebody takes in what is published."""
        return self._publisher.is_taken_in(STAGE, self._camera, self._partitions)

    def await_taker(self, stop: threading.Event) -> bool:
        """Wait until somebody does; False when `stop` came first."""
        return self._publisher.await_taker(STAGE, self._camera, stop, self._partitions)

    def end(self, stop: threading.Event | None = None) -> None:
        """Say to subscribers that the stream has ended, in each partition. Saying it again is harmless.

        A lossless stream's consumers are waited for, until `stop`.
        """
        for end in self._ends():
            self._publisher.end(end, stop)

    def end_at_last(self, stop: threading.Event) -> None:
        """The same, once nothing more is to come: of a lossless stream, where nobody consumes a partition and
        nothing of it is unconfirmed, nobody is waited for."""
        for end in self._ends():
            waits = self._publisher.awaits(STAGE, end.camera, end.partition)
            self._publisher.end(end, stop if waits else _AT_ONCE)

    def _ends(self) -> Iterator[EndOfStream]:
        partitions = self._partitions
        end = EndOfStream(self._camera, self.boot, self.captured, STAGE, self._lossless)
        for number in range(partitions):
            yield replace(end, partition=number, partitions=partitions)

    def _framed(self, grab: Grab, scaled: Size | None, quality: int) -> tuple[Frame, GrabPicture | None]:
        """The frame of a picture, with a camera's own JPEG, or with what makes one. Raises `DecodeError`."""
        captured_ns = self._clock.wall_ns()
        own = grab.width, grab.height
        size = scaled or own
        passes = not grab.has_pixels and size == own
        fields = self._fields | {
            "seq": self.captured,
            "captured_ns": captured_ns,
            "pts_ns": grab.pts_ns,
            "width": size[0],
            "height": size[1],
            "payload": grab.jpeg(quality) if passes else b"",
            "codec": Codec.JPEG if passes else Codec.NONE,
            "detections": grab.detections,
            "hops": (Hop(self._publisher.node, captured_ns, self._clock.wall_ns()),),
        }
        return new_frame(fields), None if passes else GrabPicture(grab, quality, size)
