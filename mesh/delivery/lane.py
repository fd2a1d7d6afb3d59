"""What goes to one collector: results to be sent, oldest first, and those in flight, which are bounded.

Rules kept here:

- What is in flight and in memory only is bounded as memory is; with what was read back from the spool, at
  FLIGHT_BYTES and FLIGHT_RESULTS, however small memory is: a small window costs no throughput.
- A slow link loses nothing: while acknowledgements come in, only what was skipped is sent again, i.e. what
  was sent before something that has been acknowledged for a while. Each time it waits twice as long.
- After silence everything goes again once, and from then on the oldest alone, after pauses that double,
  until something is heard. How long silence is follows the pauses between acknowledgements.
"""

import heapq
from collections.abc import Iterable

from mesh.delivery.result import NEVER, Place, Result

FLIGHT_RESULTS = 1024
FLIGHT_BYTES = 16 * 1024 * 1024
MAX_PAUSE_S = 30.0


class Pace:
    """How a collector acknowledges, in monotonic seconds; it outlives the lane."""

    def __init__(self) -> None:
        self._heard_at = self._resent_at = NEVER
        self._waited_s = 0.0  # for an acknowledgement, not long ago
        self._silences = 0  # since something was heard
        self._silent_since: float | None = None

    def heard(self, now: float, sent_at: float | None) -> None:
        """Something was acknowledged; `sent_at` tells of the oldest that was in flight."""
        self._waited_s /= 2
        if self._silent_since is not None:
            sent_at = self._silent_since
        if sent_at is not None:
            self._waited_s = max(self._waited_s, now - max(sent_at, self._heard_at))
        self._heard_at, self._silences, self._silent_since = now, 0, None

    def silence(self, now: float, after_s: float, sent_at: float) -> int:
        """Which silence in a row begins now, where the oldest in flight was sent at `sent_at`; 0: none."""
        pause_s = _pause_s(max(after_s, 2 * self._waited_s), self._silences, after_s)
        if now - max(sent_at, self._heard_at, self._resent_at) < pause_s:
            return 0
        self._resent_at = now
        self._silences += 1
        if self._silent_since is None:
            self._silent_since = sent_at
        return self._silences


class Lane:
    """max_bytes, max_results:  of what is in memory only, sent and not acknowledged; one may always go"""

    def __init__(self, max_bytes: int, max_results: int, pace: Pace | None = None) -> None:
        self.pace = pace or Pace()
        self._max_bytes, self._max_results = max_bytes, max_results
        self._waiting: list[Result] = []  # a heap; what left it meanwhile is passed over
        self._flying: dict[int, Result] = {}  # in the order in which they were sent
        self._memory: dict[int, int] = {}  # the sizes of those among them that are in memory only
        self._bytes = self._memory_bytes = 0
        self._sent = 0  # counts what was sent
        self._acked = 0  # the last so far, by that count, to be acknowledged

    @property
    def room(self) -> tuple[int, int]:
        """Bytes and results that may still be sent."""
        return FLIGHT_BYTES - self._bytes, FLIGHT_RESULTS - len(self._flying)

    @property
    def is_half_empty(self) -> bool:
        space, room = self.room
        return 2 * space >= FLIGHT_BYTES and 2 * room >= FLIGHT_RESULTS

    def is_full(self, result: Result) -> bool:
        """Whether a result has to wait."""
        space, room = self.room
        if result.place is not Place.SPOOLED:
            space = min(space, self._max_bytes - self._memory_bytes)
            room = min(room, self._max_results - len(self._memory))
        return room <= 0 or (bool(self._flying) and result.size > space)

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
        self._sent += 1
        result.order, result.overtaken_at = self._sent, None
        self._flying[result.number] = result
        self._bytes += result.size
        if result.place is not Place.SPOOLED:
            self._memory[result.number] = result.size
            self._memory_bytes += result.size

    def land(self, result: Result) -> None:
        """It is no longer in flight, whatever became of it."""
        if self._flying.pop(result.number, None) is not None:
            self._bytes -= result.size
            self._memory_bytes -= self._memory.pop(result.number, 0)

    def heard(self, numbers: Iterable[int], now: float) -> None:
        """The collector acknowledges these, which have not landed yet.

        One that was sent more than once tells nothing of those between: it may be any copy that arrived.
        """
        oldest = next(iter(self._flying.values()), None)
        self.pace.heard(now, oldest.sent_at if oldest else None)
        known = [result for number in numbers if (result := self._flying.get(number)) is not None]
        self._acked = max([self._acked, *(result.order for result in known if not result.resent)])
        for result in self._flying.values():
            if result.order >= self._acked:
                break
            if result.overtaken_at is None:
                result.overtaken_at = now

    def late(self, now: float, after_s: float) -> list[Result]:
        """What should have been acknowledged by now, in the order of sending: see the rules above."""
        oldest = next(iter(self._flying.values()), None)
        if oldest is None:
            return []
        silence = self.pace.silence(now, after_s, oldest.sent_at)
        if silence == 1:
            return [r for r in self._flying.values() if now - r.sent_at >= after_s]
        return [
            r for r in self._flying.values() if (silence and r is oldest) or _was_skipped(r, now, after_s)
        ]


def _was_skipped(result: Result, now: float, after_s: float) -> bool:
    overtaken_at = result.overtaken_at
    return overtaken_at is not None and now - overtaken_at >= _pause_s(after_s, result.resent, after_s)


def _pause_s(pause_s: float, times: int, after_s: float) -> float:
    """A pause, doubled so many times, within reason."""
    return min(pause_s * 2.0 ** min(times, 16), max(after_s, MAX_PAUSE_S))
