"""A picture that FFmpeg decoded: turned into a JPEG, or into BGR, only when somebody asks.

Rules kept here: a picture that is skipped costs no conversion; YUV planes go to the JPEG encoder without a
detour over BGR; rows are read with their padding left out; pixels have the colours that the JPEG decodes to.
"""

import threading
from typing import cast

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace, VideoReformatter

from mesh import codec
from mesh.codec import Image
from mesh.errors import DecodeError
from mesh.frame import Detection
from nodes.capture.sources.base import Size

_FULL_RANGE = 2  # AVCOL_RANGE_JPEG
_PLANAR_YUV = ("yuv", "nv", "p010")  # prefixes; packed ones such as yuyv422 begin with "yuy"
_PACKED_YUV = ("yuyv", "uyvy", "yvyu")


class Converter:
    """Decoded frames of one stream to JPEG or BGR. May be called from several threads.

    One scaler is kept for the stream: setting one up costs more than using it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._scaler = VideoReformatter()

    def jpeg(self, frame: VideoFrame, quality: int, size: Size) -> bytes:
        """`frame` as a JPEG of `size` = (width, height). Raises `DecodeError`."""
        try:
            return self._encode(frame, quality, size)
        except (av.FFmpegError, ValueError) as error:
            raise DecodeError(f"a {frame.format.name} picture does not convert") from error

    def draw(self, frame: VideoFrame, into: Image) -> None:
        """`frame` put into (H, W, 3) BGR, scaled to that size. Raises `DecodeError`."""
        try:
            scaled = self._scaled(frame, (into.shape[1], into.shape[0]), "bgr24")
        except (av.FFmpegError, ValueError) as error:
            raise DecodeError(f"a {frame.format.name} picture does not convert") from error
        np.copyto(into, planes(scaled)[0])

    def _encode(self, frame: VideoFrame, quality: int, size: Size) -> bytes:
        if frame.format.name.startswith(_PLANAR_YUV + _PACKED_YUV):
            y, u, v = planes(self._full_range(frame, size))
            return codec.encode_yuv420(y, u, v, quality)
        return codec.encode(planes(self._scaled(frame, size, "bgr24"))[0], quality)

    def _full_range(self, frame: VideoFrame, size: Size) -> VideoFrame:
        name, full = frame.format.name, frame.color_range == _FULL_RANGE
        ready = name == "yuvj420p" or (name == "yuv420p" and full)
        if ready and size == (frame.width, frame.height):
            return frame
        return self._scaled(frame, size, "yuvj420p")

    def _scaled(self, frame: VideoFrame, size: Size, pixels: str) -> VideoFrame:
        method = "AREA" if size[0] < frame.width else "BILINEAR"
        # JPEG is BT.601, and from YUV to YUV the matrix stays: so it has to be that one to BGR, too.
        matrix = Colorspace.ITU601 if pixels == "bgr24" else None
        with self._lock:
            return self._scaler.reformat(
                frame, *size, format=pixels, interpolation=method, src_colorspace=matrix
            )


class DecodedGrab:
    """A `Grab` that holds a decoded frame."""

    has_pixels = True
    detections: tuple[Detection, ...] = ()

    def __init__(self, frame: VideoFrame, pts_ns: int | None, converter: Converter) -> None:
        self.pts_ns = pts_ns
        self._frame = frame
        self._converter = converter

    def __repr__(self) -> str:
        return f"<DecodedGrab {self.width}x{self.height} {self._frame.format.name} pts_ns={self.pts_ns}>"

    @property
    def width(self) -> int:
        return self._frame.width

    @property
    def height(self) -> int:
        return self._frame.height

    def jpeg(self, quality: int, size: Size | None = None) -> bytes:
        """The frame encoded at `quality`, at `size` = (width, height) where given. Raises `DecodeError`."""
        return self._converter.jpeg(self._frame, quality, size or (self.width, self.height))

    def draw(self, into: Image) -> None:
        """The frame put into (H, W, 3) BGR, scaled to that size. Raises `DecodeError`."""
        self._converter.draw(self._frame, into)


def planes(frame: VideoFrame) -> list[Image]:
    """The planes of a yuv420p or bgr24 frame, without row padding: (H, W) each, or one (H, W, 3)."""
    return [_plane(plane, 3 if frame.format.name == "bgr24" else 1) for plane in frame.planes]


def _plane(plane: av.video.plane.VideoPlane, channels: int) -> Image:
    data = cast(memoryview, plane)  # a buffer, which its stub does not say
    rows: Image = np.frombuffer(data, np.uint8).reshape(-1, plane.line_size)
    pixels = rows[: plane.height, : plane.width * channels]
    return pixels if channels == 1 else pixels.reshape(plane.height, plane.width, channels)
