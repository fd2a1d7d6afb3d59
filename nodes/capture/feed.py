"""What a camera publishes: its pictures as frames, numbered and stamped, and the end of its stream.

Rules kept here: `seq` counts on over reconnects and pauses; what a picture's `captured_ns` says is when it
was taken here, and where the clock was set before, the frame says so (`clockwork`); one that nobody wants is
counted, and neither converted nor encoded. A picture that is a frame already, out of a recording, keeps its
boot, number, time, and all that was said of it: the boot of this capture is then that of the newest such
frame, and what is counted for the ledger are the frames that were published of that boot, whatever their
numbers are.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from mesh.clock import Clock
from mesh.frame import Codec, Detection, EndOfStream, Frame, Hop, new_frame
from mesh.steps import Step
from mesh.transport import Publisher
from nodes.capture.clockwork import Clockwork, Steps
from nodes.capture.picture import GrabPicture
from nodes.capture.sources.base import Grab, Size
from nodes.capture.sources.jpegs import FrameGrab

STAGE = "raw"

_AT_ONCE = threading.Event()  # what waits for it to be set does not wait
_AT_ONCE.set()


class Feed:
    """One capture of a camera, numbered from 0 under its `boot`. For one thread at a time; counts for any.

    counted:   the boot, and the frames of it that were published
    captured:  the frames that were published, of all boots
    """

    def __init__(
        self,
        camera: str,
        boot: int,
        publisher: Publisher,
        clock: Clock,
        clockwork: Clockwork,
        *,
        lossless: bool,
        partitions: int,
        stage: str = STAGE,
    ) -> None:
        self._steps = Steps(clockwork)
        self.counted = boot, 0
        self.captured = 0
        self.dropped: Counter[str] = Counter()
        self._camera, self._lossless, self._partitions = camera, lossless, partitions
        self._stage = stage
        self._next = 0  # behind the greatest number so far
        self._fields = {
            "camera": camera,
            "stage": stage,
            "lossless": lossless,
            "partitions": partitions,
        }  # what all its frames have in common
        self._publisher, self._clock = publisher, clock

    def __repr__(self) -> str:
        return f"<Feed {self._camera} boot={self.boot} captured={self.captured}>"

    @property
    def boot(self) -> int:
        return self.counted[0]

    def publish(self, grab: Grab, size: Size | None, quality: int, stop: threading.Event) -> Frame | None:
        """Publish a picture; None when `stop` came before there was room for it: it is not counted then.

        Raises `DecodeError`.
        """
        frame, picture = self._framed(grab, size, quality)
        if not self._publisher.publish(frame, stop, picture):
            return None
        self._count(frame)
        return frame

    def is_taken_in(self) -> bool:
        """Whether somebody takes in what is published."""
        return self._publisher.is_taken_in(self._stage, self._camera, self._partitions)

    def await_taker(self, stop: threading.Event) -> bool:
        """Wait until somebody does; False when `stop` came first."""
        return self._publisher.await_taker(self._stage, self._camera, stop, self._partitions)

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
            waits = self._publisher.awaits(self._stage, end.camera, end.partition)
            self._publisher.end(end, stop if waits else _AT_ONCE)

    def _ends(self) -> Iterator[EndOfStream]:
        partitions = self._partitions
        end = EndOfStream(self._camera, self.boot, self._next, self._stage, self._lossless)
        for number in range(partitions):
            yield replace(end, partition=number, partitions=partitions)

    def _count(self, frame: Frame) -> None:
        boot, published = self.counted
        goes_on = frame.boot == boot
        self._next = max(self._next if goes_on else 0, frame.seq + 1)
        self.captured += 1
        self.counted = frame.boot, published + 1 if goes_on else 1

    def _framed(self, grab: Grab, scaled: Size | None, quality: int) -> tuple[Frame, GrabPicture | None]:
        """The frame of a picture, with a camera's own JPEG, or with what makes one. Raises `DecodeError`."""
        now_ns, step = self._steps.look(self._next)
        own = grab.width, grab.height
        size = scaled or own
        passes = not grab.has_pixels and size == own
        told = _told(grab.frame) if isinstance(grab, FrameGrab) else self._numbered(grab, now_ns, step)
        fields = self._fields | told
        fields |= {
            "width": size[0],
            "height": size[1],
            "payload": grab.jpeg(quality) if passes else b"",
            "codec": Codec.JPEG if passes else Codec.NONE,
            "detections": grab.detections if size == own else _scaled(grab.detections, own, size),
            "hops": (*told["hops"], Hop(self._publisher.node, now_ns, self._clock.wall_ns())),
        }
        return new_frame(fields), None if passes else GrabPicture(grab, quality, size)

    def _numbered(self, grab: Grab, now_ns: int, step: Step | None) -> dict[str, Any]:
        numbered = {
            "boot": self.boot,
            "seq": self._next,
            "captured_ns": now_ns,
            "pts_ns": grab.pts_ns,
            "hops": (),
        }
        return numbered if step is None else numbered | {"attributes": step.attributes}


def _told(frame: Frame) -> dict[str, Any]:
    """What a frame out of a recording keeps."""
    return {
        "boot": frame.boot,
        "seq": frame.seq,
        "part": frame.part,
        "captured_ns": frame.captured_ns,
        "pts_ns": frame.pts_ns,
        "hops": frame.hops,
        "attributes": frame.attributes,
    }


def _scaled(detections: tuple[Detection, ...], own: Size, size: Size) -> tuple[Detection, ...]:
    """Boxes in a picture that is scaled from `own` to `size`."""
    across, down = size[0] / own[0], size[1] / own[1]

    def box(x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
        return x * across, y * down, width * across, height * down

    return tuple(replace(each, box=box(*each.box)) for each in detections)
