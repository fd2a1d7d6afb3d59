"""Presentation times: from a stream's own units to nanoseconds that begin at 0.

Rules kept here: pure arithmetic in whole numbers; a file's times only ever rise, through gaps, repeated
stamps and new rounds; a live stream's times are passed on as they are, None where it has none.
"""

from fractions import Fraction

_NS = 1_000_000_000
_ASSUMED_FPS = 25.0


class Timeline:
    """The presentation times of one stream. `time_base` is in seconds per unit, `fps` 0 where unknown."""

    def __init__(self, time_base: Fraction | None, fps: float, live: bool = False) -> None:
        self._ns_per_unit = (time_base or Fraction(1, _NS)) * _NS
        self._period_ns = round(_NS / (fps or _ASSUMED_FPS))
        self._live = live
        self._first: int | None = None
        self._base = 0
        self._next = 0
        self._count = 0

    def stamp(self, pts: int | None) -> int | None:
        """Nanoseconds since the first picture. A file's picture without a time follows the last one."""
        self._count += 1
        if pts is None and self._live:
            return None
        if self._first is None:
            self._first = pts
        since = None if pts is None or self._first is None else round((pts - self._first) * self._ns_per_unit)
        if self._live:
            return since
        return self._rising(self._next if since is None else self._base + since)

    def begin_again(self) -> bool:
        """The file starts over: times go on from here. False when the last round held no picture."""
        held, self._count = self._count > 0, 0
        self._first, self._base = None, self._next
        return held

    def _rising(self, ns: int) -> int:
        ns = max(ns, self._next - self._period_ns + 1 if self._next else 0)
        self._next = ns + self._period_ns
        return ns
