"""Motion: boxes around what differs from the background of a camera that stands still.

Rules kept here: one instance sees one camera; nothing is reported while the background forms, nor when most
of the picture changes at once (a lamp, the sun, the camera itself). At 320 pixels a frame takes about 0.3 ms
besides its decoding.
"""

from collections.abc import Iterator
from typing import Annotated, Any

import cv2
import numpy as np
from pydantic import Field

from mesh.codec import Image
from mesh.frame import Detection, Frame
from nodes.process.processors.background import Background, Plane
from nodes.process.processors.boxes import Box, merged
from nodes.process.processors.regions import Regions

Share = Annotated[float, Field(ge=0, le=1)]

HARDEST, EASIEST = 60.0, 6.0  # gray levels off the background, at sensitivity 0 and 1
MERGE_SHARE = 0.3  # of the smaller of two boxes that are one object
GHOST_EDGES = 1.3  # the background's edges over the picture's, around a box where something has left
OUTLINE = 3  # pixels


class Motion:
    """Adds a detection labelled "motion" for everything that moves.

    sensitivity:  0 to 1; at 0 a pixel must be 60 gray levels off its background, at 0.5 19, at 1 6
    min_area:     share of the picture that the changed pixels of a box must fill, 0 to 1
    mask:         regions that are ignored, in pixels of the full-size frame
    history:      frames over which the background forgets
    warmup:       frames before anything is reported, also after a change of light or of size
    max_side:     longest side in pixels of the picture that is looked at

    A detection's score says how far its changed pixels stand out on average: 0 at the threshold, 0.5 at
    twice, 0.75 at four times the threshold (1 - threshold / difference).
    """

    def __init__(
        self,
        sensitivity: Share = 0.5,
        min_area: Share = 0.001,
        mask: Regions = (),
        history: Annotated[int, Field(ge=2, le=100_000)] = 150,
        warmup: Annotated[int, Field(ge=1, le=100_000)] = 30,
        max_side: Annotated[int, Field(ge=32, le=4096)] = 320,
    ) -> None:
        self.min_area = min_area
        self.mask = mask
        self.max_side = max_side
        self._floor = HARDEST * (EASIEST / HARDEST) ** sensitivity
        self._background = Background(history, warmup, self._floor)
        self._size = (0, 0)
        self._watched: Image | None = None

    def __repr__(self) -> str:
        return f"<Motion floor={self._floor:.0f} {self._background!r}>"

    def __call__(self, frame: Frame) -> Frame:
        gray = np.asarray(cv2.blur(frame.gray(self.max_side), (3, 3)), dtype=np.uint8)
        if self._size != (frame.width, frame.height):
            self._begin(frame, gray)
        excess = self._background.update(gray)
        if excess is None:
            return frame
        changed = np.greater(excess, 1.0).view(np.uint8)
        if self._watched is not None:
            changed = np.asarray(cv2.bitwise_and(changed, self._watched), dtype=np.uint8)
        return frame.annotate(*self._detections(frame, gray, excess, changed))

    def _begin(self, frame: Frame, gray: Image) -> None:
        self._size = (frame.width, frame.height)
        self._watched = _watched(self.mask, frame, gray)
        self._background.restart(self._watched)

    def _detections(self, frame: Frame, gray: Image, excess: Plane, changed: Image) -> Iterator[Detection]:
        height, width = gray.shape
        for box in self._boxes(gray, changed):
            inside = box.slices
            if cv2.countNonZero(changed[inside]) >= max(4, self.min_area * width * height):
                score = 1 - 1 / max(1.0, cv2.mean(excess[inside], changed[inside])[0])
                scaled = box.scaled(frame.width / width, frame.height / height)
                yield Detection("motion", round(score, 3), scaled, by="motion")

    def _boxes(self, gray: Image, changed: Image) -> list[Box]:
        """Boxes around what is there now; where something has left, the background learns so at once."""
        boxes = []
        for contour in _contours(changed):
            outline = np.zeros_like(changed)
            cv2.drawContours(outline, [contour], -1, 1, OUTLINE)
            box = Box(*cv2.boundingRect(contour))
            if _edges(self._background.mean(), outline, box) > GHOST_EDGES * _edges(gray, outline, box):
                cv2.drawContours(outline, [contour], -1, 1, cv2.FILLED)
                self._background.absorb(outline, gray)
            else:
                boxes.append(box)
        return merged(boxes, MERGE_SHARE)


def _contours(changed: Image) -> Any:
    """Outlines of what has changed: specks removed, near fragments joined."""
    reach = max(3, max(changed.shape) // 64)
    opened = cv2.morphologyEx(changed, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    joined = cv2.morphologyEx(opened, cv2.MORPH_CLOSE, np.ones((reach, reach), np.uint8))
    return cv2.findContours(joined, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]


def _edges(picture: Image | Plane, outline: Image, box: Box) -> float:
    """How strong the edges of `picture` are along an outline, on average.

    An object's outline is in the picture; that of a hole which it left is in the background only (compare
    Cucchiara, Grana, Piccardi and Prati, "Detecting moving objects, ghosts, and shadows", 2003).
    """
    around = box.grown(OUTLINE, picture.shape).slices
    gradient = cv2.morphologyEx(picture[around], cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    return cv2.mean(gradient, outline[around])[0]


def _watched(mask: Regions, frame: Frame, gray: Image) -> Image | None:
    """1 where the reduced picture is watched, 0 in the masked regions; None where nothing is masked."""
    if not mask:
        return None
    watched = np.ones(gray.shape, dtype=np.uint8)
    across, down = gray.shape[1] / frame.width, gray.shape[0] / frame.height
    for region in mask:
        top, left = int(region.y * down), int(region.x * across)
        bottom, right = (region.y + region.height) * down, (region.x + region.width) * across
        watched[top : int(np.ceil(bottom)), left : int(np.ceil(right))] = 0
    return watched
