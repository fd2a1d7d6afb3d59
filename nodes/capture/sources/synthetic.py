"""A camera that draws its own pictures: `synthetic:?size=640x480&fps=30&objects=3&seed=1&noise=2&codes=0`.

Options, all optional: size; fps; objects (how many); seed; noise (amplitude, in gray levels); frames (how
many pictures, endless without); codes (1: the objects carry QR codes and ArUco markers).

Rules kept here: a picture is a pure function of the options and its index, so runs repeat to the byte and
one that is skipped is not drawn; what is drawn is known, and given as detections by "truth".
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from mesh import codec
from mesh.codec import Image
from mesh.errors import ConfigError
from mesh.frame import Detection
from nodes.capture.sources import urls
from nodes.capture.sources.base import Grab, Size, SourceOptions
from nodes.capture.sources.jpegs import resized
from nodes.capture.sources.scene import MIN_CODES_SIDE, Scene, SceneOptions
from nodes.options import Reader, number, read_options, whole

_READERS: dict[str, Reader] = {
    "size": urls.size,
    "fps": number(0.1, 1000),
    "objects": whole(0, 50),
    "seed": whole(0, 2**32 - 1),
    "noise": whole(0, 30),
    "frames": whole(1, 10**12),
    "codes": whole(0, 1),
}
_SCENE = ("size", "fps", "objects", "seed", "noise", "codes")
_MIN_SIDE = 32


@dataclass(frozen=True, slots=True)
class Synthetic:
    """What is drawn, and how many pictures of it (None: endless)."""

    scene: SceneOptions = field(default_factory=SceneOptions)
    frames: int | None = None


def parse(url: str) -> Synthetic:
    """What `url` describes. Raises `ConfigError`."""
    before, _, query = urls.rest_of(url).partition("?")
    if before:
        raise ConfigError(f"{url}: options follow a '?', for instance synthetic:?size=640x480&fps=30")
    given = read_options(url, query, _READERS)
    scene = SceneOptions(**{name: given[name] for name in _SCENE if name in given})
    smallest = MIN_CODES_SIDE if scene.codes else _MIN_SIDE
    if min(scene.size) < smallest:
        raise ConfigError(f"{url}: each side of size must be at least {smallest} here")
    return Synthetic(scene, given.get("frames"))


def open_synthetic(url: str, options: SourceOptions) -> "SyntheticSource":
    """The camera that `url` describes."""
    return SyntheticSource(parse(url), options)


class SyntheticSource:
    """A `Source` of drawn pictures; not live, the capture node paces it."""

    live = False
    codec = "raw"

    def __init__(self, what: Synthetic, options: SourceOptions) -> None:
        self.fps = what.scene.fps
        self.scene = Scene(what.scene)
        self._frames, self._options = what.frames, options
        self._closed = threading.Event()

    def __repr__(self) -> str:
        width, height = self.scene.size
        return f"<SyntheticSource {width}x{height} {self.fps:g} fps frames={self._frames}>"

    def __iter__(self) -> Iterator[Grab]:
        """Every picture in order; with `loop` the same ones again, their times rising on."""
        index = 0
        while not (self._closed.is_set() or self._options.stop.is_set() or self._over(index)):
            yield SyntheticGrab(self.scene, index % self._frames if self._frames else index, index)
            index += 1

    def close(self) -> None:
        self._closed.set()

    def _over(self, index: int) -> bool:
        return self._frames is not None and index >= self._frames and not self._options.loop


class SyntheticGrab:
    """A `Grab` that is drawn when somebody asks for it."""

    has_pixels = True

    def __init__(self, scene: Scene, index: int, position: int) -> None:
        self.width, self.height = scene.size
        self.pts_ns: int | None = round(position * 1e9 / scene.fps)
        self._scene, self._index = scene, index

    @property
    def detections(self) -> tuple[Detection, ...]:
        """The objects in the picture, each box exactly its pixels."""
        return tuple(
            Detection("object", 1.0, (float(x), float(y), float(w), float(h)), "truth", attributes)
            for (x, y, w, h), attributes in self._scene.visible(self._index)
        )

    def jpeg(self, quality: int, size: Size | None = None) -> bytes:
        """The picture drawn and encoded at `quality`, scaled to `size` = (width, height) where given."""
        return codec.encode(resized(self._image, size or self._scene.size), quality)

    def draw(self, into: Image) -> None:
        """The picture drawn into (H, W, 3) BGR, scaled to that size."""
        np.copyto(into, resized(self._image, (into.shape[1], into.shape[0])))

    @cached_property
    def _image(self) -> Image:
        return self._scene.draw(self._index)
