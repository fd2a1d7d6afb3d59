"""Waiting for conditions, never for durations."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_never = threading.Event()


def wait_for(condition: Callable[[], T], within: float = 30.0, what: str = "") -> T:
    """The first truthy value of `condition`; fails when `within` seconds pass without one."""
    deadline = time.monotonic() + within
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {within:g} s: {what or condition}"
        _never.wait(0.01)
    return value
