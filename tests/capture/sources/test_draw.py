"""Pixels of a grab: the same picture as its JPEG, without the JPEG where there is none."""

import av
import cv2
import numpy as np
import pytest

from mesh import codec
from mesh.errors import DecodeError
from nodes.capture.sources.base import Grab
from nodes.capture.sources.frames import Converter, DecodedGrab
from nodes.capture.sources.images import PictureGrab
from nodes.capture.sources.jpegs import JpegGrab
from nodes.capture.sources.pixels import PixelGrab
from tests.capture.sources.support import grabs
from tests.support.frames import picture

WIDTH, HEIGHT = 96, 64
BT709, BT601 = 1, 5  # AVCOL_SPC_BT709, AVCOL_SPC_BT470BG


def decoded(pixels: str, matrix: int = BT601) -> Grab:
    frame = av.VideoFrame.from_ndarray(picture(WIDTH, HEIGHT), format="bgr24").reformat(format=pixels)
    frame.colorspace = matrix
    return DecodedGrab(frame, 0, Converter())


def png(image: codec.Image) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


GRABS = {
    "yuv420p": decoded("yuv420p"),
    "yuv420p of HD": decoded("yuv420p", BT709),
    "yuvj420p of HD": decoded("yuvj420p", BT709),
    "nv12": decoded("nv12"),
    "yuyv422": decoded("yuyv422"),
    "bgr24": decoded("bgr24"),
    "gray": decoded("gray"),
    "synthetic": grabs(f"synthetic:?size={WIDTH}x{HEIGHT}&frames=1")[0],
    "png": PictureGrab("a.png", png(picture(WIDTH, HEIGHT)), 0),
    "pixels": PixelGrab(picture(WIDTH, HEIGHT), 0),
    "jpeg": JpegGrab(codec.encode(picture(WIDTH, HEIGHT)), 0),
}


@pytest.mark.parametrize("grab", GRABS.values(), ids=GRABS)
@pytest.mark.parametrize("size", [(WIDTH, HEIGHT), (WIDTH // 2, HEIGHT // 2), (61, 37)])
def test_what_is_drawn_looks_like_the_jpeg(grab: Grab, size: tuple[int, int]) -> None:
    into = np.zeros((size[1], size[0], 3), np.uint8)
    grab.draw(into)
    seen = codec.decode_bgr(grab.jpeg(95, size), *size)
    assert np.abs(into.astype(int) - seen).mean() < 4


@pytest.mark.parametrize("grab", [JpegGrab(b"\xff\xd8\xff", 0), PictureGrab("a.png", b"PNG", 0)])
def test_a_damaged_picture_is_not_drawn(grab: Grab) -> None:
    with pytest.raises(DecodeError):
        grab.draw(np.zeros((HEIGHT, WIDTH, 3), np.uint8))


def test_only_a_jpeg_has_no_pixels_to_give() -> None:
    assert {name for name, grab in GRABS.items() if not grab.has_pixels} == {"jpeg"}
