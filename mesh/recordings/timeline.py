"""A picture of a day: for each camera what was recorded, where it has gaps, and what was seen when.

Rules kept here: a minute is a pixel's width, and as strong as the share of it that is filled, so that what
was short is still seen; hours are UTC, as the names of recordings are; the labels seen longest have colours
of their own, the same for all cameras, and the rest share one.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date

import cv2
import numpy as np
from numpy.typing import NDArray

from mesh.codec import Image
from mesh.recordings.day import Day, Stretch
from mesh.recordings.names import DAY_NS, begin_of

Colour = tuple[int, int, int]  # BGR

MINUTES = 24 * 60
LEFT, RIGHT, TOP, BOTTOM = 150, 130, 92, 56
BAR, ROW, BETWEEN = 22, 14, 26  # heights: of what was recorded, of a label, between cameras
LEAST = 0.7  # of a colour's strength, for what lasted an instant
PAPER: Colour = (252, 251, 250)
INK: Colour = (60, 52, 46)
FAINT: Colour = (150, 142, 136)
LINE: Colour = (228, 225, 222)
EMPTY: Colour = (238, 236, 233)
RECORDED: Colour = (176, 140, 84)
GAP: Colour = (110, 110, 226)
COLOURS: Sequence[Colour] = ((72, 168, 92), (44, 140, 240), (196, 96, 150), (56, 190, 214), (170, 150, 50))
OTHER: Colour = (150, 150, 150)
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def timeline(days: Sequence[Day], day: date) -> Image:
    """(H, W, 3) BGR of these cameras' day, from top to bottom."""
    colours = _colours(days)
    heights = [BAR + ROW * max(1, len(_rows(each, colours))) + BETWEEN for each in days]
    image = np.full((TOP + sum(heights) + BOTTOM, LEFT + MINUTES + RIGHT, 3), PAPER, np.uint8)
    _axis(image, f"{day:%A, %d %B %Y}".replace(" 0", " "), image.shape[0] - BOTTOM)
    at = TOP
    for each, height in zip(days, heights, strict=True):
        _camera(image, each, at, colours)
        at += height
    _legend(image, colours, image.shape[0] - BOTTOM // 2 + 6)
    return image


def filled(stretches: Iterable[Stretch], day: date) -> NDArray[np.float64]:
    """Which share of each minute of a day is filled by stretches that are apart and in order: (1440,)."""
    spans = np.array([*stretches], np.int64).reshape(-1, 2) - begin_of(day)
    edges = np.arange(MINUTES + 1, dtype=np.int64) * (DAY_NS // MINUTES)
    if not len(spans):
        return np.zeros(MINUTES)
    starts, ends = spans.T
    before = np.concatenate([[0], np.cumsum(ends - starts)])
    begun = np.searchsorted(starts, edges, side="right")
    beyond = np.where(begun > 0, np.clip(ends[begun - 1] - edges, 0, None), 0)
    return np.diff(before[begun] - beyond) / (DAY_NS // MINUTES)


def touched(stretches: Iterable[Stretch], day: date) -> NDArray[np.float64]:
    """How strong each minute is drawn: 0 where there is nothing, and `LEAST` at least where there is."""
    spans = [*stretches]
    strength = filled(spans, day)
    marks = np.zeros(MINUTES, bool)
    for start, end in spans:
        first, last = (
            min(MINUTES - 1, (ns - begin_of(day)) * MINUTES // DAY_NS) for ns in (start, max(start, end - 1))
        )
        marks[first : last + 1] = True
    return np.where(marks, np.maximum(strength, LEAST), 0.0)


def _colours(days: Sequence[Day]) -> dict[str, Colour]:
    """The colours of the labels that were seen longest."""
    seen: Counter[str] = Counter()
    for each in days:
        for label, stretches in each.seen.items():
            seen[label] += 1 + sum(end - start for start, end in stretches)
    longest = sorted(label for label, _ in seen.most_common(len(COLOURS)))
    return dict(zip(longest, COLOURS, strict=False))


def _rows(each: Day, colours: dict[str, Colour]) -> list[tuple[str, Colour, list[Stretch]]]:
    """What a camera's rows show: their labels, colours and stretches."""
    rows = [(label, colour, [*each.seen[label]]) for label, colour in colours.items() if label in each.seen]
    rest = [stretch for label, found in each.seen.items() if label not in colours for stretch in found]
    return rows + ([("other", OTHER, rest)] if rest else [])


def _camera(image: Image, each: Day, at: int, colours: dict[str, Colour]) -> None:
    _text(image, each.camera, (LEFT - 14, at + BAR - 6), 0.55, INK, right=True)
    hours, minutes = divmod(round(each.seconds / 60), 60)
    _text(image, f"{hours} h {minutes:02} min", (LEFT + MINUTES + 14, at + BAR - 6), 0.5, FAINT)
    image[at : at + BAR, LEFT : LEFT + MINUTES] = EMPTY
    _strip(image, at, BAR, touched(each.recorded, each.day), RECORDED)
    _strip(image, at, BAR, touched(each.gaps, each.day), GAP)
    below = at + BAR + 3
    for label, colour, stretches in _rows(each, colours):
        _text(image, label, (LEFT - 14, below + ROW - 4), 0.4, FAINT, right=True)
        _strip(image, below + 2, ROW - 4, touched(sorted(stretches), each.day), colour)
        below += ROW


def _strip(image: Image, top: int, height: int, strength: NDArray[np.float64], colour: Colour) -> None:
    """Lay a colour over a row, as strong as it is there."""
    part = image[top : top + height, LEFT : LEFT + MINUTES]
    share = strength[None, :, None]
    part[:] = np.round(part * (1 - share) + np.array(colour) * share).astype(np.uint8)


def _axis(image: Image, title: str, bottom: int) -> None:
    _text(image, title, (LEFT, 38), 0.8, INK)
    _text(image, "UTC", (LEFT + MINUTES, 38), 0.5, FAINT, right=True)
    for hour in range(25):
        x = LEFT + hour * 60
        cv2.line(image, (x, TOP - 12), (x, bottom - BETWEEN // 2), LINE, 1)
        if hour % 2 == 0:
            _text(image, f"{hour:02}:00", (x, TOP - 20), 0.42, FAINT, middle=True)


def _legend(image: Image, colours: dict[str, Colour], at: int) -> None:
    x = LEFT
    for word, colour in (("recorded", RECORDED), ("gap", GAP), ("nothing", EMPTY), *colours.items()):
        cv2.rectangle(image, (x, at - 10), (x + 14, at + 2), colour, cv2.FILLED)
        _text(image, word, (x + 22, at), 0.42, INK)
        x += 52 + _width(word, 0.42)


def _text(
    image: Image,
    text: str,
    at: tuple[int, int],
    scale: float,
    colour: Colour,
    *,
    right: bool = False,
    middle: bool = False,
) -> None:
    """Text that begins at `at`, ends there, or has its middle there."""
    x = at[0] - (_width(text, scale) if right else _width(text, scale) // 2 if middle else 0)
    cv2.putText(image, text, (x, at[1]), _FONT, scale, colour, 1, cv2.LINE_AA)


def _width(text: str, scale: float) -> int:
    return int(cv2.getTextSize(text, _FONT, scale, 1)[0][0])
