"""Results of one (stage, camera, boot) put back in order. Pure: items in, items out, time as an argument.

They come from the members of a group: from one for each partition (`seq % partitions`), at their own speeds,
and a partition moves from one member to another. A sender numbers its results of a stream without gaps
(`run`, `n`), so a hole in `n` is a result that is still on its way, and what came after it is held back; so
is what other partitions have not come up to yet (`progress`).

Rules kept here: every item that is offered is released once; items leave in order of `seq`, unless what is
missing does not come by the deadline or too much is held: then what is held longest goes, with all before it;
what comes after a later one was released is released at once, as late. Bounded.

The deadline of a lossless stream is long, since its frames wait for a slow member. That is for a hole in the
numbers of a sender that is heard, and for a partition that gets on. One that does not, and what lies between
two members of a partition, is waited for no longer than `quiet_seconds`: a stage that filters has nothing
there, one that died never will, and what is held is not acknowledged meanwhile, so that its sender could not
drain.

A partition from which nothing came by the deadline is silent, and costs no more time until it speaks. One
that speaks rarely, because its processors pass little on, would cost a deadline each time: so it is waited
for half as long after each wait in vain, down to a sixteenth, and longer again once waiting was of use, or
would have been.
"""

import heapq
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from mesh.recordings.resume import Resume
from nodes.collect.progress import LEAST_PATIENCE, NEVER, Progress

T = TypeVar("T")

HELD_S = 2.0
LOSSLESS_HELD_S = 30.0  # its window bounds how far one partition can run ahead of another
QUIET_S = 5.0  # above the 3 s after which a sender sends again, below the 10 s in which it drains
HELD_ITEMS = 256
HELD_BYTES = 32 * 1024 * 1024
RUNS_KEPT = 64
BEYOND_KEPT = 16 * HELD_ITEMS

Place = tuple[int, int]  # seq, part; for a partition's end the first seq of it that was not captured


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long items are held back at most, in seconds, and how much: items, and their bytes; and for how
    long at most because of a partition that does not get on."""

    seconds: float = HELD_S
    items: int = HELD_ITEMS
    bytes: int = HELD_BYTES
    lossless_seconds: float = LOSSLESS_HELD_S
    quiet_seconds: float = QUIET_S


DEFAULT_BOUNDS = Bounds()


@dataclass(frozen=True, slots=True, eq=False)
class Released(Generic[T]):
    """An item whose turn has come; `late` when a later one went before it. `newest` was the place of the
    newest one that went before it."""

    item: T
    late: bool
    place: Place
    run: int
    n: int
    newest: Place


@dataclass(slots=True, eq=False)
class _Held(Generic[T]):
    """`limit` is what every partition has to come up to before its turn."""

    place: Place
    run: int
    n: int
    size: int
    came: float
    seconds: float
    item: T
    end: bool = False
    limit: int = 0
    gone: bool = False

    @property
    def due(self) -> float:
        return self.came + self.seconds


@dataclass(slots=True)
class _Run:
    """One sender's run: the first `n` that has not come; the seqs of those that came beyond it, by `n`; and
    its ends, which come behind as many results."""

    expected: int = 0
    heard_at: float = NEVER  # when something of it was held
    beyond: dict[int, int] = field(default_factory=dict)
    ends: list[tuple[int, int]] = field(default_factory=list)

    def arrive(self, n: int, seq: int) -> list[int]:
        """`n` came; the seqs before which nothing is missing now."""
        if n == self.expected and not self.beyond:
            self.expected += 1
            return [seq]
        if n < self.expected:
            return [seq]
        self.beyond[n] = seq
        if len(self.beyond) > BEYOND_KEPT:
            return self.skip_to(min(self.beyond))
        return self._follow()

    def skip_to(self, n: int) -> list[int]:
        """What is missing below `n` is no longer waited for."""
        if n <= self.expected:
            return []
        passed = [self.beyond.pop(each) for each in sorted(self.beyond) if each < n]
        self.expected = n
        return passed + self._follow()

    def ended(self) -> list[int]:
        """The ends before which nothing is missing now; once."""
        done = [seq for n, seq in self.ends if n <= self.expected]
        self.ends = [(n, seq) for n, seq in self.ends if n > self.expected]
        return done

    def back_to(self, n: int, beyond: Mapping[int, int]) -> None:
        """`n` is missing after all; those `beyond` it are there."""
        if n < self.expected:
            self.expected = n
            self.beyond.update({each: seq for each, seq in beyond.items() if each > n})

    def _follow(self) -> list[int]:
        passed = []
        while self.expected in self.beyond:
            passed.append(self.beyond.pop(self.expected))
            self.expected += 1
        return passed


class Reorder(Generic[T]):
    """The buffer of one stream, which goes on where `resume` says. A run that is not known begins at 0."""

    def __init__(self, bounds: Bounds = DEFAULT_BOUNDS, resume: Resume | None = None) -> None:
        resume = resume or Resume()
        self._bounds = bounds
        self._runs = OrderedDict((run, _Run(n)) for run, n in resume.runs)
        self._progress = Progress(resume.marks)
        self._several = False  # whether one frame gave several results: each waits for those beside it, too
        self._heap: list[tuple[Place, int, _Held[T]]] = []
        self._by_age: deque[_Held[T]] = deque()
        self._offered = 0  # tells apart equal places
        self._newest: Place = (-1, 0)
        self.items = 0
        self.bytes = 0

    def __repr__(self) -> str:
        return f"<Reorder {self.items} items, {self.bytes} bytes, expects {self.expected()}>"

    @property
    def due(self) -> float | None:
        """When something has to be released, whatever is missing; None while nothing is held."""
        return self._by_age[0].due if self._by_age else None

    def expected(self) -> dict[int, int]:
        """The next `n` of each run, the run that was heard of last at the end."""
        return {run: state.expected for run, state in self._runs.items()}

    def resume(self) -> Resume:
        """Where another buffer goes on, when all that was released has been kept."""
        return Resume(tuple(self.expected().items()), self._progress.resume())

    def straight(self, item: T, place: Place, run: int, n: int, partitions: int = 1) -> Released[T] | None:
        """The item, released at once, when nothing is missing before it, as is the rule; else `offer` it."""
        state = self._runs.get(run)
        if self._heap or state is None or state.expected != n or place <= self._newest or state.beyond:
            return None
        if partitions != 1 or not self._progress.is_next(place[0], run):
            return None
        released = Released(item, False, place, run, n, self._newest)
        state.expected += 1
        self._runs.move_to_end(run)
        self._newest = place
        return released

    def offer(
        self,
        item: T,
        place: Place,
        run: int,
        n: int,
        size: int,
        now: float,
        *,
        partitions: int = 1,
        lossless: bool = False,
    ) -> None:
        """Take in an item of `size` bytes."""
        wanted = self._wanted()
        self._hold(_Held(place, run, n, size, now, self._patience_s(lossless, run, n), item), partitions)
        self._arrive(run, n, place, wanted, now)

    def offer_end(
        self,
        item: T,
        count: int,
        run: int,
        n: int,
        now: float,
        *,
        partition: int = 0,
        partitions: int = 1,
        lossless: bool = False,
    ) -> None:
        """Take in the end of a partition: the camera's `count` frames were captured, and the sender made `n`
        results of all its partitions before it said so."""
        seq = count + (partition - count) % partitions
        wanted = self._wanted()
        self._hold(
            _Held((seq, 0), run, n, 0, now, self._patience_s(lossless, run, n), item, end=True), partitions
        )
        state = self._run(run)
        state.ends.append((n, seq))
        self._speak(run, state, [], wanted, now)

    def skip(self, run: int, n: int, place: Place, now: float, partitions: int = 1) -> None:
        """A result that came and needs no place: it was recorded before."""
        self._progress.split(partitions)
        self._arrive(run, n, place, self._wanted(), now)

    def refused(self, released: Released[T]) -> None:
        """What was just released could not be kept: it is expected again, and what comes after it waits."""
        seq, run = released.place[0], released.run
        self._newest = min(self._newest, released.newest)
        held = [each for _, _, each in self._heap]
        beyond = {each.n: each.place[0] for each in held if each.run == run and not each.end}
        state = self._run(run)
        state.back_to(released.n, beyond)
        if released.late:
            return
        self._progress.go_back(seq, run)
        for each in held:
            if each.run == run and each.end:
                state.ends.append((each.n, each.place[0]))
            elif each.run != run and self._is_whole(each):
                self._progress.speak(each.place[0], each.run, end=each.end)

    def release(self, now: float) -> Iterator[Released[T]]:
        """The items whose turn has come, one after the other."""
        while self._heap:
            held = self._heap[0][2]
            if not self._is_next(held):
                if self._is_due(held, now):
                    self._progress.give_up(held.limit, beside=held.place[0])
                elif not self._is_full():
                    return
            yield self._pop()

    def release_all(self) -> Iterator[Released[T]]:
        """Everything, in order, whatever is missing."""
        while self._heap:
            yield self._pop()

    def _patience_s(self, lossless: bool, run: int, n: int) -> float:
        """Where nothing is known of a run but that it began before this, another collector may have that."""
        is_known = run in self._runs and self._runs[run].expected > 0
        return self._bounds.lossless_seconds if lossless and (is_known or not n) else self._bounds.seconds

    def _hold(self, held: _Held[T], partitions: int) -> None:
        self._progress.split(partitions)
        seq, part = held.place
        self._several = self._several or part > 0
        held.limit = seq if self._several else seq - partitions + 1
        heapq.heappush(self._heap, (held.place, self._offered, held))
        self._by_age.append(held)
        self._offered += 1
        self.items += 1
        self.bytes += held.size

    def _arrive(self, run: int, n: int, place: Place, wanted: int | None, now: float) -> None:
        state = self._run(run)
        state.heard_at = now
        self._speak(run, state, state.arrive(n, place[0]), wanted, now)

    def _speak(
        self, run: int, state: _Run, seqs: list[int], wanted: int | None = None, now: float = NEVER
    ) -> None:
        """Nothing of `run` is missing before these; `wanted` is what the next item had to wait for."""
        for seq in seqs:
            self._progress.speak(seq, run, wanted=wanted, now=now)
        if state.ends:
            for seq in state.ended():
                self._progress.speak(seq, run, end=True, wanted=wanted, now=now)

    def _wanted(self) -> int | None:
        """What the next item has to wait for."""
        return self._heap[0][2].limit if self._heap else None

    def _is_next(self, held: _Held[T]) -> bool:
        """Whether nothing before it is missing, in its run or in a partition; or it is late already."""
        if held.place < self._newest:
            return True
        return self._is_whole(held) and self._progress.is_up_to(held.limit)

    def _is_whole(self, held: _Held[T]) -> bool:
        """Whether its run has come up to it, itself included."""
        expected = self._runs[held.run].expected if held.run in self._runs else held.n
        return held.n < expected + held.end

    def _is_full(self) -> bool:
        return self.items > self._bounds.items or self.bytes > self._bounds.bytes

    def _is_due(self, held: _Held[T], now: float) -> bool:
        """Whether what is missing before the next item was waited for long enough."""
        if self._by_age[0].due <= now or held.due <= now:
            return True
        seconds = min(held.seconds, self._bounds.quiet_seconds)
        if held.came + LEAST_PATIENCE * seconds > now:
            return False
        if not self._is_whole(held):  # a sender that lives sends what is missing again, before that
            return held.came + seconds <= now and self._run(held.run).heard_at + seconds <= now
        return self._progress.waited_until(held.limit, held.came, seconds) <= now

    def _pop(self) -> Released[T]:
        place, _, held = heapq.heappop(self._heap)
        held.gone = True
        while self._by_age and self._by_age[0].gone:
            self._by_age.popleft()
        self.items -= 1
        self.bytes -= held.size
        if late := place < self._newest:
            self._progress.of(place[0]).was_worth_it()
        released = Released(held.item, late, place, held.run, held.n, self._newest)
        if held.end:
            self._progress.end(place[0])
        elif not late or self._progress.partitions == 1:
            self._newest = max(self._newest, place)
            state = self._run(held.run)
            self._speak(held.run, state, state.skip_to(held.n + 1))
            self._progress.of(place[0]).give_up(place[0])
        return released

    def _run(self, run: int) -> _Run:
        state = self._runs.setdefault(run, _Run())
        self._runs.move_to_end(run)
        while len(self._runs) > RUNS_KEPT:
            self._runs.popitem(last=False)
        return state
