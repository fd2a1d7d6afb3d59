"""A grab as the mesh publishes it: at its camera's size and quality, in the forms that somebody asks for."""

from functools import cached_property

from mesh.codec import Image
from nodes.capture.sources.base import Grab, Size


class GrabPicture:
    """A `mesh.picture.Picture` of a grab at `size` = (width, height)."""

    channels = 3

    def __init__(self, grab: Grab, quality: int, size: Size) -> None:
        self._grab, self._quality, self._size = grab, quality, size

    @property
    def has_pixels(self) -> bool:
        """Not where the camera gave a JPEG: that is passed on."""
        return self._grab.has_pixels

    @cached_property
    def jpeg(self) -> bytes:
        """Raises `DecodeError`."""
        return self._grab.jpeg(self._quality, self._size)

    def draw(self, into: Image) -> None:
        """Raises `DecodeError`."""
        self._grab.draw(into)
