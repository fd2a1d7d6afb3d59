"""How far each partition of a stream has come, to tell whether a result before another may still come.

A partition's results come from one member of a group at a time, in order of `seq`. Where the member changes
(another `run`), what the former one made last may still be on its way: seqs that neither brought are a hole.

Rules kept here: a partition has come up to a seq when every result of it below is here, was given up, or
cannot come any more; it is waited for while it gets on, and a while longer; one that was waited for in vain
is silent, and not waited for until it speaks. It is waited for half as long after each wait in vain, and
twice as long again after one that was of use: something came that belongs before what waited. Pure, and
bounded.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from mesh.recordings.resume import Numbers

ENDED = 1 << 64  # above every seq
NOBODY = -1
NEVER = float("-inf")
LEAST_PATIENCE = 1 / 16
RUNS_AHEAD = 8


@dataclass(slots=True)
class Mark:
    """A partition: it has come up to `seq`, which `run` brought; `ahead` are the first and the last seq of
    each run that speaks from beyond a hole.

    step:      how far two neighbours are apart: the number of partitions
    patience:  the share of the deadline for which it is waited for
    moved:     when it last came further, as far as that was looked at: NEVER before
    """

    step: int
    seq: int
    run: int = NOBODY
    silent: bool = False
    patience: float = 1.0
    moved: float = NEVER
    ahead: dict[int, tuple[int, int]] = field(default_factory=dict)

    def speak(self, seq: int, run: int, last: int) -> None:
        """`run` brought `seq`, and nothing of it before that is missing; `last` is ENDED when that was its
        end, else `seq` again."""
        self.silent = False
        if seq <= self.seq + self.step or self._goes_on(seq, run):
            self._come(last, run)
        else:
            first, newest = self.ahead.get(run, (seq, last))
            self.ahead[run] = min(first, seq), max(newest, last)
        if self.ahead:
            is_much = len(self.ahead) > RUNS_AHEAD
            self.give_up(min(first for first, _ in self.ahead.values()) if is_much else self.seq)

    def give_up(self, upto: int) -> None:
        """Holes up to a seq are not waited for any more: go on with what lies beyond them."""
        while near := [
            run for run, (first, _) in self.ahead.items() if first <= max(upto, self.seq + self.step)
        ]:
            for run in near:
                self._come(self.ahead.pop(run)[1], run)

    def fall_silent(self) -> None:
        self.silent = True
        self.was_in_vain()

    def was_in_vain(self) -> None:
        """It was waited for, and had nothing."""
        self.patience = max(LEAST_PATIENCE, self.patience / 2)

    def was_worth_it(self) -> None:
        """It was waited for, and had something; or should have been, for longer."""
        self.patience = min(1.0, self.patience * 2)

    def _goes_on(self, seq: int, run: int) -> bool:
        """Whether it is the next of the run that spoke last, or the first that anybody brought."""
        if self.run not in (run, NOBODY):
            return False
        return all(seq < first for first, _ in self.ahead.values())

    def _come(self, seq: int, run: int) -> None:
        if seq > self.seq:
            self.seq, self.run = seq, run


class Progress:
    """The marks of all partitions. `partitions` is learned from the first result: 0 until then."""

    def __init__(self, marks: Iterable[tuple[int, int]] = ()) -> None:
        found = list(marks)
        self.marks = [Mark(len(found), seq, run) for run, seq in found]
        self._slowest = 0  # where something was lacking when it was last looked

    def __repr__(self) -> str:
        return f"<Progress {[mark.seq for mark in self.marks]}>"

    @property
    def partitions(self) -> int:
        return len(self.marks)

    def split(self, partitions: int) -> None:
        """The stream has so many partitions."""
        if partitions != len(self.marks):
            self.marks = [Mark(partitions, each - partitions) for each in range(partitions)]

    def resume(self) -> Numbers:
        return tuple((mark.run, mark.seq) for mark in self.marks)

    def of(self, seq: int) -> Mark:
        """The mark of the partition to which `seq` belongs."""
        return self.marks[seq % len(self.marks)]

    def is_next(self, seq: int, run: int) -> bool:
        """Whether `seq` is what comes next of `run` in the only partition; then it has come."""
        if len(self.marks) != 1:
            return False
        mark = self.marks[0]
        if mark.ahead or not (run == mark.run or seq <= mark.seq + 1):
            return False
        if seq > mark.seq:
            mark.seq, mark.run = seq, run
        return True

    def speak(
        self, seq: int, run: int, *, end: bool = False, wanted: int | None = None, now: float = NEVER
    ) -> None:
        """`run` has brought `seq`, or its end before `seq`; `wanted` is what a held result waits for."""
        mark = self.of(seq)
        before = mark.seq
        mark.speak(seq, run, ENDED if end else seq)
        if mark.seq == before:
            return
        mark.moved = max(mark.moved, now)
        if wanted is not None and before < wanted:
            if not end and seq < wanted + len(self.marks):
                mark.was_worth_it()
            elif mark.seq >= wanted:
                mark.was_in_vain()

    def is_up_to(self, seq: int) -> bool:
        """Whether every partition that speaks has come up to `seq`."""
        marks = self.marks
        if self._slowest < len(marks):
            mark = marks[self._slowest]
            if mark.seq < seq and not mark.silent:
                return False
        for at, mark in enumerate(marks):
            if mark.seq < seq and not mark.silent:
                self._slowest = at
                return False
        return True

    def waited_until(self, seq: int, since: float, seconds: float) -> float:
        """Until when those are waited for that have not come up to `seq`: from `since` on, and from when they
        last got on, for their share of the deadline of so many `seconds`."""
        lacking = (mark for mark in self.marks if mark.seq < seq and not mark.silent)
        return max((max(since, mark.moved) + mark.patience * seconds for mark in lacking), default=since)

    def give_up(self, seq: int, *, beside: int) -> None:
        """Those that have not come up to `seq` were waited for in vain; not that of `beside`, which spoke."""
        spoke = self.of(beside)
        for mark in self.marks:
            if mark.seq < seq and not mark.silent:
                mark.give_up(seq)
                if mark.seq < seq and mark is not spoke:
                    mark.fall_silent()

    def end(self, seq: int) -> None:
        """The partition of `seq` has ended, whatever is missing of it."""
        mark = self.of(seq)
        mark.seq, mark.ahead = ENDED, {}

    def go_back(self, seq: int, run: int) -> None:
        """`seq`, which `run` had brought, is missing after all."""
        mark = self.of(seq)
        if mark.seq >= seq:
            mark.seq, mark.run = seq - len(self.marks), run
