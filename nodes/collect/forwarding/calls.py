"""What other threads tell a forwarder: what was recorded, what was removed, what has come to the other end.

Rules kept here: whoever calls leaves a note and goes on; notes of one file are one, however many come; the
forwarder is idle when nothing was told that it has not worked off.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

from mesh.recordings.index import SegmentRow


@dataclass(frozen=True, slots=True)
class Told:
    """Files as the index has them, by path; files that are not kept any more; numbers of frames."""

    rows: dict[str, SegmentRow] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    settled: list[int] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.rows or self.gone or self.settled)


class Calls:
    """Every method but `take` and `rest` is for any thread. `waiting` is set while somebody called, and by
    who wants the forwarder to look around."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told = Told()
        self._idle = False
        self.waiting = threading.Event()

    def recorded(self, rows: Iterable[SegmentRow]) -> None:
        with self._lock:
            self._told.rows.update((row.path, row) for row in rows)
            self._idle = False
        self.waiting.set()

    def removed(self, paths: Iterable[str]) -> None:
        with self._lock:
            self._told.gone.extend(paths)
            self._idle = False
        self.waiting.set()

    def settled(self, numbers: Iterable[int]) -> None:
        with self._lock:
            self._told.settled.extend(numbers)
            self._idle = False
        self.waiting.set()

    @property
    def idle(self) -> bool:
        """Whether all that was told is worked off."""
        with self._lock:
            return self._idle

    def take(self) -> Told:
        """What was told since the last time."""
        with self._lock:
            told, self._told = self._told, Told()
        return told

    def rest(self) -> bool:
        """What was taken is worked off; whether nothing came meanwhile."""
        with self._lock:
            self._idle = not self._told
            return self._idle
