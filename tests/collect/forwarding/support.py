"""What a forwarder does with a carrier: offers frames, waits for room, and notes what is done."""

import threading
from collections.abc import Iterable

from mesh.frame import Detection, Frame
from nodes.collect.forwarding.carrier import Carrier
from tests.support.frames import jpeg_frame
from tests.support.waiting import wait_for

TOLD = {  # of `seen(3)`, without its picture
    "version": 1,
    "camera": "door",
    "boot": 7,
    "seq": 3,
    "stage": "motion",
    "captured_ns": 1_700_000_000_099_999_999,
    "captured_at": "2023-11-14T22:13:20.099Z",
    "detections": [{"label": "person", "score": 0.5, "box": [1, 2, 3, 4], "by": "motion"}],
    "hops": [],
    "attributes": {"zone": "yard"},
    "width": 64,
    "height": 48,
}


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
