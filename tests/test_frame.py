from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from mesh.errors import ConfigError, DecodeError
from mesh.frame import Codec, Detection, draw_boot
from tests.support.frames import jpeg_frame, picture


def test_pixels_are_decoded_once_and_are_read_only() -> None:
    frame = jpeg_frame()
    image = frame.image
    assert image is frame.image
    assert image.shape == (48, 64, 3)
    with pytest.raises(ValueError, match="read-only"):
        image[0, 0] = 0


def test_gray_and_thumbnail_have_the_size_asked_for() -> None:
    frame = jpeg_frame(size=640)
    assert frame.gray().shape == (480, 640)
    assert frame.gray(160).shape == (120, 160)
    assert frame.gray(160) is frame.gray(160)
    assert frame.thumbnail(320).shape == (240, 320, 3)


def test_a_jpeg_passes_through_untouched() -> None:
    frame = jpeg_frame()
    assert frame.jpeg == frame.payload
    assert frame.encoded() is frame
    assert frame.annotate(Detection("cat", 0.5, (1, 2, 3, 4))).payload is frame.payload


def test_other_pixels_keep_the_identity_and_the_annotations() -> None:
    frame = jpeg_frame(5).annotate(Detection("cat", 0.5, (1, 2, 3, 4)), weather="rain")
    changed = frame.with_image(picture(32, 24))
    assert changed.identity == frame.identity
    assert changed.detections == frame.detections
    assert changed.attributes == {"weather": "rain"}
    assert (changed.width, changed.height, changed.codec) == (32, 24, Codec.RAW)
    assert np.array_equal(changed.image, picture(32, 24))
    assert frame.image.shape == (48, 64, 3)


def test_raw_pixels_are_encoded_when_a_jpeg_is_asked_for() -> None:
    frame = jpeg_frame().with_image(picture())
    encoded = frame.encoded(90)
    assert encoded.codec is Codec.JPEG
    assert np.abs(encoded.image.astype(int) - picture()).mean() < 6
    assert frame.jpeg[:2] == b"\xff\xd8"


def test_gray_pixels_are_an_image_too() -> None:
    frame = jpeg_frame().with_image(np.full((10, 20), 77, np.uint8))
    assert frame.channels == 1
    assert frame.image.shape == (10, 20, 3)
    assert frame.gray().tolist() == [[77] * 20] * 10
    assert frame.encoded().image.shape == (10, 20, 3)


def test_a_view_of_an_array_that_is_not_contiguous_is_an_image_too() -> None:
    flipped = picture()[:, ::-1]
    assert np.array_equal(jpeg_frame().with_image(flipped).image, flipped)


def test_what_is_no_image_cannot_be_set() -> None:
    with pytest.raises(ConfigError, match="uint8"):
        jpeg_frame().with_image(np.zeros((4, 4), np.float64))


def test_a_frame_without_an_image_says_so() -> None:
    frame = jpeg_frame().without_image()
    assert (frame.width, frame.height) == (64, 48)
    with pytest.raises(DecodeError, match="carries no image"):
        _ = frame.image


def test_a_frame_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        jpeg_frame().seq = 3  # type: ignore[misc]  # the point of the test


def test_a_repr_says_what_it_is_and_shows_no_bytes() -> None:
    assert repr(jpeg_frame(3)).startswith("<Frame raw/door boot=7 seq=3 64x48 jpeg ")


def test_later_boots_are_greater_and_fit_into_json() -> None:
    now = 1_790_000_000_000_000_000
    assert draw_boot(now) < draw_boot(now + 2_000_000) < 2**53
    assert len({draw_boot(now) for _ in range(50)}) > 40
