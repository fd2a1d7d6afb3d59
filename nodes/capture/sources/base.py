"""What every source gives: grabs, one a picture, that are only converted if they are wanted.

Rules kept here: a source never numbers, stamps or drops frames, and knows nothing of the network; a read
that blocks ends within the stall time, or soon after `close`; a picture that is skipped costs no conversion.
"""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.codec import Image
from mesh.frame import Detection
from nodes.capture.sources.reactor import Reactor

Size = tuple[int, int]  # width, height in pixels


class Grab(Protocol):
    """One picture as its source gave it."""

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...

    @property
    def pts_ns(self) -> int | None:
        """The source's own presentation time, from its start; None where it has none."""
        ...

    @property
    def detections(self) -> tuple[Detection, ...]:
        """What the source itself knows to be in the picture (a synthetic camera's true boxes)."""
        ...

    @property
    def has_pixels(self) -> bool:
        """Whether its pixels are had without decoding a JPEG, so that it is worth giving them as such."""
        ...

    def jpeg(self, quality: int, size: Size | None = None) -> bytes:
        """The picture as a JPEG, scaled to `size` when given. A camera's own JPEG of that size is given
        untouched, whatever the quality. Raises `DecodeError` for a picture that is damaged."""
        ...

    def draw(self, into: Image) -> None:
        """Put the picture into (H, W, 3) uint8 BGR, scaled to that size. Raises `DecodeError`."""
        ...


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How to open and read a source.

    stall_s:    a live source that gives nothing for so long has failed (`SourceError`)
    loop:       begin again at the end, for sources that have one; `pts_ns` goes on rising
    stop:       set when the camera is being stopped: a wait inside a source ends at once
    hwaccel:    what decodes video: "none" is software, "auto" a device where there is one, else its kind
    reactor:    reads the source together with others, if it is one that can be
    """

    stall_s: float = 10.0
    loop: bool = False
    stop: threading.Event = field(default_factory=threading.Event)
    clock: Clock = SYSTEM_CLOCK
    hwaccel: str = "none"
    reactor: Reactor | None = None


class Source(Protocol):
    """An open source. Iterate it on one thread; `close` may be called from any."""

    @property
    def live(self) -> bool:
        """Whether it paces itself. One that does not (a file) is paced by the capture node, by `pts_ns`."""
        ...

    @property
    def codec(self) -> str:
        """What it holds: "mjpeg", "h264", "png", "raw", …"""
        ...

    @property
    def fps(self) -> float:
        """Its nominal frames per second; 0 where it does not say."""
        ...

    def __iter__(self) -> Iterator[Grab]:
        """Every picture in order; ends where the source ends. Raises `SourceError` when it breaks off."""
        ...

    def close(self) -> None: ...


@runtime_checkable
class SharedSource(Source, Protocol):
    """A source that can be read on a thread that it shares with others."""

    @property
    def is_shared(self) -> bool:
        """Whether there is such a thread: `SourceOptions.reactor`."""
        ...

    def drive(self, take: Callable[[Grab], bool]) -> None:
        """Instead of being iterated: call `take` for every picture, on the shared thread, until it says
        False; wait for that. Raises what `take` raises, and `SourceError` when the source breaks off."""
        ...
