"""What the operations of all kinds of node have in common: arguments checked, settings read, folders told of.

Rules kept here: what is asked for is checked whole before anything is changed; whatever is refused is told in
a line that names what there is.
"""

import math
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mesh.control import ControlRefused

Check = Callable[[Any], Any]  # from a given value to the one to use; raises `ValueError`: what it should be


def check_none(operation: str, arguments: Mapping[str, Any]) -> None:
    """Raises `ControlRefused` where arguments were given."""
    if arguments:
        raise ControlRefused(f"{operation} takes no arguments")


def read_settings(given: Mapping[str, Any], checks: Mapping[str, Check]) -> dict[str, Any]:
    """What to set, by name. Raises `ControlRefused` for what there is not, or cannot be."""
    names = ", ".join(checks)
    if not given:
        raise ControlRefused(f"nothing to set: there are {names}")
    settings = {}
    for name, value in given.items():
        if name not in checks:
            raise ControlRefused(f"there is no {name!r} to set: there are {names}")
        try:
            settings[name] = checks[name](value)
        except ValueError as error:
            raise ControlRefused(f"{name} is {error}, not {value!r}") from None
    return settings


def quality(value: Any) -> int:
    """A JPEG quality. Raises `ValueError`."""
    if type(value) is not int or not 1 <= value <= 100:
        raise ValueError("a whole number from 1 to 100")
    return value


def at_least(least: float, what: str) -> Check:
    """Reads a finite number of `what` that is not below `least`, or None."""

    def check(value: Any) -> float | None:
        if value is None:
            return None
        if type(value) not in (int, float) or not math.isfinite(value) or value < least:
            raise ValueError(f"{what}, {least:g} at least, or none")
        return float(value)

    return check


def folder(path: Path) -> dict[str, Any]:
    """A folder that a node writes to: the room on its disk, in bytes, and whether it can be written to now.
    One that is not there yet is judged by the nearest that is."""
    there = next((p for p in (path, *path.absolute().parents) if p.exists()), Path("/"))
    try:
        total, _, free = shutil.disk_usage(there)
    except OSError:  # it went meanwhile, or its disk does not answer
        total = free = 0
    writable = bool(total) and os.access(there, os.W_OK | os.X_OK)
    return {"path": str(path.absolute()), "free_bytes": free, "total_bytes": total, "writable": writable}
