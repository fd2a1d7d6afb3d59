"""What a carrier took on and has not handed over yet.

Rules kept here: bounded in frames and in bytes, whatever the other end does; the order is the one in which
frames came; a frame leaves when the other end has it for good, or refused it for good, which is counted and
said; what is not wanted there is done at once, and counted.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from mesh.clock import Clock
from mesh.errors import DecodeError, WireError
from mesh.frame import Frame
from mesh.stats import Counters, Rarely
from nodes.collect.forwarding.carrier import Done

MOST_FRAMES = 256
MOST_BYTES = 8 << 20  # one frame that is larger goes alone
REFUSED, FILTERED = "forward_refused", "forward_filtered"  # done, and not handed over
RESENT, PICTURELESS = "resent", "pictureless"

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Parcel(Generic[T]):
    """A frame in the form in which it travels; `size` is in bytes."""

    number: int
    size: int
    content: T


class Outbox(Generic[T]):
    """Filled by one thread through `offer`, emptied by another; `wake` tells that one of what came.

    make:  gives a frame's size in bytes and its form. Raises `WireError` for one that has none.
    only_detections:  frames in which nothing was found are not wanted there
    """

    def __init__(
        self,
        shown: str,
        make: Callable[[Frame], tuple[int, T]],
        done: Done,
        wake: Callable[[], object],
        clock: Clock,
        only_detections: bool = False,
    ) -> None:
        self._shown, self._make, self._done, self._wake = shown, make, done, wake
        self._clock, self._only_detections = clock, only_detections
        self._lock = threading.Lock()
        self._held: dict[int, Parcel[T]] = {}
        self._todo: deque[Parcel[T]] = deque()
        self._bytes = 0
        self._saying = Rarely(10.0)
        self._counters = Counters()

    def __repr__(self) -> str:
        return f"<Outbox for {self._shown}: {len(self._held)} frames, {self._bytes} B>"

    def stats(self) -> dict[str, int]:
        """How many frames were refused for good, filtered, sent again, and sent without their picture."""
        return {name: self._counters.get(name) for name in (REFUSED, FILTERED, RESENT, PICTURELESS)}

    def offer(self, number: int, frame: Frame) -> bool:
        """Take a frame on, unless there is no room. `done` may be called from here."""
        if not self._has_room:
            return False
        if self._only_detections and not frame.detections:
            self._counters.add(FILTERED)
            self._done((number,))
            return True
        try:
            size, content = self._make(frame)
        except WireError as error:
            self.refuse((number,), str(error))
            return True
        self._put(Parcel(number, size, content))
        return True

    def picture(self, frame: Frame) -> bytes | None:
        """The frame's picture; None, and counted, where it has none that can be had."""
        try:
            return frame.jpeg
        except DecodeError:
            self.without_picture()
            return None

    def without_picture(self) -> None:
        """One goes without its picture."""
        self._counters.add(PICTURELESS)

    def next(self, most_bytes: int | None = None) -> Parcel[T] | None:
        """The next one to send, unless it has more bytes than that; None where there is none."""
        with self._lock:
            if not self._todo or (most_bytes is not None and self._todo[0].size > most_bytes):
                return None
            return self._todo.popleft()

    def again(self, sent: Iterable[int]) -> None:
        """Begin anew with all that is held, of which those numbers had been sent."""
        with self._lock:
            self.resent(len(set(sent) & self._held.keys()))
            self._todo = deque(self._held.values())

    def resent(self, frames: int) -> None:
        """So many are sent another time."""
        self._counters.add(RESENT, frames)

    def finish(self, numbers: Iterable[int]) -> None:
        """The other end has these for good."""
        if gone := self._removed(numbers):
            self._done(gone)

    def refuse(self, numbers: Iterable[int], why: str) -> None:
        """The other end never takes these."""
        refused = list(numbers)
        self._counters.add(REFUSED, len(refused))
        if (held := self._saying.ready(self._clock.monotonic())) is not None:
            more = f" ({held} more such words since the last)" if held else ""
            log.warning("%s: %d frames are refused for good: %s%s", self._shown, len(refused), why, more)
        self._removed(refused)  # or was never put
        self._done(refused)

    @property
    def _has_room(self) -> bool:
        with self._lock:
            return not self._held or (len(self._held) < MOST_FRAMES and self._bytes < MOST_BYTES)

    def _removed(self, numbers: Iterable[int]) -> list[int]:
        """Those of them that were held, and are no more."""
        with self._lock:
            gone = [parcel for n in numbers if (parcel := self._held.pop(n, None)) is not None]
            self._bytes -= sum(parcel.size for parcel in gone)
        return [parcel.number for parcel in gone]

    def _put(self, parcel: Parcel[T]) -> None:
        with self._lock:
            self._held[parcel.number] = parcel
            self._todo.append(parcel)
            self._bytes += parcel.size
        self._wake()
