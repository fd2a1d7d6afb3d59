"""What the registry's tests share: patient waiting, and the registry's own threads under a deadline."""

import threading
import time
from collections.abc import Callable

from mesh.registry import Entry, Event, Put, Synced, Watch

DEADLINE = 30.0  # seconds


def take(watch: Watch) -> Event:
    """The next event, which must come."""
    event = watch.get(DEADLINE)
    assert event is not None, "the watch gave nothing"
    return event


def take_snapshot(watch: Watch) -> tuple[list[Entry], int]:
    """The entries until `Synced`, and its revision."""
    entries = []
    while not isinstance(event := take(watch), Synced):
        assert isinstance(event, Put)
        entries.append(event.entry)
    return entries, event.revision


def exhaust(watch: Watch) -> None:
    """Read until the watch is closed."""
    while watch.get() is not None:
        continue


def until(condition: Callable[[], object], what: str) -> None:
    """Wait until `condition` holds."""
    end = time.monotonic() + DEADLINE
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < end, f"not within {DEADLINE:g} s: {what}"
        pause.wait(0.01)
