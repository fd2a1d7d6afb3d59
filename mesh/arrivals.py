"""Which frames of a partition have come, whoever published them.

Pure. Rules kept here: a frame's place is its (seq, part), and has come when a publisher brought it, or what
lies on both sides of it in one stretch: frames that are neighbours (`step` apart, or parts of one). What is
kept is bounded, the newest stretches; a place that is older than these counts as one that has not come, so
that to forget may repeat a frame, and never loses one.
"""

from bisect import bisect_right
from dataclasses import dataclass, field

STRETCHES_KEPT = 128

Place = tuple[int, int]  # seq, part

NOWHERE: Place = (-1, 0)  # before the first


@dataclass(slots=True)
class _Stretch:
    """Neighbours that one publisher's `run` brought, in order."""

    run: int
    first: Place
    last: Place


@dataclass(slots=True)
class Arrivals:
    """The places of one partition of a boot, whose frames are `step` apart. `newest` is the last of them."""

    newest: Place = NOWHERE
    _stretches: list[_Stretch] = field(default_factory=list)  # apart, and in order
    _top: _Stretch = field(default_factory=lambda: _Stretch(-1, NOWHERE, NOWHERE))  # the last of them

    def extend(self, run: int, place: Place, step: int) -> None:
        """Note a place that is newer than all."""
        self.newest, top = place, self._top
        if run == top.run and place[0] - top.last[0] <= step:
            top.last = place
            return
        self._top = _Stretch(run, place, place)
        self._stretches.append(self._top)
        self._forget()

    def fill(self, run: int, place: Place, step: int) -> bool:
        """Note a place behind the newest; False when it has come already."""
        at = bisect_right(self._stretches, place, key=lambda each: each.first)
        before = self._stretches[at - 1] if at else None
        if before is not None and place <= before.last:
            return False
        if before is not None and run == before.run and place[0] - before.last[0] <= step:
            before.last = place
        else:
            self._stretches.insert(at, _Stretch(run, place, place))
            self._forget()
        return True

    def between(self, after: int, before: int, step: int) -> int:
        """How many frames have come whose numbers lie between these two of the partition."""
        clipped = (
            (max(each.first[0], after + step), min(each.last[0], before - step)) for each in self._stretches
        )
        return sum((last - first) // step + 1 for first, last in clipped if first <= last)

    def _forget(self) -> None:
        if len(self._stretches) > STRETCHES_KEPT:
            del self._stretches[0]
