"""What was looked at of one picture, and how the next look is made of it.

Rules kept here: pure; a look that a larger one of the same picture can serve is never decoded: it is made
smaller, and gray of colour, never the other way round.

A picture made smaller here and one decoded at a reduced scale differ by about a gray level, at sharp edges by
more, since the JPEG decoder leaves out frequencies where this takes means. For what is looked for in
pictures that is the same.
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from mesh import codec
from mesh.codec import Image


class Look(NamedTuple):
    """A picture in BGR or in gray, of `width` by `height` pixels."""

    colour: bool
    width: int
    height: int

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.width, self.height

    def serves(self, other: "Look") -> bool:
        """Whether `other` can be made of this one."""
        return self.colour >= other.colour and self.width >= other.width and self.height >= other.height


def derived(known: Mapping[Look, Image], look: Look) -> Image | None:
    """`look` made of the nearest that serves it, gray rather than colour; None where none does."""
    serving = [each for each in tuple(known) if each.serves(look)]  # others may add to it meanwhile
    if not serving:
        return None
    smaller = codec.shrunk(known[min(serving)], look.size)
    return smaller if look.colour else codec.gray(smaller)


def serving_all(looks: Collection[Look]) -> Look | None:
    """The look to begin with where there are several, so that one decode serves them all; else None."""
    if len(looks) < 2:
        return None
    largest = max(looks, key=lambda look: look.size)
    return Look(any(look.colour for look in looks), *largest.size)
