"""One decode for several looks: the payload is spoilt after it, so that a second one could not succeed."""

from collections.abc import Callable

import numpy as np
import pytest

from mesh import codec
from mesh.codec import Image
from mesh.errors import DecodeError
from mesh.frame import Frame
from mesh.pixels import Look, derived, serving_all
from tests.support.frames import picture

Taken = Callable[[Frame], Image]


def once(first: Taken, width: int = 640, height: int = 480) -> Frame:
    """A frame that can be decoded no more once `first` has looked at it."""
    payload = bytearray(codec.encode(picture(width, height), 90))
    frame = Frame(
        camera="door", boot=1, seq=0, captured_ns=0, width=width, height=height, payload=memoryview(payload)
    )
    first(frame)
    payload[:] = bytes(len(payload))
    return frame


def image(frame: Frame) -> Image:
    return frame.image


def gray(frame: Frame) -> Image:
    return frame.gray()


def gray_320(frame: Frame) -> Image:
    return frame.gray(320)


def gray_200(frame: Frame) -> Image:
    return frame.gray(200)


def small(frame: Frame) -> Image:
    return frame.thumbnail(160)


def corner(frame: Frame) -> Image:
    return frame.crop(10, 20, 30, 40)


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (image, (gray, gray_320, gray_200, small, corner)),
        (gray, (gray_320, gray_200)),
        (gray_320, (gray_200,)),
        (corner, (image, gray_320)),
        (small, (lambda frame: frame.gray(100), lambda frame: frame.thumbnail(60))),
    ],
)
def test_what_a_larger_look_serves_is_not_decoded_again(first: Taken, then: tuple[Taken, ...]) -> None:
    whole = Frame(
        camera="door", boot=1, seq=0, captured_ns=0, width=640, height=480,
        payload=codec.encode(picture(640, 480), 90),
    )  # fmt: skip
    frame = once(first)
    for look in then:
        pixels, fresh = look(frame), look(whole)
        assert pixels.shape == fresh.shape
        assert np.abs(pixels.astype(int) - fresh).mean() < 2
        assert look(frame) is pixels or look is corner
        assert not pixels.flags.writeable


@pytest.mark.parametrize(("first", "then"), [(gray_320, gray), (gray, image), (small, gray_200)])
def test_what_no_look_serves_is_decoded(first: Taken, then: Taken) -> None:
    with pytest.raises(DecodeError):
        then(once(first))


@pytest.mark.parametrize("max_side", [1, 2, 13, 100, 101, 320, 333, 641])
def test_the_size_does_not_depend_on_what_it_was_made_of(max_side: int) -> None:
    size = codec.fitted(641, 427, max_side)
    for first in (image, gray, gray_320, gray_200):
        frame = once(first, 641, 427)
        look = Look(False, *size)
        if any(known.serves(look) for known in frame.looks):
            assert frame.gray(max_side).shape == (size[1], size[0])


def test_the_nearest_serves_and_gray_before_colour() -> None:
    known = {
        Look(True, 64, 48): np.full((48, 64, 3), 1, np.uint8),
        Look(False, 640, 480): np.full((480, 640), 2, np.uint8),
        Look(False, 320, 240): np.full((240, 320), 3, np.uint8),
    }
    for look, made_of in ((Look(False, 64, 48), 3), (Look(False, 400, 300), 2), (Look(True, 32, 24), 1)):
        pixels = derived(known, look)
        assert pixels is not None
        assert pixels.shape[:2] == (look.height, look.width)
        assert (pixels == made_of).all()
    assert derived(known, Look(True, 320, 240)) is None
    assert derived({}, Look(False, 1, 1)) is None


def test_one_look_is_found_that_serves_all() -> None:
    small, large, colour = Look(False, 320, 240), Look(False, 640, 480), Look(True, 160, 120)
    assert serving_all([]) is None
    assert serving_all([large]) is None
    assert serving_all([small, large]) == large
    assert serving_all([small, colour]) == Look(True, 320, 240)
    assert serving_all([colour, large, small]) == Look(True, 640, 480)


def test_a_crop_is_what_the_box_touches_clipped_to_the_picture() -> None:
    frame = once(image, 64, 48)
    assert np.shares_memory(frame.crop(0, 0, 64, 48), frame.image)
    assert np.array_equal(frame.crop(10.4, 5.9, 3.2, 2.2), frame.image[5:9, 10:14])
    assert np.array_equal(frame.crop(-5, -5, 10, 10), frame.image[:5, :5])
    assert np.array_equal(frame.crop(60, 40, 100, 100), frame.image[40:, 60:])
    assert not frame.crop(1, 1, 5, 5).flags.writeable
    for outside in ((-20, 0, 10, 10), (64, 0, 10, 10), (0, -9, 5, 5), (0, 99, 5, 5), (5, 5, -3, -3)):
        assert frame.crop(*outside).size == 0


def test_pixels_that_were_changed_are_the_image_without_a_codec() -> None:
    pixels = picture()
    changed = once(image).with_image(pixels)
    assert np.shares_memory(changed.encoded().image, pixels)
    assert np.shares_memory(changed.image, pixels)
    assert not changed.image.flags.writeable
    assert pixels.flags.writeable
    assert np.array_equal(
        changed.gray(32), codec.gray(codec.shrunk(pixels, codec.fitted(pixels.shape[1], pixels.shape[0], 32)))
    )
