"""The background of a camera that stands still, and what in a picture is off it.

A running Gaussian average for each pixel (Wren, Azarbayejani, Darrell and Pentland, "Pfinder", 1997), with
the mean absolute deviation in the place of the variance: a pixel has changed when it is further from its mean
than a floor and than a multiple of what it usually deviates, so that swaying leaves and sensor noise raise
their own threshold. The mean begins as the median of the warm-up frames, and is compared with the median of
twice, four, eight and sixteen times as many when these have been seen: what moves slowly through the first
ones does not stay in it. Pictures are first made as bright as the background, which takes out the camera's
own exposure control.

Mean and deviation are floats that learn from every fourth picture, at four times the rate. All pictures are
compared with what these are in whole gray levels: two passes over bytes, 2 microseconds each at 320 by 240.

Rules kept here: nothing is told while the background forms; a change of most of the picture at once is a new
background to learn. Pictures are (H, W) uint8 of one size between two restarts. The planes given out are to
be read only, and good until the next picture.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from mesh.codec import Image

Plane = NDArray[np.float32]  # (H, W)
Slices = tuple[slice, slice]  # rows, columns

SAMPLES = 15  # in a median, at least
REFINEMENTS = 4  # so often is it taken again, each time over twice as many frames
DEVIATIONS = 4.0  # how often its usual deviation a pixel must be off
RELEARN_SHARE = 0.6  # of the picture changed at once
GAIN_STEP = 8  # one pixel in 8 by 8 tells how bright the picture is
GAIN_LIMIT = 1.5  # a greater change than this is one to relearn
GAIN_LEAST = 1 / 128  # a smaller one changes no pixel by more than a gray level or two
LEARN_EVERY = 4  # pictures
CHANGED_RATE = 0.3  # a pixel that has changed is learnt so much slower


class Background:
    """Mean and usual deviation of every pixel.

    history:  frames over which the mean forgets
    warmup:   frames from which it is formed
    floor:    gray levels by which a pixel must at least be off to have changed
    """

    def __init__(self, history: int, warmup: int, floor: float) -> None:
        self._rate = 1 - (1 - 1 / history) ** LEARN_EVERY
        self._warmup = warmup
        self._floor = floor
        self.restart(None)

    def __repr__(self) -> str:
        return f"<Background {'ready' if self.ready else f'forming {self._seen}/{self._warmup}'}>"

    @property
    def ready(self) -> bool:
        return self._seen >= self._warmup

    @property
    def picture(self) -> Image:
        """The last picture, as bright as the background."""
        return self._picture

    @property
    def level(self) -> Image:
        """The background, in whole gray levels."""
        return self._level

    @property
    def changes(self) -> int:
        """How many pixels of the last picture had changed."""
        return self._changes

    @property
    def learnt(self) -> bool:
        """Whether the last picture was one of those that are learnt from."""
        return self._compared % LEARN_EVERY == 0

    def restart(self, watched: Image | None) -> None:
        """Forget everything, and tell from now on only of pixels that are not 0 in `watched`."""
        self._watched = watched
        self._seen = self._compared = self._changes = 0
        self._samples: list[Image] = []
        self._spacing = max(1, self._warmup // SAMPLES)
        self._next_median = self._warmup

    def update(self, gray: Image) -> Image | None:
        """255 where the picture has changed, 0 elsewhere; and learn. None while forming."""
        if not self.ready:
            self._sample(gray)
            return None
        self._compare(gray)
        if self._changes > RELEARN_SHARE * self._all:
            self.restart(self._watched)
            self._sample(gray)
            return None
        self._compared += 1
        if self.learnt:
            self._learn()
        if self._next_median:
            self._sample(self._picture)
        return self._changed

    def excess(self, inside: Slices) -> float:
        """How many thresholds the changed pixels `inside` are off the background, on average."""
        where = self._changed[inside]
        return sum_where(self._difference[inside], where) / max(
            1.0, sum_where(self._threshold[inside], where)
        )

    def absorb(self, inside: Slices, where: Image) -> None:
        """Take the last picture for the background in those pixels `inside` that are not 0 in `where`."""
        for plane in (self._mean, self._level):
            np.copyto(plane[inside], self._picture[inside], where=where > 0)

    def _sample(self, picture: Image) -> None:
        if self._seen % self._spacing == 0:
            self._samples.append(picture.copy())
        self._seen += 1
        if self._seen == self._next_median:
            self._take_median()

    def _take_median(self) -> None:
        median = median_of(self._samples)
        if self._seen == self._warmup:
            self._begin(median)
        else:
            np.copyto(self._mean, median, where=np.abs(median - self._mean) > self._floor)
        self._look_up()
        last = self._next_median >= self._warmup << REFINEMENTS
        self._samples = [] if last else self._samples[::2]
        self._spacing *= 2
        self._next_median = 0 if last else 2 * self._next_median

    def _begin(self, mean: Plane) -> None:
        planes = np.zeros((6, *mean.shape), dtype=np.uint8)
        self._level: Image = planes[0]
        self._threshold: Image = planes[1]
        self._least: Image = planes[2]
        self._difference: Image = planes[3]
        self._changed: Image = planes[4]
        self._lit: Image = planes[5]
        self._picture: Image = self._level
        self._least[:] = min(255, math.ceil(self._floor))
        self._all = mean.size if self._watched is None else cv2.countNonZero(self._watched)
        cv2.convertScaleAbs(mean, dst=self._level)
        self._mean: Plane = mean
        self._deviation: Plane = median_of([_difference(sample, self._level) for sample in self._samples])

    def _compare(self, gray: Image) -> None:
        self._picture = self._as_bright(gray)
        cv2.absdiff(self._picture, self._level, dst=self._difference)
        cv2.compare(self._difference, self._threshold, cv2.CMP_GE, dst=self._changed)
        if self._watched is not None:
            cv2.bitwise_and(self._changed, self._watched, dst=self._changed)
        self._changes = cv2.countNonZero(self._changed)

    def _as_bright(self, gray: Image) -> Image:
        """The picture without the camera's own exposure control: as bright as its background."""
        ratios = ((gray[::GAIN_STEP, ::GAIN_STEP] + np.float32(1)) / self._some).ravel()
        ratios.partition(ratios.size // 2)
        gain = min(max(float(ratios[ratios.size // 2]), 1 / GAIN_LIMIT), GAIN_LIMIT)
        if abs(gain - 1) < GAIN_LEAST:
            return gray
        cv2.convertScaleAbs(gray, dst=self._lit, alpha=1 / gain)
        return self._lit

    def _learn(self) -> None:
        unchanged = cv2.bitwise_not(self._changed)
        cv2.accumulateWeighted(self._picture, self._mean, self._rate, unchanged)
        cv2.accumulateWeighted(self._difference, self._deviation, self._rate, unchanged)
        if self._changes:
            cv2.accumulateWeighted(self._picture, self._mean, self._rate * CHANGED_RATE, self._changed)
        self._look_up()

    def _look_up(self) -> None:
        """Put what is known now into the planes that pictures are compared with."""
        cv2.convertScaleAbs(self._mean, dst=self._level)
        cv2.convertScaleAbs(self._deviation, dst=self._threshold, alpha=DEVIATIONS, beta=0.5)
        cv2.max(self._threshold, self._least, dst=self._threshold)
        self._some: Plane = self._mean[::GAIN_STEP, ::GAIN_STEP] + np.float32(1)


def sum_where(plane: Image, where: Image) -> float:
    """The sum of those pixels that are 255 in `where`, and not 0."""
    return cv2.sumElems(cv2.bitwise_and(plane, where))[0]


def median_of(pictures: Sequence[Image]) -> Plane:
    """The median of every pixel, by odd-even transposition (Habermann, 1972) of whole pictures.

    An exchange is two passes over bytes, so that it takes a fiftieth of what `numpy.median` does.
    """
    ranks = [picture.copy() for picture in pictures]
    spare = np.empty_like(ranks[0])
    for turn in range(len(ranks)):
        for k in range(turn % 2, len(ranks) - 1, 2):
            cv2.min(ranks[k], ranks[k + 1], dst=spare)
            cv2.max(ranks[k], ranks[k + 1], dst=ranks[k + 1])
            ranks[k], spare = spare, ranks[k]
    low, high = ranks[(len(ranks) - 1) // 2], ranks[len(ranks) // 2]
    return (low.astype(np.float32) + high) / np.float32(2)


def _difference(one: Image, other: Image) -> Image:
    return np.asarray(cv2.absdiff(one, other), dtype=np.uint8)
