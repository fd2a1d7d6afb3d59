"""Motion: boxes around what differs from the background of a camera that stands still.

The picture is smoothed by a median over 3 by 3 pixels, which leaves edges where they are, and compared with
its background (see background.py). A cell of 4 by 4 pixels has changed when more than a third of it has;
cells that touch are one thing, and its box is drawn around the changed pixels in them. The last three columns
and rows at most, which fill no cell, are not looked at.

Rules kept here: one instance sees one camera; nothing is reported while the background forms, nor when most
of the picture changes at once (a lamp, the sun, the camera itself); the same frames give the same boxes. At
320 pixels a frame takes 0.04 ms besides its decoding while nothing moves, and each thing that does 0.02 ms.
"""

from collections.abc import Iterator
from typing import Annotated, Any

import cv2
import numpy as np
from pydantic import Field

from mesh.codec import Image
from mesh.frame import Detection, Frame
from nodes.process.processors.background import Background, sum_where
from nodes.process.processors.boxes import Box, merged
from nodes.process.processors.regions import Regions

Share = Annotated[float, Field(ge=0, le=1)]

HARDEST, EASIEST = 60.0, 6.0  # gray levels off the background, at sensitivity 0 and 1
MERGE_SHARE = 0.3  # of the smaller of two boxes that are one object
GHOST_EDGES = 1.3  # the background's edges over the picture's, around a box where something has left
CELL = 4  # pixels
CELL_SHARE = 1 / 3  # of a cell
OUTLINE = 7  # pixels


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

    def __repr__(self) -> str:
        return f"<Motion floor={self._floor:.0f} {self._background!r}>"

    def __call__(self, frame: Frame) -> Frame:
        gray = np.asarray(cv2.medianBlur(frame.gray(self.max_side), 3), dtype=np.uint8)
        if self._size != (frame.width, frame.height):
            self._begin(frame, gray)
        changed = self._background.update(gray)
        if changed is None or self._background.changes < self._least:
            return frame
        found = tuple(self._detections(frame, changed))
        return frame.annotate(*found) if found else frame

    def _begin(self, frame: Frame, gray: Image) -> None:
        self._size = (frame.width, frame.height)
        self._least = max(4, self.min_area * gray.size)
        self._background.restart(_watched(self.mask, frame, gray))

    def _detections(self, frame: Frame, changed: Image) -> Iterator[Detection]:
        height, width = changed.shape
        for box in merged(self._boxes(changed), MERGE_SHARE):
            inside = box.slices
            if cv2.countNonZero(changed[inside]) >= self._least:
                score = 1 - 1 / max(1.0, self._background.excess(inside))
                scaled = box.scaled(frame.width / width, frame.height / height)
                yield Detection("motion", round(score, 3), scaled, by="motion")

    def _boxes(self, changed: Image) -> Iterator[Box]:
        """Boxes around what is there now; what has left is looked for whenever the background learns."""
        for contour in cv2.findContours(_cells(changed), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]:
            rough = Box(*cv2.boundingRect(contour)).times(CELL)
            if rough.width * rough.height < self._least:
                continue
            if self._background.learnt and self._has_left(contour, rough):
                continue
            x, y, width, height = cv2.boundingRect(changed[rough.slices])
            yield Box(rough.x + x, rough.y + y, width, height)

    def _has_left(self, contour: Any, box: Box) -> bool:
        """Whether something has left: then its outline is in the background only, which learns so at once.

        Compare Cucchiara, Grana, Piccardi and Prati, "Detecting moving objects, ghosts, and shadows", 2003.
        """
        picture, level = self._background.picture, self._background.level
        around = box.grown(CELL, picture.shape)
        inside = around.slices
        points = contour * CELL + (CELL // 2 - around.x, CELL // 2 - around.y)
        outline = np.zeros((around.height, around.width), np.uint8)
        cv2.drawContours(outline, [points], -1, 255, OUTLINE)
        left = _edges(level[inside], outline) > GHOST_EDGES * _edges(picture[inside], outline)
        if left:
            cv2.drawContours(outline, [points], -1, 255, cv2.FILLED)
            self._background.absorb(inside, outline)
        return left


def _cells(changed: Image) -> Image:
    """255 for each cell of which more than `CELL_SHARE` has changed: (H // 4, W // 4)."""
    share = _halved(_halved(changed))
    return np.asarray(cv2.threshold(share, 255 * CELL_SHARE, 255, cv2.THRESH_BINARY)[1], dtype=np.uint8)


def _halved(picture: Image) -> Image:
    """Means over 2 by 2 pixels; that OpenCV has a fast way for."""
    height, width = max(1, picture.shape[0] // 2), max(1, picture.shape[1] // 2)
    even = picture[: 2 * height, : 2 * width]
    return np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _edges(picture: Image, outline: Image) -> float:
    """How strong the edges of `picture` are along an outline, summed: central differences, across or down."""
    across = cv2.absdiff(picture[1:-1, 2:], picture[1:-1, :-2])
    down = cv2.absdiff(picture[2:, 1:-1], picture[:-2, 1:-1])
    return sum_where(np.asarray(cv2.max(across, down), dtype=np.uint8), outline[1:-1, 1:-1])


def _watched(mask: Regions, frame: Frame, gray: Image) -> Image | None:
    """1 where the reduced picture is watched, 0 in the masked regions; None where nothing is masked."""
    if not mask:
        return None
    watched = np.full(gray.shape, 255, dtype=np.uint8)
    across, down = gray.shape[1] / frame.width, gray.shape[0] / frame.height
    for region in mask:
        top, left = int(region.y * down), int(region.x * across)
        bottom, right = (region.y + region.height) * down, (region.x + region.width) * across
        watched[top : int(np.ceil(bottom)), left : int(np.ceil(right))] = 0
    return watched
