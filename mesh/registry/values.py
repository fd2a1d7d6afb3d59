"""What a key, a value and a lease's time may be, the same for every backend.

Rules kept here: a key is two or more parts joined by `/`, without spaces or control characters; a value is a
map of JSON's types (integers of 64 bits signed, finite floats); both have limits on their size. What is
returned shares nothing with what was given; tuples become lists, so that every backend gives back the same.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from mesh.errors import RegistryError

MAX_KEY = 512  # characters
MAX_VALUE = 256 * 1024  # characters of text, plus one for each member
MAX_DEPTH = 16
MAX_TTL = 30 * 86400.0  # seconds
INT64 = 2**63

_KEY = re.compile(r"[^/\s\x00-\x1f\x7f\ud800-\udfff]+(?:/[^/\s\x00-\x1f\x7f\ud800-\udfff]+)+")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def check_key(key: object) -> str:
    """`key` itself. Raises `RegistryError` when it is not a key."""
    if not isinstance(key, str) or len(key) > MAX_KEY or not _KEY.fullmatch(key):
        shown = repr(key)[:80]
        raise RegistryError(f"{shown} is not a registry key: use two or more parts, such as nodes/ID")
    return key


def table_of(key: str) -> str:
    """The table that a key stands in: its first part, with the slash."""
    return key[: key.index("/") + 1]


def check_ttl(ttl: object) -> float:
    """`ttl` in seconds. Raises `RegistryError` unless it is above 0 and at most 30 days."""
    if isinstance(ttl, bool) or not isinstance(ttl, int | float) or not 0 < ttl <= MAX_TTL:
        raise RegistryError(
            f"a lease of {ttl!r} seconds is not possible: use more than 0, at most {MAX_TTL:g}"
        )
    return float(ttl)


def check_value(key: str, value: object) -> dict[str, Any]:
    """A copy of `value`. Raises `RegistryError` when it is not a JSON-like map or too large."""
    if not isinstance(value, Mapping):
        raise RegistryError(f"the value of {key} is not a map")
    try:
        copy, _ = _copy_map(value, MAX_DEPTH, MAX_VALUE)
    except _Refused as refused:
        raise RegistryError(f"the value of {key} cannot be stored: {refused}") from None
    return copy


class _Refused(Exception):
    """Why a value cannot be stored."""


def _copy(value: object, depth: int, room: int) -> tuple[Any, int]:
    """A copy of `value`, and the room that is left after it."""
    if room <= 0:
        raise _Refused(f"it is larger than {MAX_VALUE} characters")
    if isinstance(value, str):
        return _text(value), room - 1 - len(value)
    if value is None or isinstance(value, bool | int | float):
        return _number(value), room - 1
    if depth == 0:
        raise _Refused(f"it is nested deeper than {MAX_DEPTH}")
    if isinstance(value, Mapping):
        return _copy_map(value, depth, room)
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return _copy_list(value, depth, room)
    raise _Refused(f"it holds a {type(value).__name__}")


def _copy_map(value: Mapping[Any, Any], depth: int, room: int) -> tuple[dict[str, Any], int]:
    copy: dict[str, Any] = {}
    for name, member in value.items():
        if not isinstance(name, str):
            raise _Refused(f"a name in it is not text: {name!r:.40}")
        copy[_text(name)], room = _copy(member, depth - 1, room - len(name))
    if room < 0:
        raise _Refused(f"it is larger than {MAX_VALUE} characters")
    return copy, room - 1


def _copy_list(value: Sequence[Any], depth: int, room: int) -> tuple[list[Any], int]:
    copy: list[Any] = []
    for member in value:
        made, room = _copy(member, depth - 1, room)
        copy.append(made)
    return copy, room - 1


def _text(text: str) -> str:
    if not text.isascii() and _SURROGATE.search(text):
        raise _Refused("a text in it is not Unicode (a lone surrogate)")
    return str(text)


def _number(value: float | None) -> float | None:
    if isinstance(value, float) and not math.isfinite(value):
        raise _Refused("a number in it is not finite")
    if isinstance(value, int) and not -INT64 <= value < INT64:
        raise _Refused(f"the number {value} does not fit 64 bits")
    return value
