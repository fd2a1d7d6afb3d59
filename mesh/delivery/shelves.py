"""What is on disk only, by stream: how much of it, and from which number on."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from mesh.delivery.result import Result, Stream


@dataclass(slots=True)
class _Shelf:
    """Results and their frames, none with a number below `first`."""

    first: int
    results: int = 0
    frames: int = 0


class Shelves:
    """Not the results themselves: those are in the spool."""

    def __init__(self) -> None:
        self._shelves: dict[Stream, _Shelf] = {}

    def __len__(self) -> int:
        """Results."""
        return sum(shelf.results for shelf in self._shelves.values())

    def frames(self) -> Iterator[tuple[Stream, int]]:
        return ((stream, shelf.frames) for stream, shelf in self._shelves.items() if shelf.frames)

    def find(self, stream: Stream, results: int, frames: int) -> None:
        """So much of a stream was there from the start."""
        self._shelves[stream] = _Shelf(0, results, frames)

    def put(self, result: Result) -> None:
        shelf = self._shelves.setdefault(result.stream, _Shelf(result.number))
        shelf.first = min(shelf.first, result.number)
        shelf.results += 1
        shelf.frames += result.frames

    def take(self, result: Result) -> None:
        shelf = self._shelves[result.stream]
        shelf.results -= 1
        shelf.frames -= result.frames

    def taken_below(self, streams: Iterable[Stream], number: int) -> None:
        """None of these streams has anything below `number` any more."""
        for stream in streams:
            self._shelves[stream].first = max(self._shelves[stream].first, number)

    def is_behind(self, result: Result) -> bool:
        """Whether something of the result's stream that may be older is here."""
        shelf = self._shelves.get(result.stream)
        return shelf is not None and shelf.results > 0 and result.number >= shelf.first

    def wanted(self, is_wanted: Callable[[Stream], bool]) -> tuple[frozenset[Stream], int]:
        """Of the streams that are wanted those of which something is here, and the lowest number."""
        found = {stream: s for stream, s in self._shelves.items() if s.results and is_wanted(stream)}
        return frozenset(found), min((shelf.first for shelf in found.values()), default=0)

    def clear(self) -> None:
        self._shelves.clear()
