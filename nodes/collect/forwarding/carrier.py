"""What takes recorded frames to one destination.

Rules kept here: a carrier has so much on its way at a time and takes no more; it tries again by itself until
the other end has a frame for good, or refuses it for good; what it could not hand over before it was closed
is not done.
"""

from collections.abc import Callable, Iterable
from typing import Protocol

from mesh.frame import Frame

# Is told the numbers of frames that are there for good, or refused for good; from any thread.
Done = Callable[[Iterable[int]], None]


class Carrier(Protocol):
    """Made with a `Scope` on which its threads run, and `done`. Calls come from one thread."""

    def offer(self, number: int, frame: Frame) -> bool:
        """Take a frame on; False while there is no room: `done` is called when there may be."""

    @property
    def why(self) -> str:
        """What is wrong with the way there now, in a line; empty when nothing is. Any thread may ask."""

    def stats(self) -> dict[str, int]:
        """Counters, of which `forward_refused` are frames that the other end refused for good."""
