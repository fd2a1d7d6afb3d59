"""The forms in which one frame goes out: what each view of it holds.

Rules kept here: a form is made for those who ask for it, and not otherwise; none is made twice; pixels that
are at hand do not go through a JPEG to become a preview.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mesh import codec
from mesh.codec import Image
from mesh.frame import Codec, Frame, with_fields
from mesh.picture import Picture
from mesh.transport.sharing import Sharing


@dataclass(frozen=True, slots=True)
class Preview:
    """The `preview` view: the longest side in pixels, JPEG quality, and frames per second at most."""

    max_side: int = 320
    quality: int = 70
    fps: float = 2.0


DEFAULT_PREVIEW = Preview()


class Forms(NamedTuple):
    """A frame as it goes out on `frame` and on `shm`; None where nobody asked. `encoded` JPEGs were made."""

    whole: Frame | None
    shared: Frame | None
    encoded: int = 0


def forms_of(frame: Frame, picture: Picture, sharing: Sharing | None, *, whole: bool) -> Forms:
    """What is asked for: `frame` as a `whole`, and its pixels in shared memory where there is a `sharing`.

    Where they cannot be there, the subscribers who asked for that get the whole frame. A raw frame without a
    picture of its own goes out as it is. Raises `DecodeError` for a picture that is damaged.
    """
    shared = sharing.put(frame, picture) if sharing is not None and picture.has_pixels else None
    if not whole and (sharing is None or shared is not None):
        return Forms(None, shared)
    if frame.codec is Codec.JPEG:
        return Forms(frame, shared or frame)
    jpeg = with_fields(frame, payload=picture.jpeg, codec=Codec.JPEG, channels=3, _pixels={})
    return Forms(jpeg, shared or jpeg, int(picture.has_pixels))


def preview_of(frame: Frame, picture: Picture | None, preview: Preview) -> Frame:
    """The frame small, as a JPEG; a camera has one preview, without partitions. Raises `DecodeError` for one
    that is damaged."""
    small = _thumbnail(frame, picture, preview.max_side)
    return with_fields(
        frame.with_image(small),
        payload=codec.encode(small, preview.quality),
        codec=Codec.JPEG,
        channels=3,
        partitions=1,
        attributes={**frame.attributes, "full_size": [frame.width, frame.height]},
    )


def _thumbnail(frame: Frame, picture: Picture | None, max_side: int) -> Image:
    if picture is None:
        return frame.thumbnail(max_side)
    width, height = codec.fitted(frame.width, frame.height, max_side)
    small = np.empty((height, width, 3), np.uint8)
    picture.draw(small)
    return small
