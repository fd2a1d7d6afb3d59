"""What of the recordings is to go. Pure.

Rules kept here: the oldest go first, and no more than the limits ask for; what is locked or still open never
goes; where what is locked (or, on the disk, what is no recording) passes a limit alone, nothing goes for that
limit's sake, as it would help nobody, and that is said; age is counted by a clock that does not leap.

A recording is as old as its newest frame, by its camera's clock; one whose times lie in the future, as that
clock was wrong, is as old as when it was first seen: it neither goes before its time nor stays for ever.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from operator import attrgetter

from mesh.recordings.limits import DAY_NS, Keep, size_text

MOST = 1024  # recordings that go at a time; then it is looked again
LEAP_NS = 3600 * 1_000_000_000  # what a clock may be ahead without being doubted
STEADY_S = 12 * 3600.0

_AGE = attrgetter("last_ns", "path")


@dataclass(frozen=True, slots=True)
class Stored:
    """A recording that is closed: where it is, the time by which its age is counted, which is that of its
    newest frame unless that lies in the future, and the bytes of its files."""

    path: str
    camera: str
    last_ns: int
    bytes: int
    locked: bool = False


@dataclass(frozen=True, slots=True)
class Used:
    """Bytes of a camera's recordings: of those that are closed, and of those still open."""

    closed: int = 0
    open: int = 0


@dataclass(frozen=True, slots=True)
class Disk:
    """Bytes of the disk: those that a user may still take, and all."""

    free: int
    total: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to go, in that order; whether there may be `more` once it is gone; and why a limit cannot be
    kept (empty: all can)."""

    remove: tuple[Stored, ...]
    more: bool
    why: str


Oldest = Callable[[str], Iterable[Stored]]


def decide(
    used: Mapping[str, Used], oldest: Oldest, keep: Keep, disk: Disk, now_ns: int, most: int = MOST
) -> Verdict:
    """What is to go.

    used:    by camera
    oldest:  a camera's closed recordings, the oldest first (by `last_ns`, then path)
    now_ns:  as `believe` gives it
    """
    choice = _Choice(used, oldest, most)
    for camera in sorted(used):
        if (days := keep.days(camera)) is not None:
            choice.older_than(camera, now_ns - int(days * DAY_NS))
    for camera, limits in sorted(keep.cameras.items()):
        if limits.bytes is not None and camera in used:
            told = f"{size_text(limits.bytes)} of camera {camera}"
            choice.beyond([camera], choice.held([camera]) - limits.bytes, told, LOCKED)
    if (limit := keep.overall.bytes) is not None:
        choice.beyond(list(used), choice.held(used) - limit, f"{size_text(limit)} in all", LOCKED)
    if keep.free is not None:
        lacking = keep.free.of(disk.total) - disk.free - choice.gone.total()
        choice.beyond(list(used), lacking, f"{keep.free} free", OTHERS)
    return choice.verdict()


LOCKED = "what is locked takes more: unlock some, or allow more"
OTHERS = "what is locked, or is no recording, takes too much: make room on the disk, or allow less"


class _Choice:
    """What was chosen so far. When it is as much as may go at a time, all later rules wait."""

    def __init__(self, used: Mapping[str, Used], oldest: Oldest, most: int) -> None:
        self._used, self._oldest, self._most = used, oldest, most
        self._chosen: dict[str, Stored] = {}
        self._whys: list[str] = []
        self._more = False
        self.gone: Counter[str] = Counter()  # bytes of what was chosen, by camera

    def held(self, cameras: Iterable[str]) -> int:
        """Bytes of some cameras' recordings without what was chosen."""
        return sum(self._used[each].closed + self._used[each].open - self.gone[each] for each in cameras)

    def older_than(self, camera: str, first_ns: int) -> None:
        """Choose what ended before a time."""
        if not self._more:
            old = takewhile(lambda each: each.last_ns < first_ns, self._oldest(camera))
            self._take(each for each in old if not each.locked)

    def beyond(self, cameras: Iterable[str], excess: int, limit: str, why: str) -> None:
        """Choose the oldest recordings of some cameras that take so many bytes."""
        if self._more or excess <= 0:
            return
        cameras = list(cameras)
        picked: list[Stored] = []
        for each in self._left(cameras):
            if excess <= 0:
                break
            excess -= each.bytes
            if len(picked) <= self._most:
                picked.append(each)
        if excess > sum(self._used[camera].open for camera in cameras):
            self._whys.append(f"cannot keep {limit}: {why}")
        else:
            self._take(picked)

    def verdict(self) -> Verdict:
        return Verdict(tuple(self._chosen.values()), self._more, "; ".join(self._whys))

    def _left(self, cameras: Iterable[str]) -> Iterator[Stored]:
        """What may still go of some cameras, the oldest first."""
        for each in heapq.merge(*map(self._oldest, cameras), key=_AGE):
            if not each.locked and each.path not in self._chosen:
                yield each

    def _take(self, what: Iterable[Stored]) -> None:
        for each in what:
            if len(self._chosen) >= self._most:
                self._more = True
                return
            self._chosen[each.path] = each
            self.gone[each.camera] += each.bytes


@dataclass(frozen=True, slots=True)
class Believed:
    """The time by which age is counted, as of a moment (monotonic): the wall clock, or what it should show
    while it is `ahead_ns` of that and has been since `since`."""

    now_ns: int
    at: float
    ahead_ns: int = 0
    since: float = 0.0


def believe(before: Believed, wall_ns: int, at: float) -> Believed:
    """The time by which age is counted.

    A clock that leaps forward would have everything be too old at once. So one that is more than an hour
    ahead of what has passed since it was last looked at is not believed until it has been steady for half a
    day; a false one is put right before that. A clock that was set back makes nothing older: it is believed.

    A collector that was off for a while finds its clock ahead, too: what is too old goes half a day later.
    """
    due_ns = before.now_ns + int((at - before.at) * 1e9)
    ahead_ns = wall_ns - due_ns
    if ahead_ns <= LEAP_NS:
        return Believed(wall_ns, at)
    is_steady = before.ahead_ns and abs(ahead_ns - before.ahead_ns) <= LEAP_NS
    since = before.since if is_steady else at
    return Believed(wall_ns, at) if at - since >= STEADY_S else Believed(due_ns, at, ahead_ns, since)
