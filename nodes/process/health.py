"""How a process node is doing: whether frames go right, and how many it could take.

Rules kept here: a frame costs two looks at the clock and two additions; what is told of the capacity changes
slowly (see `mesh.placement.weights`).
"""

import threading

from mesh.placement import CapacityReport
from mesh.stats import Rarely

DEGRADED_AFTER = 3


class Health:
    """How many frames in a row went wrong, over all workers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rarely = Rarely()
        self.in_a_row = 0

    def unwell(self, now: float) -> int | None:
        with self._lock:
            self.in_a_row += 1
        return self._rarely.ready(now)

    def well(self) -> bool:
        """A frame went right; whether that ends a degraded state."""
        if not self.in_a_row:
            return False
        with self._lock:
            before, self.in_a_row = self.in_a_row, 0
        return before >= DEGRADED_AFTER


class Effort:
    """How long processors take over frames, over all workers."""

    def __init__(self, workers: int) -> None:
        self._lock = threading.Lock()
        self._frames, self._busy_s = 0, 0.0
        self._report = CapacityReport(workers)

    def worked(self, seconds: float) -> None:
        """A frame has been through the processors."""
        with self._lock:
            self._frames += 1
            self._busy_s += seconds

    def capacity(self, now: float) -> float:
        """Frames a second that this node could take; 0 while that is not known. For one thread."""
        with self._lock:
            frames, busy_s = self._frames, self._busy_s
        return self._report.look(frames, busy_s, now)
