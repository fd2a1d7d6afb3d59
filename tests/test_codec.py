import numpy as np
import pytest

from mesh import codec
from mesh.errors import ConfigError, DecodeError
from tests.support.frames import picture


def test_a_jpeg_decodes_to_about_the_picture_it_was_made_of() -> None:
    image = picture(160, 120)
    decoded = codec.decode_bgr(codec.encode(image, 95), 160, 120)
    assert decoded.shape == (120, 160, 3)
    assert decoded.dtype == np.uint8
    assert np.abs(decoded.astype(int) - image).mean() < 4


def test_gray_pictures_are_encoded_as_gray() -> None:
    image = codec.gray(picture(160, 120))
    decoded = codec.decode_gray(codec.encode(image, 95), 160, 120)
    assert np.abs(decoded.astype(int) - image).mean() < 2


def test_planes_are_encoded_without_a_detour_over_bgr() -> None:
    y = np.full((48, 64), 200, np.uint8)
    u = v = np.full((24, 32), 128, np.uint8)
    decoded = codec.decode_bgr(codec.encode_yuv420(y, u, v, 95), 64, 48)
    assert np.abs(decoded.astype(int) - 200).max() < 4


@pytest.mark.parametrize("max_side", [1, 7, 50, 80, 100, 160, 300, 320, 448, 600, 640, 1000])
def test_a_reduced_decode_has_the_size_asked_for_and_looks_the_same(max_side: int) -> None:
    image = picture(640, 480)
    jpeg = codec.encode(image, 95)
    reduced = codec.decode_bgr(jpeg, 640, 480, max_side)
    assert reduced.shape[1::-1] == codec.fitted(640, 480, max_side)
    assert max(reduced.shape[:2]) == min(max_side, 640)
    full = codec.shrunk(codec.decode_bgr(jpeg, 640, 480), codec.fitted(640, 480, max_side))
    assert np.abs(full.astype(int) - reduced).mean() < 6
    assert codec.decode_gray(jpeg, 640, 480, max_side).shape == reduced.shape[:2]


def test_an_odd_size_survives() -> None:
    image = picture(101, 77)
    assert codec.decode_bgr(codec.encode(image), 101, 77).shape == (77, 101, 3)


@pytest.mark.parametrize("damage", [b"", b"\xff\xd8", b"not a jpeg at all", codec.encode(picture())[:200]])
def test_bytes_that_are_no_jpeg_are_a_decode_error(damage: bytes) -> None:
    with pytest.raises(DecodeError):
        codec.decode_bgr(damage, 64, 48)


def test_a_jpeg_that_is_cut_off_is_a_decode_error() -> None:
    jpeg = codec.encode(picture(640, 480))
    with pytest.raises(DecodeError, match="does not decode"):
        codec.decode_bgr(jpeg[: len(jpeg) // 2], 640, 480)


def test_a_jpeg_of_another_size_than_promised_is_refused_before_it_is_decoded() -> None:
    jpeg = bytearray(codec.encode(picture(64, 48)))
    start = jpeg.index(b"\xff\xc0") + 5
    jpeg[start : start + 4] = (60000).to_bytes(2) + (60000).to_bytes(2)  # claims 3.6 gigapixels
    assert codec.jpeg_size(bytes(jpeg)) == (60000, 60000)
    with pytest.raises(DecodeError, match="its header promised"):
        codec.decode_bgr(bytes(jpeg), 64, 48)


@pytest.mark.parametrize(
    "image",
    [
        None,
        "a string",
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 1), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros(4, np.uint8),
    ],
)
def test_what_is_no_image_is_refused(image: object) -> None:
    with pytest.raises(ConfigError, match="an image is a uint8 array"):
        codec.check_image(image)
