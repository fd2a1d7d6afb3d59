"""Results of one (stage, camera, boot) put back in order. Pure: items in, items out, time as an argument.

A sender numbers its results of a stream without gaps (`run`, `n`), so a hole in `n` is a result that is still
on its way, and what came after it is held back for a while.

Rules kept here: every item that is offered is released once; items leave in order of `seq`, unless the one
before them is missing for longer than the deadline or too much is held: then what is held longest goes, with
all before it; what comes after a later one was released is released at once, as late. Bounded.
"""

import heapq
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")

HELD_S = 2.0
HELD_ITEMS = 256
HELD_BYTES = 32 * 1024 * 1024
RUNS_KEPT = 8
BEYOND_KEPT = 16 * HELD_ITEMS

Place = tuple[float, int]  # seq, part; a stream's end is at infinity
END: Place = (float("inf"), 0)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long items are held back at most, in seconds, and how much: items, and their bytes."""

    seconds: float = HELD_S
    items: int = HELD_ITEMS
    bytes: int = HELD_BYTES


DEFAULT_BOUNDS = Bounds()


@dataclass(frozen=True, slots=True, eq=False)
class Released(Generic[T]):
    """An item whose turn has come; `late` when a later one went before it. `newest` was the place of the
    newest one that went before it."""

    item: T
    late: bool
    run: int
    n: int
    newest: Place


@dataclass(slots=True, eq=False)
class _Held(Generic[T]):
    place: Place
    run: int
    n: int
    size: int
    due: float
    item: T
    gone: bool = False


@dataclass(slots=True)
class _Run:
    """One sender's run: the first `n` that has not come, and those that came beyond it."""

    expected: int = 0
    beyond: set[int] = field(default_factory=set)

    def arrive(self, n: int) -> None:
        if n == self.expected and not self.beyond:
            self.expected += 1
            return
        if n >= self.expected:
            self.beyond.add(n)
            self._follow()
        if len(self.beyond) > BEYOND_KEPT:
            self.skip_to(min(self.beyond))

    def skip_to(self, n: int) -> None:
        """What is missing below `n` is no longer waited for."""
        if n > self.expected:
            self.expected = n
            self.beyond = {each for each in self.beyond if each >= n}
            self._follow()

    def back_to(self, n: int, beyond: Iterable[int]) -> None:
        """`n` is missing after all; those `beyond` it are there."""
        if n < self.expected:
            self.expected = n
            self.beyond.update(each for each in beyond if each > n)

    def _follow(self) -> None:
        while self.expected in self.beyond:
            self.beyond.remove(self.expected)
            self.expected += 1


class Reorder(Generic[T]):
    """The buffer of one stream. `expected` is the next `n` by run, where that is known; else it is 0."""

    def __init__(self, bounds: Bounds = DEFAULT_BOUNDS, expected: Mapping[int, int] | None = None) -> None:
        self._bounds = bounds
        self._runs = OrderedDict((run, _Run(n)) for run, n in (expected or {}).items())
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

    def offer(self, item: T, place: Place, run: int, n: int, size: int, now: float) -> None:
        """Take in an item of `size` bytes. An end of stream (place `END`) has no `n` of its own: it carries
        the count of the results before it."""
        if place != END:
            self._run(run).arrive(n)
        held = _Held(place, run, n, size, now + self._bounds.seconds, item)
        heapq.heappush(self._heap, (place, self._offered, held))
        self._by_age.append(held)
        self._offered += 1
        self.items += 1
        self.bytes += size

    def straight(self, item: T, place: Place, run: int, n: int) -> Released[T] | None:
        """The item, released at once, when nothing is missing before it, as is the rule; else `offer` it."""
        state = self._runs.get(run)
        if self._heap or state is None or state.expected != n or place <= self._newest or place == END:
            return None
        released = Released(item, False, run, n, self._newest)
        self._run(run).arrive(n)
        self._newest = place
        return released

    def skip(self, run: int, n: int) -> None:
        """A result that came and needs no place: it was recorded before."""
        self._run(run).arrive(n)

    def refused(self, released: Released[T]) -> None:
        """What was just released could not be kept: it is expected again, and what comes after it waits."""
        self._newest = min(self._newest, released.newest)
        held = (each.n for _, _, each in self._heap if each.run == released.run and each.place != END)
        self._run(released.run).back_to(released.n, held)

    def release(self, now: float) -> Iterator[Released[T]]:
        """The items whose turn has come, one after the other."""
        while self._heap and (self._is_next(self._heap[0][2]) or self._is_pressed(now)):
            yield self._pop()

    def release_all(self) -> Iterator[Released[T]]:
        """Everything, in order, whatever is missing."""
        while self._heap:
            yield self._pop()

    def _is_next(self, held: _Held[T]) -> bool:
        """Whether nothing before it is missing: its run has come up to it, itself included."""
        expected = self._runs[held.run].expected if held.run in self._runs else held.n
        return held.place < self._newest or held.n < expected + (held.place == END)

    def _is_pressed(self, now: float) -> bool:
        over = self.items > self._bounds.items or self.bytes > self._bounds.bytes
        return over or self._by_age[0].due <= now

    def _pop(self) -> Released[T]:
        place, _, held = heapq.heappop(self._heap)
        held.gone = True
        while self._by_age and self._by_age[0].gone:
            self._by_age.popleft()
        self.items -= 1
        self.bytes -= held.size
        released = Released(held.item, place < self._newest, held.run, held.n, self._newest)
        if place != END:
            self._newest = max(self._newest, place)
            self._run(held.run).skip_to(held.n + 1)
        return released

    def _run(self, run: int) -> _Run:
        state = self._runs.setdefault(run, _Run())
        self._runs.move_to_end(run)
        while len(self._runs) > RUNS_KEPT:
            self._runs.popitem(last=False)
        return state
