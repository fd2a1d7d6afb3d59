"""Regions of the picture, in the form in which a person types them.

Rules kept here: a region is `WIDTHxHEIGHT+X+Y` in pixels of the full-size frame (X11's geometry, and no
character that a shell takes for itself); several are joined by `/`.
"""

import re
from typing import Annotated, NamedTuple

from pydantic import BeforeValidator, WithJsonSchema

_REGION = re.compile(r"([0-9]+)x([0-9]+)\+([0-9]+)\+([0-9]+)\Z")


class Region(NamedTuple):
    """A rectangle in pixels of the full-size frame, origin at the top left."""

    x: int
    y: int
    width: int
    height: int


def parse_regions(text: object) -> object:
    """`100x50+0+0/40x40+200+10` as regions; what is no text is left as it is. Raises `ValueError`."""
    if not isinstance(text, str):
        return text
    return tuple(_region(part) for part in text.split("/") if part)


def _region(text: str) -> Region:
    match = _REGION.match(text)
    if match is None:
        raise ValueError(f"{text!r} is not a region WIDTHxHEIGHT+X+Y, such as 100x50+0+0")
    width, height, x, y = map(int, match.groups())
    return Region(x, y, width, height)


Regions = Annotated[
    tuple[Region, ...],
    BeforeValidator(parse_regions),
    WithJsonSchema({"description": "regions WIDTHxHEIGHT+X+Y joined by '/'"}),
]
