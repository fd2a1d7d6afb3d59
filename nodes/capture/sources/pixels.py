"""A picture that came as pixels."""

import numpy as np

from mesh import codec
from mesh.codec import Image
from mesh.frame import Detection
from nodes.capture.sources.base import Size
from nodes.capture.sources.jpegs import resized


class PixelGrab:
    """A `Grab` that holds (H, W, 3) uint8 BGR, encoded only when somebody asks."""

    has_pixels = True
    detections: tuple[Detection, ...] = ()

    def __init__(self, image: Image, pts_ns: int | None) -> None:
        self.pts_ns = pts_ns
        self.height, self.width = image.shape[:2]
        self._image = image

    def __repr__(self) -> str:
        return f"<PixelGrab {self.width}x{self.height} pts_ns={self.pts_ns}>"

    def jpeg(self, quality: int, size: Size | None = None) -> bytes:
        """The picture encoded at `quality`, at `size` = (width, height) where given."""
        return codec.encode(resized(self._image, size or (self.width, self.height)), quality)

    def draw(self, into: Image) -> None:
        """The picture put into (H, W, 3) BGR, scaled to that size."""
        np.copyto(into, resized(self._image, (into.shape[1], into.shape[0])))
