"""The sending window: results that no collector has acknowledged yet. Pure: no sockets, no clock of its own.

Rules kept here: a result stays until it is acknowledged or given up, and both are told; each camera has one
collector at a time, chosen by rendezvous; results of a collector that left go to the next, in order; the
window is bounded in bytes and in number, and when it is full the oldest result goes, one that was never
sent before one that may have arrived.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from mesh.placement import rendezvous

Stream = tuple[str, str, int]  # stage, camera, boot


class GiveUp(StrEnum):
    """Why a result was not delivered."""

    OVERFLOW = "overflow"  # the window was full
    CLOSED = "closed"  # the sender ended before a collector acknowledged it


@dataclass(slots=True, eq=False)
class Result:
    """One numbered message; `sent_to` and `sent_at` say where and when (monotonic) it went last."""

    number: int
    stream: Stream
    frames: int  # 1, or 0 for the end of a stream
    parts: Sequence[Any]
    size: int
    sent_to: str | None = None
    sent_at: float = 0.0


@dataclass(slots=True)
class _Lane:
    """What goes to one collector: results to be sent, and when it was last heard of."""

    waiting: deque[Result] = field(default_factory=deque)
    heard_at: float = float("-inf")


class Window:
    def __init__(self, max_bytes: int, max_results: int, resend_after_s: float) -> None:
        self._max_bytes = max_bytes
        self._max_results = max_results
        self._resend_after_s = resend_after_s
        self._next_number = 0
        self._bytes = 0
        self._open: dict[int, Result] = {}  # every result that is not acknowledged, oldest first
        self._given_up: dict[int, Result] = {}  # sent, given up, and perhaps acknowledged yet
        self._homeless: deque[Result] = deque()
        self._lanes: dict[str, _Lane] = {}

    def __len__(self) -> int:
        return len(self._open)

    def __repr__(self) -> str:
        return f"<Window {len(self._open)} results, {self._bytes} bytes, to {sorted(self._lanes)}>"

    @property
    def collectors(self) -> frozenset[str]:
        return frozenset(self._lanes)

    def offer(self, stream: Stream, frames: int, parts: Sequence[Any]) -> list[Result]:
        """Take in a result and number it; give those that had to go to make room for it."""
        result = Result(self._next_number, stream, frames, parts, sum(map(len, parts)))
        self._next_number += 1
        gone = self._make_room(result.size)
        self._open[result.number] = result
        self._bytes += result.size
        self._assign(result)
        return gone

    def set_collectors(self, collectors: Iterable[str]) -> None:
        """The collectors that live now. What belonged to one that left is assigned anew, in order."""
        wanted = set(collectors)
        if wanted == set(self._lanes):
            return
        self._lanes = {name: self._lanes.get(name, _Lane()) for name in sorted(wanted)}
        for lane in self._lanes.values():
            lane.waiting.clear()
        self._homeless.clear()
        for result in self._open.values():
            if result.sent_to is None or result.sent_to != self._owner(result):
                result.sent_to = None
                self._assign(result)

    def waiting(self, collector: str) -> Result | None:
        """The next result to send to a collector."""
        waiting = self._lanes[collector].waiting
        while waiting and (waiting[0].number not in self._open or waiting[0].sent_to is not None):
            waiting.popleft()  # acknowledged late, or given up
        return waiting[0] if waiting else None

    def sent(self, result: Result, collector: str, now: float) -> None:
        """The result that `waiting` gave has been handed to the socket."""
        self._lanes[collector].waiting.popleft()
        result.sent_to, result.sent_at = collector, now

    def acknowledge(
        self, collector: str, numbers: Iterable[int], now: float
    ) -> tuple[list[Result], list[Result]]:
        """Results acknowledged for the first time, and those among them that had been given up."""
        if collector in self._lanes:
            self._lanes[collector].heard_at = now
        delivered, revived = [], []
        for number in numbers:
            if (result := self._open.pop(number, None)) is not None:
                self._bytes -= result.size
                delivered.append(result)
            elif (late := self._given_up.pop(number, None)) is not None:
                revived.append(late)
        return delivered + revived, revived

    def resend(self, now: float) -> int:
        """Queue again what a collector should have acknowledged by now and did not; how many."""
        late = [r for r in self._open.values() if r.sent_to and self._is_late(r, r.sent_to, now)]
        for result in reversed(late):
            lane = self._lanes[str(result.sent_to)]
            result.sent_to = None
            lane.waiting.appendleft(result)
        return len(late)

    def give_up_all(self) -> list[Result]:
        """Empty the window; what was in it."""
        gone = list(self._open.values())
        self._open.clear()
        self._bytes = 0
        return gone

    def _is_late(self, result: Result, collector: str, now: float) -> bool:
        silent_since = max(result.sent_at, self._lanes[collector].heard_at)
        return now - silent_since >= self._resend_after_s or now - result.sent_at >= 5 * self._resend_after_s

    def _assign(self, result: Result) -> None:
        owner = self._owner(result)
        (self._lanes[owner].waiting if owner else self._homeless).append(result)

    def _owner(self, result: Result) -> str | None:
        return rendezvous(result.stream[1], self._lanes)

    def _make_room(self, size: int) -> list[Result]:
        gone = []
        while self._open and (len(self._open) >= self._max_results or self._bytes + size > self._max_bytes):
            oldest = next(
                (r for r in self._open.values() if r.sent_to is None), next(iter(self._open.values()))
            )
            del self._open[oldest.number]
            self._bytes -= oldest.size
            if oldest.sent_to is not None:
                oldest.parts = ()
                self._given_up[oldest.number] = oldest
            gone.append(oldest)
        while len(self._given_up) > 4 * self._max_results:
            del self._given_up[next(iter(self._given_up))]
        return gone
