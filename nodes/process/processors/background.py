"""The background of a camera that stands still, and how far a picture is off it.

A running Gaussian average for each pixel (Wren, Azarbayejani, Darrell and Pentland, "Pfinder", 1997), with
the mean absolute deviation in the place of the variance: a pixel has changed when it is further from its mean
than a floor and than a multiple of what it usually deviates, so that swaying leaves and sensor noise raise
their own threshold. The mean begins as the median of the warm-up frames, and is compared with the median of
twice, four, eight and sixteen times as many when these have been seen: what moves slowly through the first
ones does not stay in it. Pictures are first made as bright as the background, which takes out the camera's
own exposure control.

Rules kept here: nothing is told while the background forms; a change of most of the picture at once is a new
background to learn. Pictures are (H, W) uint8 of one size between two restarts.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from mesh.codec import Image

Plane = NDArray[np.float32]  # (H, W)

SAMPLES = 15  # in a median, at least
REFINEMENTS = 4  # so often is it taken again, each time over twice as many frames
DEVIATIONS = 4.0  # how often its usual deviation a pixel must be off
RELEARN_SHARE = 0.6  # of the picture changed at once
GAIN_STEP = 8  # one pixel in 8 by 8 tells how bright the picture is
GAIN_LIMIT = 1.5  # a greater change than this is one to relearn
CHANGED_RATE = 0.3  # a pixel that has changed is learnt so much slower


class Background:
    """Mean and usual deviation of every pixel.

    history:  frames over which the mean forgets
    warmup:   frames from which it is formed
    floor:    gray levels by which a pixel must at least be off to have changed
    """

    def __init__(self, history: int, warmup: int, floor: float) -> None:
        self._rate = 1.0 / history
        self._warmup = warmup
        self._floor = floor
        self.restart(None)

    def __repr__(self) -> str:
        return f"<Background {'ready' if self.ready else f'forming {self._seen}/{self._warmup}'}>"

    @property
    def ready(self) -> bool:
        return self._seen >= self._warmup

    def restart(self, watched: Image | None) -> None:
        """Forget everything. Only pixels that are not 0 in `watched` tell whether the scene is a new one."""
        self._watched = watched
        self._seen = 0
        self._mean: Plane = np.zeros((1, 1), dtype=np.float32)
        self._deviation: Plane = self._mean
        self._samples: list[Image] = []
        self._spacing = max(1, self._warmup // SAMPLES)
        self._next_median = self._warmup

    def update(self, gray: Image) -> Plane | None:
        """Difference over threshold of every pixel (above 1: changed), and learn; None while forming."""
        if not self.ready:
            self._sample(gray)
            return None
        picture = gray * np.float32(1 / self._gain(gray))
        difference = np.abs(picture - self._mean)
        excess: Plane = difference / np.maximum(self._deviation * DEVIATIONS, self._floor)
        changed = np.greater(excess, 1.0).view(np.uint8)
        if self._is_new_scene(changed):
            self.restart(self._watched)
            self._sample(gray)
            return None
        self._learn(picture, difference, changed)
        if self._next_median:
            self._sample(np.asarray(cv2.convertScaleAbs(picture), dtype=np.uint8))
        return excess

    def absorb(self, where: Image, gray: Image) -> None:
        """Take the picture for the background in all pixels that are not 0 in `where`."""
        np.copyto(self._mean, gray * np.float32(1 / self._gain(gray)), where=where.view(np.bool_))

    def mean(self) -> Plane:
        """The background as it is known; to be read only."""
        return self._mean

    def _sample(self, picture: Image) -> None:
        if self._seen % self._spacing == 0:
            self._samples.append(picture)
        self._seen += 1
        if self._seen == self._next_median:
            self._take_median()

    def _take_median(self) -> None:
        stack = np.stack(self._samples)
        median = np.median(stack, axis=0).astype(np.float32)
        if self._seen == self._warmup:
            self._mean = median
            self._deviation = np.median(np.abs(stack - median), axis=0).astype(np.float32)
        else:
            np.copyto(self._mean, median, where=np.abs(median - self._mean) > self._floor)
        last = self._next_median >= self._warmup << REFINEMENTS
        self._samples = [] if last else self._samples[::2]
        self._spacing *= 2
        self._next_median = 0 if last else 2 * self._next_median

    def _gain(self, gray: Image) -> float:
        """How much brighter the picture is than its background: the camera's own exposure control."""
        every = np.s_[::GAIN_STEP, ::GAIN_STEP]
        ratio = float(np.median((gray[every] + 1.0) / (self._mean[every] + 1.0)))
        return min(max(ratio, 1 / GAIN_LIMIT), GAIN_LIMIT)

    def _is_new_scene(self, changed: Image) -> bool:
        if self._watched is None:
            return cv2.countNonZero(changed) > RELEARN_SHARE * changed.size
        seen = cv2.countNonZero(cv2.bitwise_and(changed, self._watched))
        return seen > RELEARN_SHARE * cv2.countNonZero(self._watched)

    def _learn(self, picture: Plane, difference: Plane, changed: Image) -> None:
        unchanged = np.equal(changed, 0).view(np.uint8)
        cv2.accumulateWeighted(picture, self._mean, self._rate, unchanged)
        cv2.accumulateWeighted(difference, self._deviation, self._rate, unchanged)
        cv2.accumulateWeighted(picture, self._mean, self._rate * CHANGED_RATE, changed)
