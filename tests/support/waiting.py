"""Waiting for conditions, never for durations."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

WITHIN_S = 60.0
PATIENCE_S = 20.0  # with a registry, which may be starting on a busy machine
LOOK_EVERY_S = 0.02

_never = threading.Event()


def wait_for(condition: Callable[[], T], what: str = "", within: float = WITHIN_S) -> T:
    """The first truthy value of `condition`; fails when `within` seconds pass without one."""
    deadline = time.monotonic() + within
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {within:g} s: {what or 'the condition'}"
        _never.wait(LOOK_EVERY_S)
    return value
