"""A picture that came as a JPEG: passed on as it is.

Rules kept here: the bytes are never changed unless another size is asked for; what a JPEG announces is read
only when somebody asks.
"""

import struct
from collections.abc import Callable, Iterator
from contextlib import suppress

import cv2
import numpy as np

from mesh import codec
from mesh.codec import Image
from mesh.errors import DecodeError
from mesh.frame import Detection, Frame
from nodes.capture.sources.base import Size

_SOI = b"\xff\xd8"
_SOS, _DHT = 0xDA, 0xC4
_ARITHMETIC = frozenset((0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF))  # frames without Huffman tables by design
_STANDALONE = frozenset((0x01, *range(0xD0, 0xD9)))  # TEM, RSTn and SOI: no length follows


class JpegGrab:
    """A `Grab` that holds a JPEG."""

    has_pixels = False

    def __init__(
        self,
        data: bytes,
        pts_ns: int | None,
        detections: tuple[Detection, ...] = (),
        size: Size | None = None,
    ) -> None:
        self.data = data
        self.pts_ns = pts_ns
        self.detections = detections
        self._known_size = size

    def __repr__(self) -> str:
        return f"<JpegGrab {len(self.data)} B pts_ns={self.pts_ns}>"

    @property
    def size(self) -> Size:
        """(width, height) in pixels, as the JPEG announces. Raises `DecodeError` for a damaged one."""
        if self._known_size is None:
            self._known_size = self._announced()
        return self._known_size

    def _announced(self) -> Size:
        if not self.data.startswith(_SOI):
            raise DecodeError(f"not a JPEG: {len(self.data)} bytes that do not begin with its marker")
        return codec.jpeg_size(self.data)

    @property
    def width(self) -> int:
        return self.size[0]

    @property
    def height(self) -> int:
        return self.size[1]

    def jpeg(self, quality: int, size: Size | None = None) -> bytes:
        """The JPEG untouched, or scaled to `size` = (width, height) at `quality`. Raises `DecodeError`."""
        own = self.size  # reading it is what finds a damaged one out
        if size is None or size == own:
            return self.data
        return codec.encode(self._scaled(size), quality)

    def draw(self, into: Image) -> None:
        """The JPEG decoded into (H, W, 3) BGR, scaled to that size. Raises `DecodeError`."""
        np.copyto(into, self._scaled((into.shape[1], into.shape[0])))

    def _scaled(self, size: Size) -> Image:
        # Half, quarter, … come straight out of the decoder when the proportions are kept.
        longest = max(size) if codec.fitted(*self.size, max(size)) == size else None
        return resized(codec.decode_bgr(self.data, *self.size, longest), size)


class FrameGrab(JpegGrab):
    """A `Grab` that is a frame already, and is to be published as such: under its own number and time."""

    def __init__(self, frame: Frame, pts_ns: int) -> None:
        super().__init__(bytes(frame.payload), pts_ns, frame.detections, (frame.width, frame.height))
        self.frame = frame


def resized(image: Image, size: Size) -> Image:
    """`image` scaled to `size` = (width, height), or itself where it has that size."""
    if (image.shape[1], image.shape[0]) == size:
        return image
    shrinks = size[0] <= image.shape[1]
    scaled = cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return scaled.astype(image.dtype, copy=False)


def lacks_huffman_tables(jpeg: bytes) -> bool:
    """Whether a JPEG leaves its Huffman tables out, as many USB cameras and AVI files do."""
    for marker, _ in _segments(jpeg):
        if marker == _DHT or marker in _ARITHMETIC:
            return False
        if marker == _SOS:
            return True
    return False


class JpegSeries:
    """The JPEGs of one camera. Their heads (all before the first scan: size, tables) hardly ever change: what
    was read from one holds for those that begin with the same bytes.

    complete:  gives a JPEG with what its camera left out; one that lacks nothing comes back itself
    """

    def __init__(self, complete: Callable[[bytes], bytes]) -> None:
        self._complete = complete
        self._head = b""
        self._size: Size | None = None

    def grab(self, jpeg: bytes, pts_ns: int | None = None) -> JpegGrab:
        if self._size is not None and jpeg.startswith(self._head):
            return JpegGrab(jpeg, pts_ns, (), self._size)
        grab = JpegGrab(self._complete(jpeg), pts_ns)
        self._size = None
        if grab.data is jpeg and (head := _head_of(jpeg)):
            with suppress(DecodeError):  # whoever wants the picture will be told
                self._head, self._size = head, grab.size
        return grab


def _head_of(jpeg: bytes) -> bytes:
    """All before the first scan's data; empty where that does not come."""
    for marker, end in _segments(jpeg):
        if marker == _SOS and end <= len(jpeg):
            return jpeg[:end]
    return b""


def _segments(jpeg: bytes) -> Iterator[tuple[int, int]]:
    """The markers up to the first scan's, and where the segment of each ends."""
    at, marker = len(_SOI), 0
    while marker != _SOS and at + 4 <= len(jpeg) and jpeg[at] == 0xFF:
        marker = jpeg[at + 1]
        at += 2 if marker in _STANDALONE else 2 + struct.unpack_from(">H", jpeg, at + 2)[0]
        yield marker, at
