"""Boxes as (x, y, width, height), and what detectors do with them. Pure."""

from collections.abc import Iterable
from typing import NamedTuple


class Box(NamedTuple):
    """A rectangle in whole pixels, origin at the top left."""

    x: int
    y: int
    width: int
    height: int

    def scaled(self, across: float, down: float) -> tuple[float, float, float, float]:
        """The same rectangle in a picture that is `across` times as wide and `down` times as high."""
        x, y, width, height = self.x * across, self.y * down, self.width * across, self.height * down
        return round(x, 1), round(y, 1), round(width, 1), round(height, 1)

    def times(self, factor: int) -> "Box":
        """The same rectangle in a picture that is `factor` times as large."""
        return Box(self.x * factor, self.y * factor, self.width * factor, self.height * factor)

    @property
    def slices(self) -> tuple[slice, slice]:
        """The box as an index into an array (rows, columns)."""
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)

    def grown(self, by: int, within: tuple[int, ...]) -> "Box":
        """The box with `by` pixels more on each side, clipped to an array of shape `within`."""
        x, y = max(0, self.x - by), max(0, self.y - by)
        right, bottom = min(within[1], self.x + self.width + by), min(within[0], self.y + self.height + by)
        return Box(x, y, right - x, bottom - y)

    def shared(self, other: "Box") -> int:
        """Pixels that the two have in common."""
        across = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        down = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        return max(0, across) * max(0, down)

    def belongs_to(self, other: "Box", share: float) -> bool:
        """Whether at least `share` of the smaller one lies within the other."""
        smaller = min(self.width * self.height, other.width * other.height)
        return self.shared(other) > 0 and self.shared(other) >= share * smaller

    def union(self, other: "Box") -> "Box":
        """The smallest box around both."""
        x, y = min(self.x, other.x), min(self.y, other.y)
        right = max(self.x + self.width, other.x + other.width)
        bottom = max(self.y + self.height, other.y + other.height)
        return Box(x, y, right - x, bottom - y)


def merged(boxes: Iterable[Box], share: float = 0.0) -> list[Box]:
    """The boxes with those made one that overlap by `share` of the smaller one, directly or through others.

    Sorted by x, then y.
    """
    apart: list[Box] = []
    for box in boxes:
        while touching := [other for other in apart if other.belongs_to(box, share)]:
            for other in touching:
                apart.remove(other)
                box = box.union(other)
        apart.append(box)
    return sorted(apart)
