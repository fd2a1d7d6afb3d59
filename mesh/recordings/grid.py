"""Several cameras in one picture, on one clock: what is shown when. Its drawing is for people to look at.

Rules kept here: a tile shows its camera's latest frame at each moment, and nothing before the first one and
in a gap; a picture comes only when something in it has changed; one frame of each camera is in memory.
"""

import heapq
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import repeat

import cv2
import numpy as np

from mesh.codec import Image
from mesh.draw import annotated
from mesh.errors import DecodeError
from mesh.frame import Frame
from mesh.recordings.contents import GAP_NS

Size = tuple[int, int]  # width, height in pixels

MOST = (1920, 1080)  # of a grid's picture, unless asked for
SECOND_NS = 1_000_000_000
STILL_NS = SECOND_NS  # how much of a gap is shown where gaps are left out
_NONE: tuple[str, Frame | None] = ("", None)
_WHITE, _GRAY, _BAND = (255, 255, 255), (150, 150, 150), 0.45


def even(size: Size) -> Size:
    """The next smaller even numbers, and 2 at least: what 4:2:0 pixels come in."""
    return max(2, size[0] // 2 * 2), max(2, size[1] // 2 * 2)


def columns_of(count: int) -> int:
    """How many tiles stand beside one another, of so many."""
    return math.ceil(math.sqrt(count))


def tile_of(count: int, own: Size, whole: Size | None) -> Size:
    """The size of a tile of so many in a picture of size `whole`; where none is asked for, as large as the
    camera's `own`, or as fits into `MOST`."""
    columns = columns_of(count)
    rows = math.ceil(count / columns)
    if whole is not None:
        return even((whole[0] // columns, whole[1] // rows))
    share = min(1.0, MOST[0] / columns / own[0], MOST[1] / rows / own[1])
    return even((int(own[0] * share), int(own[1] * share)))


def fitted(frame: Frame, size: Size, *, boxes: bool = False) -> Image:
    """A frame's picture in (H, W, 3) BGR of `size`, black where its shape leaves something over.

    Raises `DecodeError`.
    """
    share = min(size[0] / frame.width, size[1] / frame.height)
    inner = max(1, round(frame.width * share)), max(1, round(frame.height * share))
    image = annotated(frame) if boxes and frame.detections else frame.thumbnail(max(inner))
    if (image.shape[1], image.shape[0]) != inner:
        smaller = inner[0] < image.shape[1]
        image = np.asarray(
            cv2.resize(image, inner, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR), np.uint8
        )
    if inner == size:
        return image
    whole = np.zeros((size[1], size[0], 3), np.uint8)
    left, top = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    whole[top : top + inner[1], left : left + inner[0]] = image
    return whole


def merged(frames: Mapping[str, Iterable[Frame]]) -> Iterator[tuple[str, Frame]]:
    """Those of several cameras in order of time, each with its camera, as that is called here."""
    named = (zip(repeat(camera), each, strict=False) for camera, each in frames.items())
    return heapq.merge(*named, key=lambda one: one[1].captured_ns)


class Elapsed:
    """How far into a film it is at a time; where `skip_gaps`, what stretches without a frame show of
    themselves is no more than `STILL_NS`. Pure."""

    def __init__(self, start_ns: int, skip_gaps: bool) -> None:
        self._start_ns = self._last_ns = start_ns
        self._skips = skip_gaps
        self._left_out_ns = 0

    def at(self, captured_ns: int) -> int:
        """Nanoseconds of film until a frame, the next one that was captured."""
        still_ns = captured_ns - self._last_ns
        if self._skips and still_ns > GAP_NS:
            self._left_out_ns += still_ns - STILL_NS
        self._last_ns = max(self._last_ns, captured_ns)  # one may be late: no gap is behind it
        return captured_ns - self._start_ns - self._left_out_ns


@dataclass(slots=True)
class _Tile:
    """One camera's place: its frame now, and what is drawn of it."""

    camera: str
    at: tuple[int, int]  # its corner in the picture
    frame: Frame | None = None
    drawn: object = None

    def show(self, frame: Frame) -> None:
        """Unless it is late, and a later one is there."""
        if self.frame is None or frame.captured_ns >= self.frame.captured_ns:
            self.frame = frame


@dataclass(slots=True)
class Grid:
    """A picture of several cameras, each in a tile of size `tile`; with `skip_gaps`, stretches in which none
    of them has a frame are left out."""

    cameras: Sequence[str]
    tile: Size
    boxes: bool = False
    skip_gaps: bool = False
    undecoded: int = 0
    _tiles: dict[str, _Tile] = field(default_factory=dict)
    _image: Image = field(init=False)

    def __post_init__(self) -> None:
        columns = columns_of(len(self.cameras))
        width, height = self.tile
        for number, camera in enumerate(self.cameras):
            row, column = divmod(number, columns)
            self._tiles[camera] = _Tile(camera, (column * width, row * height))
        rows = math.ceil(len(self.cameras) / columns)
        self._image = np.zeros((rows * height, columns * width, 3), np.uint8)

    @property
    def size(self) -> Size:
        return self._image.shape[1], self._image.shape[0]

    def pictures(
        self, frames: Mapping[str, Iterable[Frame]], start_ns: int, end_ns: int, step_ns: int
    ) -> Iterator[tuple[int, Image]]:
        """The picture at each moment before `end_ns`, `step_ns` apart, at which it has changed: nanoseconds
        since the beginning, and (H, W, 3) BGR, which is the same array each time."""
        coming = merged(frames)
        camera, ahead = next(coming, _NONE)
        at_ns = newest_ns = start_ns
        shown_ns = 0
        while at_ns < end_ns:
            while ahead is not None and ahead.captured_ns <= at_ns:
                self._tiles[camera].show(ahead)
                newest_ns = max(newest_ns, ahead.captured_ns)
                camera, ahead = next(coming, _NONE)
            if self._draw(at_ns):
                yield shown_ns, self._image
            left_ns = ahead.captured_ns - at_ns if ahead is not None else 0
            at_ns += step_ns * (math.ceil(left_ns / step_ns) if self._skips(at_ns, newest_ns, left_ns) else 1)
            shown_ns += step_ns

    def _skips(self, at_ns: int, newest_ns: int, left_ns: int) -> bool:
        """Whether the next moment to show is that of the next frame, `left_ns` from now."""
        since_ns = at_ns - newest_ns
        return self.skip_gaps and since_ns + left_ns > GAP_NS and left_ns > 0 and since_ns >= STILL_NS

    def _draw(self, at_ns: int) -> bool:
        """Bring the picture up to a moment; whether that changed it."""
        changed = [self._draw_tile(tile, at_ns) for tile in self._tiles.values()]
        return any(changed)

    def _draw_tile(self, tile: _Tile, at_ns: int) -> bool:
        frame = tile.frame
        if frame is not None and at_ns - frame.captured_ns > GAP_NS:
            frame = None
        key: object = frame if frame is not None else at_ns // SECOND_NS
        if key == tile.drawn:
            return False
        tile.drawn = key
        x, y = tile.at
        self._image[y : y + self.tile[1], x : x + self.tile[0]] = self._tile_image(tile.camera, frame, at_ns)
        return True

    def _tile_image(self, camera: str, frame: Frame | None, at_ns: int) -> Image:
        try:
            if frame is not None:
                image = fitted(frame, self.tile, boxes=self.boxes).copy()
                return titled(image, camera, frame.captured_ns, _WHITE)
        except DecodeError:
            self.undecoded += 1
        return titled(np.zeros((self.tile[1], self.tile[0], 3), np.uint8), camera, at_ns, _GRAY)


def titled(image: Image, camera: str, at_ns: int, colour: tuple[int, int, int]) -> Image:
    """A picture with its camera's name and a time (UTC) written into it, on a darker band."""
    height, width = image.shape[:2]
    at = datetime.fromtimestamp(at_ns // SECOND_NS, UTC)
    text = f"{camera}  {at:%Y-%m-%d %H:%M:%S}"
    scale = 0.5 * max(0.4, min(1.5, height / 360))
    (across, up), down = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    scale *= min(1.0, (width - 8) / max(1, across))
    band = min(height, up + down + 8)
    image[height - band :] = (image[height - band :] * _BAND).astype(np.uint8)
    at_xy = (4, height - band // 2 + up // 2)
    cv2.putText(image, text, at_xy, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, 1, cv2.LINE_AA)
    return image
