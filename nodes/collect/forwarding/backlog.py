"""What is to be forwarded to one destination, in which order, and what of it is done. Pure.

Rules kept here: a stream (camera and stage) goes in the order in which it was recorded, and streams take
turns, so that one with hours to fill in does not hold up the others; of each stream a few segments are in
memory, however many wait; a segment's frames are done from the first on without a hole, or are not done.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from nodes.collect.forwarding.source import Mark

Stream = tuple[str, str]  # camera, stage

LOADED = 16  # segments of a stream that are taken into memory at a time


@dataclass(slots=True, eq=False)
class Segment:
    """A recorded file.

    frames:   that are safe in it; it may have more while it is `open`
    offered:  leading frames that were handed on, or could not be
    done:     leading frames that are done; `ahead` are those that are done behind one that is not
    """

    stream: Stream
    number: int
    path: str
    frames: int
    done: int
    open: bool
    mark: Mark = field(default_factory=Mark)
    offered: int = field(init=False)
    ahead: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.offered = self.done

    def settle(self, index: int) -> bool:
        """A frame is done; whether it was not before."""
        if index < self.done or index in self.ahead:
            return False
        self.ahead.add(index)
        while self.done in self.ahead:
            self.ahead.remove(self.done)
            self.done += 1
        return True

    @property
    def is_over(self) -> bool:
        """Whether nothing of it is to be done any more."""
        return self.done >= self.frames and not self.open


@dataclass(slots=True)
class _Queue:
    """A stream's segments in memory, by number; `last` is the highest so far, and `more` whether there may be
    others beyond it."""

    segments: "OrderedDict[int, Segment]" = field(default_factory=OrderedDict)
    last: int = 0
    more: bool = True

    def ready(self) -> Segment | None:
        """The first of which something is to be handed on."""
        return next((each for each in self.segments.values() if each.offered < each.frames), None)


class Backlog:
    """The streams of one destination. Not for two threads at a time."""

    def __init__(self, streams: Iterable[Stream] = ()) -> None:
        self._queues: dict[Stream, _Queue] = {}
        self._turns: OrderedDict[Stream, None] = OrderedDict()
        self._by_path: dict[str, Segment] = {}
        for stream in streams:
            self.expect(stream)

    def __repr__(self) -> str:
        return f"<Backlog {len(self._by_path)} segments of {len(self._queues)} streams>"

    def expect(self, stream: Stream) -> None:
        """There may be segments of a stream that are not in memory."""
        self._queues.setdefault(stream, _Queue()).more = True
        self._turns.setdefault(stream)

    def load(self, stream: Stream, segments: Iterable[Segment], last: int | None) -> None:
        """Take in a stream's next segments; there may be more behind the number `last`, where that is one."""
        queue = self._queues[stream]
        for segment in segments:
            queue.segments[segment.number] = self._by_path[segment.path] = segment
            queue.last = max(queue.last, segment.number)
        queue.last, queue.more = max(queue.last, last or 0), last is not None

    def turn(self) -> Iterator[tuple[Stream, Segment | None, int]]:
        """Streams that have something, or may have, each once, in turns: the segment that is next, or None
        and the number behind which to look for more. Which of them has nothing rests until that changes."""
        for stream in list(self._turns):
            queue = self._queues[stream]
            if (segment := queue.ready()) is None and not queue.more:
                del self._turns[stream]
                continue
            self._turns.move_to_end(stream)
            yield stream, segment, queue.last

    def rest(self, stream: Stream) -> None:
        """Leave a stream out until it is expected, or grows."""
        self._turns.pop(stream, None)

    def of(self, path: str) -> Segment | None:
        """A segment that is in memory."""
        return self._by_path.get(path)

    def grow(self, segment: Segment, frames: int, *, is_open: bool) -> int:
        """A segment holds so many frames now; how many more than before."""
        more, segment.frames, segment.open = frames - segment.frames, frames, is_open
        if segment.offered < frames:
            self._turns.setdefault(segment.stream)
        self.tidy(segment)
        return more

    def cut(self, segment: Segment) -> int:
        """No more is to be had of a segment than was handed on; how many frames that leaves out."""
        left, segment.frames, segment.open = segment.frames - segment.offered, segment.offered, False
        self.tidy(segment)
        return left

    def tidy(self, segment: Segment) -> None:
        """Forget a segment that is over."""
        if segment.is_over and self._by_path.pop(segment.path, None) is not None:
            del self._queues[segment.stream].segments[segment.number]
