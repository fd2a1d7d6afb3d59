"""What a synthetic camera sees: a textured background, and objects that move over it.

Rules kept here: everything is a pure function of the options and a picture's index; an object fills its box,
each of its pixels far darker or brighter than any of the background, so the box is exact.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator

from mesh.codec import Image
from nodes.capture.sources.base import Size

Box = tuple[int, int, int, int]  # x, y, width, height in pixels, clipped to the picture

MIN_CODES_SIDE = 240
BACKGROUND_LEVELS = (80, 150)  # what noise may add stays inside 50 to 180
_DARK, _BRIGHT = (0, 20), (215, 256)
_BACKGROUNDS = 4  # so many patterns of noise, in turn: drawing one anew for each picture costs too much
_QUIET_MODULES = 2
_STEP_PX = (1.0, 4.0)  # a picture, at 30 fps and 640 pixels


@dataclass(frozen=True, slots=True)
class SceneOptions:
    """`size` in pixels (width, height); `noise` in gray levels, 0 to 30; `codes` 1 for objects with codes."""

    size: Size = (640, 480)
    fps: float = 30.0
    objects: int = 3
    seed: int = 1
    noise: int = 2
    codes: int = 0


@dataclass(frozen=True, slots=True)
class Mover:
    """One object: its pixels and its path. It bounces off the edges, or crosses and comes again.

    After `moves` pictures of moving it stands still for `pauses`.
    """

    sprite: Image
    attributes: Mapping[str, Any]
    start: tuple[float, float]
    step: tuple[float, float]
    crosses: bool
    moves: int
    pauses: int

    def corner(self, index: int, size: Size) -> tuple[int, int]:
        """The top left corner in picture `index`; may lie outside of it."""
        height, width = self.sprite.shape[:2]
        progress = steps_taken(index, self.moves, self.pauses)
        x, y = (at + step * progress for at, step in zip(self.start, self.step, strict=True))
        across = crossing(x, size[0], width) if self.crosses else bouncing(x, size[0] - width)
        return round(across), round(bouncing(y, size[1] - height))


class Scene:
    """The pictures that `options` describe."""

    def __init__(self, options: SceneOptions) -> None:
        self.size, self.fps = options.size, options.fps
        rng = np.random.default_rng(options.seed)
        self._backgrounds = _backgrounds(options, rng)
        self._movers = [_mover(k, options, rng) for k in range(options.objects)]

    def background(self, index: int) -> Image:
        """Picture `index` without its objects: (H, W, 3) uint8 BGR, not to be changed."""
        return self._backgrounds[index % _BACKGROUNDS]

    def draw(self, index: int) -> Image:
        """Picture `index`: (H, W, 3) uint8 BGR. Later objects cover earlier ones."""
        image = self.background(index).copy()
        for mover in self._movers:
            left, top = mover.corner(index, self.size)
            box = clipped(left, top, mover.sprite, self.size)
            if box is not None:
                x, y, w, h = box
                image[y : y + h, x : x + w] = mover.sprite[y - top : y - top + h, x - left : x - left + w]
        return image

    def visible(self, index: int) -> Iterator[tuple[Box, Mapping[str, Any]]]:
        """The box and attributes of each object of which picture `index` shows something.

        The attribute `whole` says that neither the edge nor another object hides a part of it.
        """
        boxes = [clipped(*mover.corner(index, self.size), mover.sprite, self.size) for mover in self._movers]
        for k, mover in enumerate(self._movers):
            box = boxes[k]
            above = [other for other in boxes[k + 1 :] if other is not None]
            if box is not None and not any(covers(other, box) for other in above):
                uncut = mover.sprite.shape[:2] == (box[3], box[2])
                whole = uncut and not any(overlap(other, box) for other in above)
                yield box, {**mover.attributes, "whole": whole}


def steps_taken(index: int, moves: int, pauses: int) -> int:
    """How many of the first `index` pictures were moves, in turns of `moves` and `pauses`."""
    rounds, within = divmod(index, moves + pauses)
    return rounds * moves + min(within, moves)


def bouncing(at: float, span: float) -> float:
    """A position that runs from 0 to `span` and back."""
    return span - abs(at % (2 * span) - span) if span > 0 else 0.0


def crossing(at: float, width: int, own: int) -> float:
    """A position that enters from before 0, leaves behind `width`, and comes again."""
    return at % (width + 2 * own) - own


def clipped(left: int, top: int, sprite: Image, size: Size) -> Box | None:
    """The part of `sprite` that lies inside a picture of `size`; None when nothing does."""
    x, y = max(left, 0), max(top, 0)
    right = min(left + sprite.shape[1], size[0])
    bottom = min(top + sprite.shape[0], size[1])
    return (x, y, right - x, bottom - y) if right > x and bottom > y else None


def covers(above: Box, box: Box) -> bool:
    """Whether all of `box` lies under `above`."""
    (ax, ay, aw, ah), (x, y, w, h) = above, box
    return ax <= x and ay <= y and ax + aw >= x + w and ay + ah >= y + h


def overlap(one: Box, other: Box) -> bool:
    """Whether two boxes share a pixel."""
    (ax, ay, aw, ah), (x, y, w, h) = one, other
    return ax < x + w and x < ax + aw and ay < y + h and y < ay + ah


def _backgrounds(options: SceneOptions, rng: Generator) -> list[Image]:
    width, height = options.size
    coarse = rng.integers(*BACKGROUND_LEVELS, (height // 16 + 2, width // 16 + 2, 3)).astype(np.uint8)
    texture = cv2.resize(coarse, options.size, interpolation=cv2.INTER_CUBIC).astype(np.int16)
    return [_noisy(texture, options.noise, rng) for _ in range(_BACKGROUNDS)]


def _noisy(texture: np.ndarray[Any, Any], noise: int, rng: Generator) -> Image:
    added = rng.integers(-noise, noise + 1, texture.shape, np.int16)
    low, high = BACKGROUND_LEVELS
    return np.asarray(np.clip(texture + added, low - 30, high + 30), np.uint8)


def _mover(k: int, options: SceneOptions, rng: Generator) -> Mover:
    width, height = options.size
    sprite, attributes = _coded(k) if options.codes else (_plain(options.size, rng), {})
    pace = width / 640 * 30 / options.fps
    step = rng.uniform(*_STEP_PX, 2) * pace
    pauses = math.ceil(options.fps) if k % 3 == 2 else 0
    return Mover(
        sprite=sprite,
        attributes={"id": k, **attributes},
        start=(float(rng.uniform(0, width)), float(rng.uniform(0, height))),
        step=(float(step[0]), float(step[1]) / 2),
        crosses=k % 3 == 1,
        moves=math.ceil(3 * options.fps),
        pauses=pauses,
    )


def _plain(size: Size, rng: Generator) -> Image:
    """A patch of one colour with a pattern in it, all of it dark or all of it bright."""
    shortest = min(size)
    height, width = (int(n) for n in rng.integers(max(4, shortest // 8), max(6, shortest // 4), 2))
    levels = _BRIGHT if rng.random() < 0.7 else _DARK
    colours = rng.integers(*levels, (2, 3)).astype(np.uint8)
    stripes = (np.arange(width) // max(1, width // 6)) % 2
    return np.ascontiguousarray(np.broadcast_to(colours[stripes], (height, width, 3)))


def _coded(k: int) -> tuple[Image, dict[str, str]]:
    if k % 2 == 0:
        text = f"object-{k}"
        return _enlarged(cv2.QRCodeEncoder.create().encode(text), 4), {"code": "qr", "text": text}
    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
    marker = cv2.aruco.generateImageMarker(dictionary, k, 6)
    return _enlarged(marker, 12), {"code": "aruco", "text": str(k)}


def _enlarged(modules: Any, module_px: int) -> Image:
    quiet = np.pad(np.asarray(modules, np.uint8), _QUIET_MODULES, constant_values=255)
    large = np.repeat(np.repeat(quiet, module_px, 0), module_px, 1)
    return np.ascontiguousarray(np.repeat(large[:, :, None], 3, 2))
