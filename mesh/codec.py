"""Pixels to bytes and back: the only module that knows simplejpeg.

Rules kept here: bytes and arrays only, no Frame; the size that a JPEG announces is compared with the size
that was promised before any pixel is allocated; an image is decoded no larger than it is asked for.
"""

from typing import Any

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from mesh.errors import ConfigError, DecodeError

Image = NDArray[np.uint8]
Buffer = bytes | memoryview

DEFAULT_QUALITY = 85


def jpeg_size(jpeg: Buffer) -> tuple[int, int]:
    """(width, height) in pixels that a JPEG announces. Raises `DecodeError`."""
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(jpeg)
    except ValueError as error:
        raise DecodeError(f"not a JPEG: {error}") from error
    return width, height


def decode_bgr(jpeg: Buffer, width: int, height: int, max_side: int | None = None) -> Image:
    """A JPEG as (H, W, 3) uint8 BGR, full size or with its longest side at most `max_side` pixels."""
    return _decode(jpeg, width, height, "BGR", max_side)


def decode_gray(jpeg: Buffer, width: int, height: int, max_side: int | None = None) -> Image:
    """A JPEG as (H, W) uint8 luma, full size or with its longest side at most `max_side` pixels."""
    return _decode(jpeg, width, height, "GRAY", max_side)[:, :, 0]


def encode(image: Image, quality: int = DEFAULT_QUALITY) -> bytes:
    """(H, W, 3) BGR or (H, W) gray uint8 as a JPEG, chroma 4:2:0. `quality` is 1 to 100."""
    image = np.ascontiguousarray(image)
    if image.ndim == 2:
        encoded = simplejpeg.encode_jpeg(image[:, :, None], quality, "GRAY", "Gray")
    else:
        encoded = simplejpeg.encode_jpeg(image, quality, "BGR", "420")
    return bytes(encoded)


def encode_yuv420(y: Image, u: Image, v: Image, quality: int = DEFAULT_QUALITY) -> bytes:
    """Full-range planar 4:2:0, as video decoders give it, as a JPEG without a detour over BGR.

    `y` is (H, W) uint8, `u` and `v` are (ceil(H/2), ceil(W/2)).
    """
    return bytes(simplejpeg.encode_jpeg_yuv_planes(y, u, v, quality))


def shrunk(image: Image, size: tuple[int, int]) -> Image:
    """`image` made smaller, to `size` = (width, height); itself where it has that size.

    Halved as often as that goes, then interpolated, as mipmaps are (Williams, "Pyramidal Parametrics", 1983):
    OpenCV's means over areas take five times as long wherever the factor is not a whole number.
    """
    while image.shape[1] >= 2 * size[0] and image.shape[0] >= 2 * size[1]:
        image = _scaled(image, (image.shape[1] // 2, image.shape[0] // 2))
    return image if (image.shape[1], image.shape[0]) == size else _scaled(image, size)


def fitted(width: int, height: int, max_side: int | None) -> tuple[int, int]:
    """(width, height) scaled down, proportions kept, so that the longest side is at most `max_side`."""
    longest = max(width, height)
    if max_side is None or longest <= max_side:
        return width, height
    return max(1, round(width * max_side / longest)), max(1, round(height * max_side / longest))


def gray(image: Image) -> Image:
    """(H, W, 3) BGR or (H, W) gray as (H, W) gray."""
    if image.ndim == 2:
        return image
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), dtype=np.uint8)


def bgr(image: Image) -> Image:
    """(H, W, 3) BGR or (H, W) gray as (H, W, 3) BGR."""
    if image.ndim == 3:
        return image
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), dtype=np.uint8)


def check_image(image: Any) -> Image:
    """`image` itself when it is a uint8 array of shape (H, W, 3) or (H, W); else `ConfigError`."""
    shape = getattr(image, "shape", None)
    ok = shape is not None and (len(shape) == 2 or (len(shape) == 3 and shape[2] == 3)) and 0 not in shape
    if not ok or image.dtype != np.uint8:
        what = f"{image.dtype} array of shape {shape}" if ok or shape is not None else type(image).__name__
        raise ConfigError(f"an image is a uint8 array of shape (H, W, 3) BGR or (H, W) gray, not a {what}")
    return image  # type: ignore[no-any-return]  # Any in, checked above


def _decode(jpeg: Buffer, width: int, height: int, colorspace: str, max_side: int | None) -> Image:
    announced = jpeg_size(jpeg)  # 1 microsecond: libjpeg reads it again, but after it has taken memory
    if announced != (width, height):
        raise DecodeError(f"JPEG is {announced}, its header promised {(width, height)}")
    target = fitted(width, height, max_side)
    reduced = (
        {}
        if target == (width, height)
        else {"min_width": target[0], "min_height": target[1], "min_factor": 2}
    )
    try:
        image = simplejpeg.decode_jpeg(jpeg, colorspace, fastdct=True, fastupsample=True, **reduced)
    except ValueError as error:
        raise DecodeError(f"JPEG does not decode: {error}") from error
    smaller = shrunk(np.asarray(image, dtype=np.uint8), target)
    return smaller.reshape(target[1], target[0], image.shape[2])


def _scaled(image: Image, size: tuple[int, int]) -> Image:
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
