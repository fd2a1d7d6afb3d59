"""Pictures that are made when they are wanted, in the forms that are wanted.

Rules kept here: nothing is encoded, drawn or converted until somebody asks; a JPEG is made once.
"""

from functools import cached_property
from typing import Protocol

import numpy as np

from mesh import codec
from mesh.codec import DEFAULT_QUALITY, Buffer, Image
from mesh.frame import Frame


class Picture(Protocol):
    """What a frame shows, before it has been given any form."""

    @property
    def has_pixels(self) -> bool:
        """Whether pixels are had without decoding a JPEG, so that they may go to shared memory."""
        ...

    @property
    def channels(self) -> int:
        """3 for BGR, 1 for gray."""
        ...

    @property
    def jpeg(self) -> Buffer:
        """The picture as a JPEG, in full size. Raises `DecodeError` for one that is damaged."""
        ...

    def draw(self, into: Image) -> None:
        """Put the picture into (H, W, 3) BGR or, when it has one channel, (H, W) gray uint8, scaled to that
        size. Raises `DecodeError` for one that is damaged."""
        ...


class Pixels:
    """A `Picture` of pixels that are there: (H, W, 3) uint8 BGR or (H, W) uint8 gray, not copied."""

    has_pixels = True

    def __init__(self, image: Image, quality: int = DEFAULT_QUALITY) -> None:
        self._image, self._quality = image, quality
        self.channels = 3 if image.ndim == 3 else 1

    @classmethod
    def of(cls, frame: Frame, quality: int = DEFAULT_QUALITY) -> "Pixels":
        """Those of a raw frame."""
        return cls(frame.image if frame.channels == 3 else frame.gray(), quality)

    @cached_property
    def jpeg(self) -> Buffer:
        """The pixels encoded, in full size."""
        return codec.encode(self._image, self._quality)

    def draw(self, into: Image) -> None:
        """Put the pixels into (H, W, 3) BGR or (H, W) gray, made smaller to that size where it is smaller."""
        image = codec.shrunk(self._image, (into.shape[1], into.shape[0]))
        np.copyto(into, codec.bgr(image) if into.ndim == 3 else codec.gray(image))
