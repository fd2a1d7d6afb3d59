"""Detections drawn on a picture, for people to look at.

Rules kept here: a label stands on a ground of its box's colour, so that it can be read on any picture; it
stands within the picture, and on no other label where one of a few places near its box is free.
"""

from collections.abc import Iterable, Iterator, Sequence

import cv2

from mesh.codec import Image
from mesh.frame import Detection, Frame

Area = tuple[int, int, int, int]  # left, top, right, bottom

_COLOURS = ((64, 200, 64), (64, 128, 255), (255, 144, 64), (200, 64, 200), (64, 220, 220))
_INK = (24, 16, 16)
_FONT, _SCALE, _EDGE = cv2.FONT_HERSHEY_SIMPLEX, 0.45, 2
_BEYOND = 16  # pixels outside the picture, where nothing of a box is seen: OpenCV takes no number at all


def annotated(frame: Frame) -> Image:
    """A copy of the frame's image, (H, W, 3) uint8 BGR, with a box and a label for each detection.

    Raises `DecodeError`.
    """
    image = frame.image.copy()
    boxes = [_box(found, (image.shape[1], image.shape[0])) for found in frame.detections]
    colours = [_colour(found.by or found.label, frame.detections) for found in frame.detections]
    for box, colour in zip(boxes, colours, strict=True):
        cv2.rectangle(image, box[:2], box[2:], colour, 2)
    taken: list[Area] = []
    for found, box, colour in zip(frame.detections, boxes, colours, strict=True):
        text = str(found.attributes.get("text") or f"{found.label} {found.score:.2f}")
        (width, height), below = cv2.getTextSize(text, _FONT, _SCALE, 1)
        size = width + 2 * _EDGE, height + below + _EDGE
        ground = place(box, size, (image.shape[1], image.shape[0]), taken)
        taken.append(ground)
        cv2.rectangle(image, ground[:2], (ground[2] - 1, ground[3] - 1), colour, cv2.FILLED)
        at = ground[0] + _EDGE, ground[3] - below
        cv2.putText(image, text, at, _FONT, _SCALE, _INK, 1, cv2.LINE_AA)
    return image


def place(box: Area, size: tuple[int, int], whole: tuple[int, int], taken: Sequence[Area]) -> Area:
    """Where a label of `size` (width, height) stands in a picture: above its box, else below it, within it,
    or a little further away; above it, over others, where all of that is taken. Pure."""
    areas = list(_places(box, size, whole))
    return next((area for area in areas if not any(_touch(area, other) for other in taken)), areas[0])


def _places(box: Area, size: tuple[int, int], whole: tuple[int, int]) -> Iterator[Area]:
    left = max(0, min(box[0], whole[0] - size[0]))
    height = size[1]
    tops = (box[1] - height, box[3], box[1], box[1] - 2 * height, box[3] + height, box[1] + height)
    for top in tops:
        inside = max(0, min(top, whole[1] - height))
        yield left, inside, left + size[0], inside + height


def _touch(one: Area, other: Area) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _box(found: Detection, whole: tuple[int, int]) -> Area:
    """Its edges, those far outside the picture brought near."""
    x, y, width, height = found.box
    return _near(x, whole[0]), _near(y, whole[1]), _near(x + width, whole[0]), _near(y + height, whole[1])


def _near(at: float, end: int) -> int:
    return round(min(max(-_BEYOND, at), end + _BEYOND))


def _colour(by: str, detections: Iterable[Detection]) -> tuple[int, int, int]:
    names = sorted({d.by or d.label for d in detections})
    return _COLOURS[names.index(by) % len(_COLOURS)]
