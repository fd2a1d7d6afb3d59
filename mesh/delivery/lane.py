"""What goes to one collector: results to be sent, oldest first, and those in flight, which are bounded."""

import heapq

from mesh.delivery.result import NEVER, Result

FLIGHT_RESULTS = 1024
FLIGHT_BYTES = 16 * 1024 * 1024


class Lane:
    """max_bytes, max_results:  of what is sent and not acknowledged; one result may always go"""

    def __init__(self, max_bytes: int, max_results: int, heard_at: float = NEVER) -> None:
        self.heard_at = heard_at
        self._max_bytes = min(max_bytes, FLIGHT_BYTES)
        self._max_results = min(max_results, FLIGHT_RESULTS)
        self._waiting: list[Result] = []  # a heap; what left it meanwhile is passed over
        self._flying: dict[int, Result] = {}
        self._bytes = 0

    @property
    def room(self) -> tuple[int, int]:
        """Bytes and results that may still be sent."""
        return self._max_bytes - self._bytes, self._max_results - len(self._flying)

    @property
    def is_half_empty(self) -> bool:
        space, room = self.room
        return 2 * space >= self._max_bytes and 2 * room >= self._max_results

    def is_full(self, size: int) -> bool:
        """Whether a result of so many bytes has to wait."""
        space, room = self.room
        return room <= 0 or (bool(self._flying) and size > space)

    def queue(self, result: Result) -> None:
        heapq.heappush(self._waiting, result)

    def first(self, opened: dict[int, Result]) -> Result | None:
        """The oldest that is to be sent. Those that are not `opened` any more were acknowledged late, given
        up, or moved to disk."""
        while (waiting := self._waiting) and (
            opened.get(waiting[0].number) is not waiting[0] or waiting[0].sent_to is not None
        ):
            heapq.heappop(waiting)
        return waiting[0] if waiting else None

    def take_off(self, result: Result) -> None:
        """It has been sent."""
        self._flying[result.number] = result
        self._bytes += result.size

    def land(self, result: Result) -> None:
        """It is no longer in flight, whatever became of it."""
        if self._flying.pop(result.number, None) is not None:
            self._bytes -= result.size

    def late(self, now: float, after_s: float) -> list[Result]:
        """What should have been acknowledged by now: after silence, or after much longer than that."""
        return [
            r
            for r in self._flying.values()
            if now - max(r.sent_at, self.heard_at) >= after_s or now - r.sent_at >= 5 * after_s
        ]
