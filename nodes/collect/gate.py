"""Which frames of a stream are recorded, where that depends on what is found in them. Pure.

A frame in which something is found has the frames recorded that were captured so long before it (the
pre-roll) and after it (the post-roll). What may become a pre-roll is held until it is too old for that.

Rules kept here: no frame within the rolls of one that came in order is left out, whatever its clock does:
time here is that of capture without the steps of the camera's clock; frames leave in the order of their
places; one that comes behind later ones is recorded where it lies within a roll, else held at its place; what
is neither recorded nor held was passed over, and is counted; another choice holds for what was found before,
too: its rolls do, and what it does not look for has none.
"""

from bisect import insort
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Self

from mesh.choice import EVERYTHING, Choice, Takes
from mesh.frame import Frame
from mesh.steps import step_in

FINDS_KEPT = 16  # to tell by whether a late frame is wanted
STEPS_KEPT = 8
FRAME_BYTES, DETECTION_BYTES = 1024, 512  # besides the picture

Place = tuple[int, int]  # seq, part


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """A frame: when it was captured, without the steps of its clock, and when it came (monotonic)."""

    frame: Frame
    at_ns: int
    came: float

    @property
    def place(self) -> Place:
        return self.frame.seq, self.frame.part

    @property
    def bytes(self) -> int:
        """What it takes of memory, about."""
        return len(self.frame.payload) + FRAME_BYTES + DETECTION_BYTES * len(self.frame.detections)


class SteadyTime:
    """When frames of a stream were captured, as a clock says it that is never set."""

    def __init__(self) -> None:
        self.now_ns = self.told_ns = 0  # of the newest frame; and as its clock tells it
        self._newest: Place | None = None
        self._known_seq = -1
        self._ahead: deque[tuple[Place, int]] = deque(
            [((-1, -1), 0)], STEPS_KEPT
        )  # by how much, from when on

    def at(self, frame: Frame) -> int:
        """Nanoseconds; of a frame in order never less than before."""
        place = frame.seq, frame.part
        if self._newest is not None and place < self._newest:
            ahead_ns = next((ns for since, ns in reversed(self._ahead) if since <= place), self._ahead[0][1])
            return min(frame.captured_ns - ahead_ns, self.now_ns)
        before_ns = self._ahead[-1][1]
        ahead_ns = before_ns + self._stepped_ns(frame)
        if self._newest is not None:  # a clock that was set back without a word
            ahead_ns = min(ahead_ns, frame.captured_ns - self.now_ns)
        if ahead_ns != before_ns:
            self._ahead.append((place, ahead_ns))
        self._newest, self.told_ns = place, frame.captured_ns
        self.now_ns = frame.captured_ns - ahead_ns
        return self.now_ns

    def _stepped_ns(self, frame: Frame) -> int:
        """By how much its clock was set since the frame before; several frames tell of one step."""
        step = step_in(frame.attributes) if frame.attributes else None
        if step is None or step.seq <= self._known_seq:
            return 0
        self._known_seq = step.seq
        return int(step.seconds * 1e9)


@dataclass(slots=True)
class Gate:
    """One (stage, camera, boot).

    held:        the frames of which it is not decided yet, in order, and their bytes
    passed:      frames that were passed over
    skipped_at:  when the first of them was captured since the last frame that was recorded, without the steps
                 of its clock; None: none was
    recorded:    the place of the newest frame that was recorded
    pre_s:       how long frames are held
    """

    held: list[Held] = field(default_factory=list)
    bytes: int = 0
    passed: int = 0
    skipped_at: int | None = None
    recorded: Place = (-1, 0)
    pre_s: float = 0.0
    _time: SteadyTime = field(default_factory=SteadyTime)
    _went_on: tuple[int, int] = (0, 0)
    _sought: Choice = EVERYTHING
    _finds: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=FINDS_KEPT))

    @classmethod
    def going_on(cls, since_ns: int, to_ns: int) -> Self:
        """Of a stream of which frames had been `left_out`, as far as that is known."""
        return cls(skipped_at=since_ns or None, _went_on=(since_ns, to_ns))

    def __repr__(self) -> str:
        return f"<Gate holds {len(self.held)}, {self.bytes} bytes; passed over {self.passed}>"

    def is_open(self, choice: Choice, stage: str) -> bool:
        """Whether every frame is recorded, and none waits before it."""
        return choice.takes(stage) is Takes.ALL and not self.held and self.skipped_at is None

    def judge(self, frame: Frame, choice: Choice, came: float) -> list[Held]:
        """What is to be recorded now, in order: nothing, this frame, or it and frames that were held."""
        one = Held(frame, self._time.at(frame), came)
        takes = choice.takes(frame.stage)
        if takes is not Takes.FOUND:
            self.pre_s = 0.0
            self.pass_over(len(self.held))
            if takes is Takes.ALL:
                return [one]
            self._count(one)
            return []
        self.pre_s = choice.pre_s or 0.0
        self._seek(choice)
        self.keep([one])
        wanted = self._wanted(one, choice)
        self._let_go(wanted)
        self._expire(self._time.now_ns - _ns(self.pre_s))
        return wanted

    def keep(self, frames: Iterable[Held]) -> None:
        """Hold frames, each at its place."""
        for each in frames:
            insort(self.held, each, key=lambda held: held.place)
            self.bytes += each.bytes

    def wrote(self, one: Held) -> None:
        """It was recorded."""
        if one.place >= self.recorded:
            self.recorded, self.skipped_at = one.place, None

    def skipped_before(self, one: Held) -> int:
        """Since when frames were left out just before this one (ns), as its clock tells it; 0: none were."""
        if self.skipped_at is None:
            return 0
        return max(1, one.frame.captured_ns - max(0, one.at_ns - self.skipped_at))

    def left_out(self) -> tuple[int, int]:
        """From when to when frames were left out or held since the last one that was recorded, in ns as the
        clock tells it now; zeros: none were."""
        if not self._time.told_ns:
            return self._went_on
        after = (each.at_ns for each in self.held if each.place > self.recorded)
        since_ns = next(after, None) if self.skipped_at is None else self.skipped_at
        if since_ns is None:
            return 0, 0
        told_ns = self._time.told_ns
        return max(1, told_ns - max(0, self._time.now_ns - since_ns)), told_ns

    def pass_over(self, count: int) -> None:
        """The first of what is held are not wanted any more."""
        gone, self.held = self.held[:count], self.held[count:]
        for each in gone:
            self.bytes -= each.bytes
            self._count(each)

    def _expire(self, first_ns: int) -> None:
        """Pass over what is too old to become a pre-roll."""
        old = takewhile(lambda held: held.at_ns < first_ns, self.held)
        self.pass_over(sum(1 for _ in old))

    def _seek(self, choice: Choice) -> None:
        """What was found counts as long as the same is looked for, with the rolls of now."""
        if choice is not self._sought and _aim(choice) != _aim(self._sought):
            self._finds.clear()
        self._sought = choice

    def _wanted(self, one: Held, choice: Choice) -> list[Held]:
        if any(choice.is_met_by(each.label, each.score, each.by) for each in one.frame.detections):
            self._find(one.at_ns)
            return [each for each in self.held if self._is_wanted(each)]
        return [one] if self._is_wanted(one) else []

    def _find(self, at_ns: int) -> None:
        """Something was found then; finds whose rolls touch are one, from the first to the last."""
        first_ns = last_ns = at_ns
        reach_ns = _ns(self._sought.pre_s) + _ns(self._sought.post_s)
        if self._finds and self._finds[-1][0] - reach_ns <= at_ns <= self._finds[-1][1] + reach_ns:
            before_ns, after_ns = self._finds.pop()
            first_ns, last_ns = min(first_ns, before_ns), max(last_ns, after_ns)
        self._finds.append((first_ns, last_ns))

    def _is_wanted(self, one: Held) -> bool:
        pre_ns, post_ns = _ns(self._sought.pre_s), _ns(self._sought.post_s)
        return any(first - pre_ns <= one.at_ns <= last + post_ns for first, last in reversed(self._finds))

    def _let_go(self, frames: list[Held]) -> None:
        if frames:
            gone = set(map(id, frames))
            self.held = [each for each in self.held if id(each) not in gone]
            self.bytes -= sum(each.bytes for each in frames)

    def _count(self, one: Held) -> None:
        self.passed += 1
        if self.skipped_at is None and one.place > self.recorded:
            self.skipped_at = one.at_ns


def _aim(choice: Choice) -> tuple[object, ...]:
    """What has to be found."""
    return choice.mode, choice.labels, choice.score


def _ns(seconds: float | None) -> int:
    return int((seconds or 0.0) * 1e9)
