"""The inbox: where messages wait between the network and whoever works on them, and where drops are counted.

Rules kept here: offering never blocks; each stream has its own slot or bounded queue, so that no camera
crowds out another; a stream is worked on by one taker at a time, in order; a lossless stream's frames are
not dropped, because its publisher is told how much `room` there is; one that does not heed it fills
`LOSSLESS_LIMIT` places and no more; every frame that was offered to the stream is in exactly one place (see
`mesh.accounts`). A camera is one stream, or, where the inbox is `split`, each of its partitions is.
"""

import math
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from mesh.accounts import Account, Cause, StreamCount
from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.errors import ConfigError
from mesh.frame import EndOfStream, Frame
from mesh.freshness import Freshness
from mesh.wire import Message

__all__ = ["DEFAULT_DEPTH", "Cause", "Inbox", "Item", "Policy", "StreamCount", "StreamKey", "age_limit"]

DEFAULT_DEPTH = 256
LOSSLESS_DEPTH = 64
LOSSLESS_LIMIT = 4 * LOSSLESS_DEPTH
LATEST_MAX_AGE_S = 1.0

StreamKey = tuple[str, str]  # stage, camera
Item = Frame | EndOfStream

_Key = tuple[str, str, int]  # stage, camera, and the partition; 0 where the inbox is not split


class Policy(StrEnum):
    """What a stream's place in the inbox is."""

    LATEST = "latest"  # a slot: the freshest frame; what it replaces is counted `overwritten`
    FIFO = "fifo"  # a bounded queue; when it is full the oldest goes, counted `overflow`
    LOSSLESS = "lossless"  # `fifo`, and a consumer of streams that are lossless: these wait for it


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


@dataclass(slots=True)
class _Stream:
    """What waits in turn: a camera's frames, or those of one of its partitions."""

    account: Account
    freshness: Freshness | None = None  # where there is a limit
    queue: deque[Item] = field(default_factory=deque)
    newest: tuple[int, int] = (0, 0)  # boot and seq of what came, of a camera with partitions
    held: bool = False
    in_turn: bool = False  # it waits for a taker


class Inbox:
    """Frames of any number of streams, between one offering thread and any number of takers.

    policy, depth:  `latest`, or `fifo` of `depth` frames a stream
    max_age_s:      a live frame captured longer ago than this, as `Freshness` judges it, is dropped when its
                    turn comes; see `age_limit` for what None and 0 mean
    on_ready:       called (on the offering thread) whenever there is something to take
    split:          whether each partition of a camera is a stream of its own, for several takers. Else a
                    camera is one: `latest` never goes back to an older frame of it, the other policies hand
                    out what comes, in the order of each partition's publisher
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
        split: bool = False,
        on_ready: Callable[[], None] = lambda: None,
        consumes: bool = False,
        on_room: Callable[[], None] = lambda: None,
        claim: Callable[[Frame], Frame | Cause] = lambda frame: Cause.UNREADABLE,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.policy = policy
        self._depth = 1 if policy is Policy.LATEST else depth
        self._max_age_s = age_limit(policy, max_age_s)
        self._split = split
        self._on_ready = on_ready
        self.consumes = consumes or policy is Policy.LOSSLESS
        self._on_room = on_room
        self._claim = claim
        self._clock = clock
        self._lock = threading.Lock()
        self._ready = threading.Condition(self._lock)
        self._waiting = 0  # takers
        self._accounts: dict[StreamKey, Account] = {}
        self._streams: dict[_Key, _Stream] = {}
        self._turns: deque[_Key] = deque()  # streams that wait for a taker, in order
        self._closed = self._paused = False

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

    def room(self, stage: str, camera: str, partition: int = 0, partitions: int = 1) -> int:
        """How many more frames of a partition of a lossless stream can be taken in; all `partitions` of a
        camera together have the room that a single one has."""
        with self._lock:
            stream = self._streams.get(self._key(stage, camera, partition))
            waiting = stream.queue if stream is not None else ()
            mine = len(waiting) if self._split else sum(item.partition == partition for item in waiting)
            return _depth_of_each(partitions) - mine

    def leave(self, stage: str, camera: str, partition: int) -> None:
        """Take no more of a partition. What is queued is still handed out; what still arrives is refused,
        and counted nowhere."""
        with self._lock:
            self._account_of(stage, camera).leave(partition)

    def enter(self, stage: str, camera: str, partition: int) -> None:
        """Take a partition again that was left; what passed meanwhile was taken elsewhere."""
        with self._lock:
            self._account_of(stage, camera).enter(partition)

    def reached(self, stage: str, camera: str, partition: int) -> tuple[int, int, int] | None:
        """How far a partition has come: (boot, run, n), of the newest boot the run that was heard last and
        the next number expected of it; None when nothing has come since it was entered."""
        with self._lock:
            account = self._accounts.get((stage, camera))
            return account.reached(partition) if account is not None else None

    def is_drained(self, stage: str, camera: str, partition: int) -> bool:
        """Whether nothing of a partition waits or is held."""
        with self._lock:
            stream = self._streams.get(self._key(stage, camera, partition))
            return stream is None or not (stream.queue or stream.held)

    def settle(self, item: Item, dropped: str | None = None) -> None:
        """Say what became of an item that was taken: processed, or `dropped` for a cause."""
        with self._lock:
            self._settle(item, dropped)

    def counts(self) -> tuple[StreamCount, ...]:
        """A snapshot for each camera and boot."""
        with self._lock:
            each = (account.snapshots(*key) for key, account in self._accounts.items())
            return tuple(count for counts in each for count in counts)

    def idle(self) -> bool:
        """Whether nothing waits and nothing is held."""
        with self._lock:
            return not any(stream.queue or stream.held for stream in self._streams.values())

    def pause(self) -> None:
        """Hand nothing out until `resume`: what comes is replaced, overflows or waits by its policy."""
        with self._lock:
            self._paused = True

    def resume(self) -> None:
        with self._lock:
            self._paused = False
            self._ready.notify_all()
        self._on_ready()

    def set_max_age(self, max_age_s: float | None) -> None:
        """Another greatest age, as of the constructor, from the next frames on. Raises `ConfigError`."""
        limit = age_limit(self.policy, max_age_s)
        with self._lock:
            self._max_age_s = limit
            for stream in self._streams.values():
                if limit is not None and stream.freshness is not None:
                    stream.freshness.limit(limit)
                else:
                    stream.freshness = None if limit is None else Freshness(limit)

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
        topic = message.topic
        key = (topic.stage, topic.camera, topic.partition if self._split else 0)
        stream = self._streams.get(key)
        if stream is None:
            stream = self._begin(key)
        if self._closed or not self._accept(stream, message):
            return False
        self._queue(key, stream)
        return True

    def _settle(self, item: Item, dropped: str | None) -> None:
        key = self._key_of(item)
        stream = self._streams[key]
        stream.held = False
        if isinstance(item, Frame):
            self._account(stream, item, dropped)
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

    def _replaces(self, frame: Frame) -> bool:
        """Whether it takes the place of older ones, and never that of a newer one."""
        return self.policy is Policy.LATEST and not self._is_kept(frame)

    def _is_time_to_tell(self, item: Item) -> bool:
        """Not with every frame: when the queue is empty, and at each quarter of it."""
        key = self._key_of(item)
        depth = _depth_of_each(item.partitions) if self._split else LOSSLESS_DEPTH
        return len(self._streams[key].queue) % max(1, depth // 4) == 0

    def _key(self, stage: str, camera: str, partition: int) -> _Key:
        return stage, camera, partition if self._split else 0

    def _key_of(self, item: Item) -> _Key:
        return item.stage, item.camera, item.partition if self._split else 0

    def _account_of(self, stage: str, camera: str) -> Account:
        account = self._accounts.get((stage, camera))
        if account is None:
            account = self._accounts[stage, camera] = Account(whole=not self._split, replaces=self._replaces)
        return account

    def _begin(self, key: _Key) -> _Stream:
        freshness = None if self._max_age_s is None else Freshness(self._max_age_s)
        stream = self._streams[key] = _Stream(self._account_of(*key[:2]), freshness)
        return stream

    def _accept(self, stream: _Stream, message: Message) -> bool:
        body = message.body
        if not stream.account.accept(message):
            return False
        if isinstance(body, Frame):
            if body.partitions > 1 and not self._goes_on(stream, body):
                self._account(stream, body, Cause.OVERWRITTEN)
                return False
            self._make_room(stream, self._is_kept(body))
            if stream.freshness is not None:
                stream.freshness.arrived(body.captured_ns, self._clock.wall_ns(), self._clock.monotonic())
        stream.queue.append(body)
        return True

    def _goes_on(self, stream: _Stream, frame: Frame) -> bool:
        """Whether a frame of one of several partitions may be handed out behind those of the others."""
        if self._split or not self._replaces(frame):
            return True
        boot, seq = stream.newest
        stream.newest = max(stream.newest, (frame.boot, frame.seq))
        return frame.boot != boot or frame.seq >= seq

    def _make_room(self, stream: _Stream, kept: bool) -> None:
        """Called with a frame about to join: the oldest one goes when the stream's place is full."""
        if len(stream.queue) < (LOSSLESS_LIMIT if kept else self._depth):
            return
        oldest = next((item for item in stream.queue if isinstance(item, Frame)), None)
        if oldest is not None:
            replaced = self.policy is Policy.LATEST and not kept
            cause = Cause.OVERWRITTEN if replaced else Cause.OVERFLOW
            stream.queue.remove(oldest)
            self._account(stream, oldest, cause)

    def _queue(self, key: _Key, stream: _Stream) -> None:
        if stream.queue and not stream.held and not stream.in_turn:
            stream.in_turn = True
            self._turns.append(key)
            if self._waiting:
                self._ready.notify()

    def _next(self) -> Item | None:
        while self._turns and not self._paused:
            stream = self._streams[self._turns.popleft()]
            stream.in_turn = False
            while stream.queue:
                item = stream.queue.popleft()
                if isinstance(item, Frame) and self._is_expired(stream, item):
                    self._account(stream, item, Cause.EXPIRED)
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
                self._account(stream, item, cause)

    @staticmethod
    def _account(stream: _Stream, frame: Frame, dropped: str | None) -> None:
        stream.account.ledgers[frame.boot].settle(dropped)


def _depth_of_each(partitions: int) -> int:
    """The room of one of so many partitions of a lossless stream."""
    return max(1, LOSSLESS_DEPTH // partitions)
