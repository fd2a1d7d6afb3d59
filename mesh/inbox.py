"""The inbox: where messages wait between the network and whoever works on them, and where drops are counted.

Rules kept here: offering never blocks; each stream has its own slot or bounded queue, so that no camera
crowds out another; a stream is worked on by one taker at a time, in order; a lossless stream's frames are
not dropped, because its publisher is told how much `room` there is; one that does not heed it fills
`LOSSLESS_LIMIT` places and no more; every frame that was offered to the stream is in exactly one place:
processed, dropped by a named cause, lost on the link, or in flight.
"""

import math
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.errors import ConfigError
from mesh.frame import EndOfStream, Frame
from mesh.freshness import Freshness
from mesh.wire import Message

DEFAULT_DEPTH = 256
LOSSLESS_DEPTH = 64
LOSSLESS_LIMIT = 4 * LOSSLESS_DEPTH
LATEST_MAX_AGE_S = 1.0
BOOTS_KEPT = 2

StreamKey = tuple[str, str]  # stage, camera
Item = Frame | EndOfStream


class Policy(StrEnum):
    """What a stream's place in the inbox is."""

    LATEST = "latest"  # a slot: the freshest frame; what it replaces is counted `overwritten`
    FIFO = "fifo"  # a bounded queue; when it is full the oldest goes, counted `overflow`
    LOSSLESS = "lossless"  # `fifo`, and a consumer of streams that are lossless: these wait for it


class Cause(StrEnum):
    """Why a frame was dropped."""

    BEFORE_JOIN = "before_join"  # published before this subscription began
    OVERWRITTEN = "overwritten"  # by a newer one, here or in the shared memory that it came in
    UNREADABLE = "unreadable"  # its pixels were in shared memory that cannot be opened here
    OVERFLOW = "overflow"
    LATE = "late"  # it came after a later one of its publisher's
    EXPIRED = "expired"  # older than the limit when its turn came
    DECODE = "decode"  # its image did not decode
    PROCESSOR = "processor"  # a processor raised
    STORAGE = "storage"  # the disk refused it
    ABANDONED = "abandoned"  # still waiting when its subscriber closed


def age_limit(policy: Policy, max_age_s: float | None) -> float | None:
    """How old a frame may be that is handed out, in seconds; None is no limit.

    Where nothing is asked for (None), a second for `latest` and no limit for the others; 0 and infinity ask
    for no limit. Raises `ConfigError` for what is no length of time.
    """
    if max_age_s is None:
        return LATEST_MAX_AGE_S if policy is Policy.LATEST else None
    if not max_age_s >= 0:
        raise ConfigError(f"a greatest age of {max_age_s:g} s is none: give seconds, or 0 for no limit")
    return max_age_s if 0 < max_age_s < math.inf else None


@dataclass(frozen=True, slots=True)
class StreamCount:
    """What became of one stream's frames since `boot`: a snapshot. `offered` is the sum of all the rest, but
    for `duplicates`, which were frames already seen."""

    stage: str
    camera: str
    boot: int
    offered: int
    processed: int
    dropped: Mapping[str, int]
    lost: int
    in_flight: int
    duplicates: int
    ended: bool


@dataclass(slots=True)
class _Ledger:
    """The counts of one stream for one boot, and what tells a gap."""

    boot: int
    expected: dict[int, int] = field(default_factory=dict)  # the next `n`, by publisher's run
    last: tuple[int, int] = (-1, 0)  # (seq, part) of the newest frame
    last_run: int | None = None  # whose that was
    dropped: Counter[str] = field(default_factory=Counter)
    processed: int = 0
    lost: int = 0
    in_flight: int = 0
    duplicates: int = 0
    ended: bool = False

    def arrive(self, message: Message, frame: Frame, joining: bool) -> bool:
        """Account for a frame and the gap before it; False when it is not to be given out."""
        new = message.n >= self.expected.get(message.run, 0)
        place = (frame.seq, frame.part)
        if new:
            self._gap(message, joining, frame.seq - self.last[0] - 1)
            self.expected[message.run] = message.n + 1
        if not new or place <= self.last:
            self._refuse(new and message.run == self.last_run)
            return False
        self.last, self.last_run = place, message.run
        self.in_flight += 1
        return True

    def end(self, message: Message, joining: bool) -> bool:
        """Account for the tail; False when the end was known."""
        if self.ended:
            return False
        self._gap(message, joining, message.n)
        self.expected[message.run] = max(message.n, self.expected.get(message.run, 0))
        self.ended = True
        return True

    def _refuse(self, late: bool) -> None:
        # What another publisher of the stream sends at or before `last` may have come from the former one.
        if late:
            self.dropped[Cause.LATE] += 1
        else:
            self.duplicates += 1

    def _gap(self, message: Message, joining: bool, most: int) -> None:
        missed = max(0, message.n - self.expected.get(message.run, 0))
        if joining:
            self.dropped[Cause.BEFORE_JOIN] += missed
        elif self.last_run in (None, message.run):
            self.lost += missed
        else:  # another publisher of the stream: it may have offered what was received from the former one
            self.lost += max(0, min(missed, most))

    def snapshot(self, key: StreamKey) -> StreamCount:
        dropped = {str(cause): count for cause, count in self.dropped.items() if count}
        offered = self.processed + sum(dropped.values()) + self.lost + self.in_flight
        return StreamCount(
            stage=key[0],
            camera=key[1],
            boot=self.boot,
            offered=offered,
            processed=self.processed,
            dropped=dropped,
            lost=self.lost,
            in_flight=self.in_flight,
            duplicates=self.duplicates,
            ended=self.ended,
        )


@dataclass(slots=True)
class _Stream:
    freshness: Freshness | None = None  # where there is a limit
    queue: deque[Item] = field(default_factory=deque)
    ledgers: dict[int, _Ledger] = field(default_factory=dict)
    held: bool = False
    in_turn: bool = False  # it waits for a taker

    def ledger(self, boot: int) -> _Ledger:
        ledger = self.ledgers.get(boot)
        if ledger is None:
            ledger = self.ledgers[boot] = _Ledger(boot)
            idle = [b for b, ledger in self.ledgers.items() if not ledger.in_flight and b != boot]
            for old in idle[: max(0, len(self.ledgers) - BOOTS_KEPT)]:
                del self.ledgers[old]
        return ledger


class Inbox:
    """Frames of any number of streams, between one offering thread and any number of takers.

    policy, depth:  `latest`, or `fifo` of `depth` frames a stream
    max_age_s:      a live frame captured longer ago than this, as `Freshness` judges it, is dropped when its
                    turn comes; see `age_limit` for what None and 0 mean
    on_ready:       called (on the offering thread) whenever there is something to take
    consumes:       whether lossless streams are consumed as such: not replaced
    on_room:        called (on the taking thread) when there is room for more of a lossless stream
    claim:          gives (on the taking thread) a frame whose pixels are in shared memory to whoever takes it
    """

    def __init__(
        self,
        policy: Policy = Policy.LATEST,
        *,
        depth: int = DEFAULT_DEPTH,
        max_age_s: float | None = None,
        on_ready: Callable[[], None] = lambda: None,
        consumes: bool = False,
        on_room: Callable[[], None] = lambda: None,
        claim: Callable[[Frame], Frame | Cause] = lambda frame: Cause.UNREADABLE,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.policy = policy
        self._depth = 1 if policy is Policy.LATEST else depth
        self._max_age_s = age_limit(policy, max_age_s)
        self._on_ready = on_ready
        self.consumes = consumes or policy is Policy.LOSSLESS
        self._on_room = on_room
        self._claim = claim
        self._clock = clock
        self._lock = threading.Lock()
        self._ready = threading.Condition(self._lock)
        self._waiting = 0  # takers
        self._streams: dict[StreamKey, _Stream] = {}
        self._turns: deque[StreamKey] = deque()  # streams that wait for a taker, in order
        self._closed = False

    def __repr__(self) -> str:
        waiting = sum(len(s.queue) for s in self._streams.values())
        return f"<Inbox {self.policy} streams={len(self._streams)} waiting={waiting}>"

    def offer(self, message: Message) -> None:
        """Take in a message; never blocks."""
        self.offer_all((message,))

    def offer_all(self, messages: Iterable[Message]) -> None:
        """Take in messages that came together; never blocks."""
        with self._lock:
            accepted = [self._offer(message) for message in messages]
        if any(accepted):
            self._on_ready()

    def take(self, timeout: float | None = None, settled: Item | None = None) -> Item | None:
        """The next frame or end of stream, each stream in its turn; None after `timeout` seconds, or when
        the inbox is closed. Its stream is held until `settle` is called with it, or until the next `take`
        says that it is `settled`: processed."""
        deadline = None if timeout is None else SYSTEM_CLOCK.monotonic() + timeout
        while True:
            item = self._take(deadline, settled)
            if not isinstance(item, Frame) or item.shm is None:
                return item
            claimed = self._claim(item)
            if isinstance(claimed, Frame):
                return claimed
            self.settle(item, claimed)
            settled = None

    def room(self, stage: str, camera: str) -> int:
        """How many more frames of a lossless stream can be taken in."""
        with self._lock:
            stream = self._streams.get((stage, camera))
            return LOSSLESS_DEPTH - (len(stream.queue) if stream else 0)

    def settle(self, item: Item, dropped: str | None = None) -> None:
        """Say what became of an item that was taken: processed, or `dropped` for a cause."""
        with self._lock:
            self._settle(item, dropped)

    def counts(self) -> tuple[StreamCount, ...]:
        """A snapshot for each stream and boot."""
        with self._lock:
            return tuple(
                ledger.snapshot(key)
                for key, stream in self._streams.items()
                for ledger in stream.ledgers.values()
            )

    def idle(self) -> bool:
        """Whether nothing waits and nothing is held."""
        with self._lock:
            return not any(stream.queue or stream.held for stream in self._streams.values())

    @property
    def closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """Let every taker go; what still waits is counted `abandoned`."""
        with self._lock:
            self._closed = True
            for stream in self._streams.values():
                self._discard(stream, stream.queue, Cause.ABANDONED)
                stream.queue.clear()
            self._ready.notify_all()
        self._on_ready()

    def _take(self, deadline: float | None, settled: Item | None) -> Item | None:
        with self._lock:
            if settled is not None:
                self._settle(settled, None)
            item = self._next() or self._wait(deadline)
            tell = item is not None and self._is_kept(item) and self._is_time_to_tell(item)
        if tell:
            self._on_room()
        return item

    # What follows is called with the lock held.

    def _offer(self, message: Message) -> bool:
        key = (message.topic.stage, message.topic.camera)
        stream = self._streams.get(key)
        joining = stream is None
        if stream is None:
            limit = self._max_age_s
            stream = self._streams[key] = _Stream(None if limit is None else Freshness(limit))
        if self._closed or not self._accept(stream, message, joining):
            return False
        self._queue(key, stream)
        return True

    def _settle(self, item: Item, dropped: str | None) -> None:
        key = (item.stage, item.camera)
        stream = self._streams[key]
        stream.held = False
        if isinstance(item, Frame):
            self._account(stream.ledgers[item.boot], dropped)
        self._queue(key, stream)

    def _wait(self, deadline: float | None) -> Item | None:
        # Real time, whatever the clock: a Condition waits in that.
        while not self._closed:
            left = None if deadline is None else deadline - SYSTEM_CLOCK.monotonic()
            if left is not None and left <= 0:
                return None
            self._waiting += 1
            try:
                self._ready.wait(left)
            finally:
                self._waiting -= 1
            if (item := self._next()) is not None:
                return item
        return None

    def _is_kept(self, item: Item) -> bool:
        return self.consumes and item.lossless

    def _is_time_to_tell(self, item: Item) -> bool:
        """Not with every frame: when the queue is empty, and at each quarter of it."""
        return len(self._streams[item.stage, item.camera].queue) % (LOSSLESS_DEPTH // 4) == 0

    def _accept(self, stream: _Stream, message: Message, joining: bool) -> bool:
        body = message.body
        ledger = stream.ledger(body.boot)
        if isinstance(body, EndOfStream):
            if not ledger.end(message, joining):
                return False
        else:
            if not ledger.arrive(message, body, joining):
                return False
            self._make_room(stream, self._is_kept(body))
            if stream.freshness is not None:
                stream.freshness.arrived(body.captured_ns, self._clock.wall_ns(), self._clock.monotonic())
        stream.queue.append(body)
        return True

    def _make_room(self, stream: _Stream, kept: bool) -> None:
        """Called with a frame about to join: the oldest one goes when the stream's place is full."""
        if len(stream.queue) < (LOSSLESS_LIMIT if kept else self._depth):
            return
        oldest = next((item for item in stream.queue if isinstance(item, Frame)), None)
        if oldest is not None:
            replaced = self.policy is Policy.LATEST and not kept
            cause = Cause.OVERWRITTEN if replaced else Cause.OVERFLOW
            stream.queue.remove(oldest)
            self._account(stream.ledgers[oldest.boot], cause)

    def _queue(self, key: StreamKey, stream: _Stream) -> None:
        if stream.queue and not stream.held and not stream.in_turn:
            stream.in_turn = True
            self._turns.append(key)
            if self._waiting:
                self._ready.notify()

    def _next(self) -> Item | None:
        while self._turns:
            stream = self._streams[self._turns.popleft()]
            stream.in_turn = False
            while stream.queue:
                item = stream.queue.popleft()
                if isinstance(item, Frame) and self._is_expired(stream, item):
                    self._account(stream.ledgers[item.boot], Cause.EXPIRED)
                    continue
                stream.held = True
                return item
        return None

    def _is_expired(self, stream: _Stream, frame: Frame) -> bool:
        """A lossless stream is not live: its frames wait for their consumers, and never expire."""
        if stream.freshness is None or frame.lossless:
            return False
        return stream.freshness.is_stale(frame.captured_ns, self._clock.wall_ns())

    def _discard(self, stream: _Stream, items: deque[Item], cause: Cause) -> None:
        for item in items:
            if isinstance(item, Frame):
                self._account(stream.ledgers[item.boot], cause)

    @staticmethod
    def _account(ledger: _Ledger, dropped: str | None) -> None:
        ledger.in_flight -= 1
        if dropped is None:
            ledger.processed += 1
        else:
            ledger.dropped[dropped] += 1
