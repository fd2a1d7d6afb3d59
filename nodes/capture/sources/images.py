"""A directory of pictures as a stream: `images:DIR?fps=25`.

Rules kept here: sorted by name; JPEG files pass through untouched; a file is read when its turn comes and
decoded when somebody asks.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from mesh import codec
from mesh.codec import Image
from mesh.errors import ConfigError, DecodeError, SourceError, SourceRefused
from mesh.frame import Detection
from nodes.capture.sources import urls
from nodes.capture.sources.base import Grab, Size, SourceOptions
from nodes.capture.sources.jpegs import JpegGrab, resized
from nodes.options import Reader, number, read_options

_JPEGS = frozenset((".jpg", ".jpeg"))
_OTHERS = frozenset((".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"))
_READERS: dict[str, Reader] = {"fps": number(0.001, 1000)}


@dataclass(frozen=True, slots=True)
class Directory:
    """Where the pictures are, and how many of them make a second."""

    path: Path
    fps: float = 25.0


def parse(url: str) -> Directory:
    """The directory that `url` names. Raises `ConfigError`."""
    text, _, query = urls.rest_of(url).partition("?")
    if not text:
        raise ConfigError(f"{url!r} names no directory; write for instance images:pictures?fps=5")
    return Directory(Path(text), **read_options(url, query, _READERS))


def open_images(url: str, options: SourceOptions) -> "ImagesSource":
    """The pictures in `url`. Raises `SourceRefused` where there are none."""
    return ImagesSource(seek(url), parse(url).fps, options)


def seek(url: str, folder: Path = Path()) -> list[Path]:
    """The pictures in `url`, from `folder` on. Raises `SourceRefused` where there are none."""
    path = folder / parse(url).path
    files = _pictures_in(path)
    if not files:
        kinds = " ".join(sorted(_JPEGS | _OTHERS))
        raise SourceRefused(f"{path} holds no pictures ({kinds})")
    return files


class ImagesSource:
    """A `Source` over picture files."""

    live = False

    def __init__(self, files: list[Path], fps: float, options: SourceOptions) -> None:
        self.fps = fps
        self.codec = "mjpeg" if files[0].suffix.lower() in _JPEGS else files[0].suffix[1:].lower()
        self._files, self._options = files, options
        self._closed = False

    def __repr__(self) -> str:
        return f"<ImagesSource {self._files[0].parent} {len(self._files)} pictures {self.fps:g} fps>"

    def __iter__(self) -> Iterator[Grab]:
        """Every picture by name. Raises `SourceError` for a file that cannot be read."""
        index = 0
        while not (self._closed or self._options.stop.is_set()):
            yield _read(self._files[index % len(self._files)], round(index * 1e9 / self.fps))
            index += 1
            if index % len(self._files) == 0 and not self._options.loop:
                return

    def close(self) -> None:
        self._closed = True


class PictureGrab:
    """A `Grab` that holds a picture in some other format than JPEG."""

    has_pixels = True
    detections: tuple[Detection, ...] = ()

    def __init__(self, name: str, data: bytes, pts_ns: int) -> None:
        self.pts_ns = pts_ns
        self._name, self._data = name, data

    @cached_property
    def _image(self) -> Image:
        image = cv2.imdecode(np.frombuffer(self._data, np.uint8), cv2.IMREAD_COLOR) if self._data else None
        if image is None:
            raise DecodeError(f"{self._name} is damaged, or no picture")
        return np.asarray(image, np.uint8)

    @property
    def width(self) -> int:
        """Pixels. Raises `DecodeError` for a damaged picture."""
        return int(self._image.shape[1])

    @property
    def height(self) -> int:
        """Pixels. Raises `DecodeError` for a damaged picture."""
        return int(self._image.shape[0])

    def jpeg(self, quality: int, size: Size | None = None) -> bytes:
        """The picture encoded at `quality`, at `size` = (width, height) where given. `DecodeError` else."""
        return codec.encode(resized(self._image, size or (self.width, self.height)), quality)

    def draw(self, into: Image) -> None:
        """The picture put into (H, W, 3) BGR, scaled to that size. Raises `DecodeError`."""
        np.copyto(into, resized(self._image, (into.shape[1], into.shape[0])))


def _pictures_in(path: Path) -> list[Path]:
    try:
        found = [file for file in path.iterdir() if file.suffix.lower() in _JPEGS | _OTHERS]
    except FileNotFoundError as error:
        raise SourceRefused(f"{path}: no such directory") from error
    except NotADirectoryError as error:
        raise SourceRefused(f"{path} is a file, not a directory of pictures") from error
    except OSError as error:
        raise SourceRefused(f"{path} cannot be read: {error.strerror}") from error
    return sorted(found)


def _read(file: Path, pts_ns: int) -> Grab:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise SourceError(f"{file} cannot be read: {error.strerror}") from error
    if file.suffix.lower() in _JPEGS:
        return JpegGrab(data, pts_ns)
    return PictureGrab(file.name, data, pts_ns)
