"""Options of a URL, `?a=1&b=2`, each read by its reader. Pure.

Rules kept here: an option that there is not is refused with those that there are; a value that is wrong is
one `ConfigError` that says what would be right, and never shows a password.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from mesh.errors import ConfigError
from nodes.redact import redact

Reader = Callable[[str], Any]  # raises `ValueError` that says what to give


def read_options(url: str, query: str, readers: Mapping[str, Reader]) -> dict[str, Any]:
    """The options of `?a=1&b=2`, each read by its reader. Raises `ConfigError` listing those there are."""
    return read_given(redact(url), parse_qsl(query, keep_blank_values=True), readers)


def read_given(shown: str, given: Iterable[tuple[str, str]], readers: Mapping[str, Reader]) -> dict[str, Any]:
    """The options of the URL that messages show as `shown`. Raises as `read_options` does."""
    options: dict[str, Any] = {}
    for name, text in given:
        if name not in readers:
            known = ", ".join(readers)
            raise ConfigError(f"{shown}: no option {name!r}; the options here are {known}")
        try:
            options[name] = readers[name](text)
        except ValueError as error:
            raise ConfigError(f"{shown}: {name}={text} is wrong: {error}") from error
    return options


def number(low: float, high: float) -> Callable[[str], float]:
    """A reader of numbers from `low` to `high`."""

    def read(text: str) -> float:
        message = f"give a number from {low:g} to {high:g}"
        try:
            value = float(text)
        except ValueError as error:
            raise ValueError(message) from error
        if not low <= value <= high:
            raise ValueError(message)
        return value

    return read


def whole(low: int, high: int) -> Callable[[str], int]:
    """A reader of whole numbers from `low` to `high`."""

    def read(text: str) -> int:
        if not re.fullmatch(r"\d{1,18}", text) or not low <= int(text) <= high:
            raise ValueError(f"give a whole number from {low} to {high}")
        return int(text)

    return read


def choice(*choices: str) -> Callable[[str], str]:
    """A reader of one word out of a few."""

    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(f"give {' or '.join(choices)}")
        return text

    return read
