"""What a forwarder does with a carrier: offers frames, waits for room, and notes what is done."""

import threading
from collections.abc import Iterable

from mesh.frame import Detection, Frame
from nodes.collect.forwarding.carrier import Carrier
from tests.support.frames import jpeg_frame
from tests.support.waiting import wait_for


class Noted:
    """Numbers that are done, in the order in which they became so."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.numbers: list[int] = []

    def __call__(self, numbers: Iterable[int]) -> None:
        with self._lock:
            self.numbers += numbers

    def has(self, numbers: Iterable[int]) -> bool:
        """Whether these are done, each once, and nothing else is."""
        with self._lock:
            return sorted(self.numbers) == sorted(numbers)


def seen(seq: int, **more: object) -> Frame:
    """A frame in which something was found."""
    frame = jpeg_frame(seq, stage="motion", **more)  # type: ignore[arg-type]  # `size`, `camera`
    return frame.annotate(Detection("person", 0.5, (1.0, 2.0, 3.0, 4.0), "motion"), zone="yard")


def offer(carrier: Carrier, frames: Iterable[Frame]) -> None:
    """Hand over every frame by its `seq`, waiting for room."""
    for frame in frames:
        wait_for(lambda frame=frame: carrier.offer(frame.seq, frame), f"room for {frame.seq}")  # type: ignore[misc]
