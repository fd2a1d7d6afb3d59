"""How a process node is doing: whether frames come and go right, and how many it could take.

Rules kept here: a frame costs two looks at the clock and two additions; what is told of the capacity changes
slowly (see `mesh.placement.weights`).
"""

import threading
from collections.abc import Callable

from mesh.placement import CapacityReport
from mesh.registry.records import NodeState
from mesh.stats import Rarely

DEGRADED_AFTER = 3


class Health:
    """How a node is, over all workers: how many frames in a row went wrong, what does not come, and whether
    it is paused.

    show:  is told of each new state
    """

    def __init__(self, show: Callable[[NodeState, str], None]) -> None:
        self._show = show
        self._lock = threading.Lock()
        self._rarely = Rarely()
        self._in_a_row = 0
        self._paused = False
        self._error = self._lack = ""

    def unwell(self, error: str, now: float) -> int | None:
        """A frame went wrong. Whether it is time to say so, and how many have not been said since."""
        with self._lock:
            self._in_a_row += 1
            if self._in_a_row >= DEGRADED_AFTER:
                self._error = error
                self._tell()
        return self._rarely.ready(now)

    def well(self) -> None:
        """A frame went right."""
        if not self._in_a_row:
            return
        with self._lock:
            self._in_a_row, self._error = 0, ""
            self._tell()

    def rests(self, paused: bool) -> None:
        """Somebody asked for a pause, or for its end."""
        with self._lock:
            self._paused = paused
            self._tell()

    def lacks(self, why: str) -> None:
        """Something does not come; with an empty `why` all does again."""
        with self._lock:
            self._lack = why
            self._tell()

    def _tell(self) -> None:
        why = self._error or self._lack
        well = NodeState.PAUSED if self._paused else NodeState.RUNNING
        self._show(NodeState.DEGRADED if why and not self._paused else well, why)


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
