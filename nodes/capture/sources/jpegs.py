"""A picture that came as a JPEG: passed on as it is.

Rules kept here: the bytes are never changed unless another size is asked for; what a JPEG announces is read
only when somebody asks.
"""

import struct
from functools import cached_property

import cv2
import numpy as np

from mesh import codec
from mesh.codec import Image
from mesh.errors import DecodeError
from mesh.frame import Detection
from nodes.capture.sources.base import Size

_SOI = b"\xff\xd8"
_SOS, _DHT = 0xDA, 0xC4
_ARITHMETIC = frozenset((0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF))  # frames without Huffman tables by design
_STANDALONE = frozenset((0x01, *range(0xD0, 0xD9)))  # TEM, RSTn and SOI: no length follows


class JpegGrab:
    """A `Grab` that holds a JPEG."""

    has_pixels = False

    def __init__(self, data: bytes, pts_ns: int | None, detections: tuple[Detection, ...] = ()) -> None:
        self.data = data
        self.pts_ns = pts_ns
        self.detections = detections

    def __repr__(self) -> str:
        return f"<JpegGrab {len(self.data)} B pts_ns={self.pts_ns}>"

    @cached_property
    def _size(self) -> Size:
        if not self.data.startswith(_SOI):
            raise DecodeError(f"not a JPEG: {len(self.data)} bytes that do not begin with its marker")
        return codec.jpeg_size(self.data)

    @property
    def width(self) -> int:
        """Pixels, as the JPEG announces. Raises `DecodeError` for a damaged one."""
        return self._size[0]

    @property
    def height(self) -> int:
        """Pixels, as the JPEG announces. Raises `DecodeError` for a damaged one."""
        return self._size[1]

    def jpeg(self, quality: int, size: Size | None = None) -> bytes:
        """The JPEG untouched, or scaled to `size` = (width, height) at `quality`. Raises `DecodeError`."""
        own = self._size  # reading it is what finds a damaged one out
        if size is None or size == own:
            return self.data
        return codec.encode(self._scaled(size), quality)

    def draw(self, into: Image) -> None:
        """The JPEG decoded into (H, W, 3) BGR, scaled to that size. Raises `DecodeError`."""
        np.copyto(into, self._scaled((into.shape[1], into.shape[0])))

    def _scaled(self, size: Size) -> Image:
        # Half, quarter, … come straight out of the decoder when the proportions are kept.
        longest = max(size) if codec.fitted(*self._size, max(size)) == size else None
        return resized(codec.decode_bgr(self.data, *self._size, longest), size)


def resized(image: Image, size: Size) -> Image:
    """`image` scaled to `size` = (width, height), or itself where it has that size."""
    if (image.shape[1], image.shape[0]) == size:
        return image
    shrinks = size[0] <= image.shape[1]
    scaled = cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return scaled.astype(image.dtype, copy=False)


def lacks_huffman_tables(jpeg: bytes) -> bool:
    """Whether a JPEG leaves its Huffman tables out, as many USB cameras and AVI files do."""
    at = len(_SOI)
    while at + 4 <= len(jpeg) and jpeg[at] == 0xFF:
        marker = jpeg[at + 1]
        if marker == _DHT or marker in _ARITHMETIC:
            return False
        if marker == _SOS:
            return True
        at += 2 if marker in _STANDALONE else 2 + struct.unpack_from(">H", jpeg, at + 2)[0]
    return False
