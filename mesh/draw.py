"""Detections drawn on a picture, for people to look at."""

from collections.abc import Iterable

import cv2

from mesh.codec import Image
from mesh.frame import Detection, Frame

_COLOURS = ((64, 200, 64), (64, 128, 255), (255, 144, 64), (200, 64, 200), (64, 220, 220))


def annotated(frame: Frame) -> Image:
    """A copy of the frame's image, (H, W, 3) uint8 BGR, with a box and a label for each detection.

    Raises `DecodeError`.
    """
    image = frame.image.copy()
    for detection in frame.detections:
        _draw(image, detection, _colour(detection.by or detection.label, frame.detections))
    return image


def _colour(by: str, detections: Iterable[Detection]) -> tuple[int, int, int]:
    names = sorted({d.by or d.label for d in detections})
    return _COLOURS[names.index(by) % len(_COLOURS)]


def _draw(image: Image, detection: Detection, colour: tuple[int, int, int]) -> None:
    x, y, width, height = (round(side) for side in detection.box)
    cv2.rectangle(image, (x, y), (x + width, y + height), colour, 2)
    text = str(detection.attributes.get("text") or f"{detection.label} {detection.score:.2f}")
    cv2.putText(image, text, (x, max(12, y - 4)), cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv2.LINE_AA)
