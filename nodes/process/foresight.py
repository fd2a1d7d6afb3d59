"""Which pixels to take of a frame before its processors ask, so that one decode serves them all.

Where a processor asks for a small picture and the next one for a large one, each would cost a decode. What
the processors of a camera ask for is the same frame after frame: so it is looked at now and then, and in
between the largest is taken first, of which the others are made.

Rules kept here: nothing is decoded for a single look; what does not decode is left to whoever asks for it.
"""

from contextlib import suppress

from mesh.errors import DecodeError
from mesh.frame import Frame
from mesh.pixels import Look, serving_all

EVERY = 64  # frames; one of them is not prepared, to see what is asked for


class Foresight:
    """For one camera's frames, in order."""

    def __init__(self) -> None:
        self._first: Look | None = None
        self._frames = 0

    def __repr__(self) -> str:
        return f"<Foresight {self._first}>"

    def prepare(self, frame: Frame) -> None:
        """Decode what serves all that the processors will ask for."""
        if (look := self._first) is not None and self._frames % EVERY:
            with suppress(DecodeError):
                (frame.thumbnail if look.colour else frame.gray)(max(look.size))

    def learn(self, frame: Frame) -> None:
        """See what the processors have asked of `frame`."""
        if self._frames % EVERY == 0:
            self._first = serving_all(frame.looks)
        self._frames += 1
