"""What becomes of a frame whose turn has come: it is recorded, held as it may be wanted, or passed over.

Rules kept here: a choice may change between two frames, and holds from the next one on; what is held or
passed over is acknowledged with the next commit, and known when it comes again; what is held is in memory
alone: a power cut costs it, which is the pre-roll of an event that had not begun, or one that was being
written; what is held of all streams takes a limited amount of memory: beyond that the oldest frames are
passed over, and counted; what is held of a stream that has ended, or has gone quiet, is passed over, but not
while the disk refuses the stream: its sender tries again.
"""

import heapq
from collections.abc import Callable, Iterator

from mesh.choice import EVERYTHING, Choice
from mesh.delivery import Identity, identity
from mesh.frame import Frame
from mesh.inbox import Cause
from mesh.stats import Counters
from nodes.collect.commits import Commits
from nodes.collect.gate import Held
from nodes.collect.streams import Key, Pending, Stream
from nodes.collect.writing import Writing

HELD_BYTES = 64 * 1024 * 1024

Chooses = Callable[[str], Choice]  # what holds for a camera now


def everything(camera: str) -> Choice:
    """All that comes is recorded."""
    return EVERYTHING


class Room:
    """The memory that the frames held of all streams take. Pure.

    Each stream that holds something stands in a heap once, by when its first frame came, or earlier.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._sizes: dict[Key, int] = {}
        self._streams: dict[Key, Stream] = {}
        self._first: list[tuple[float, Key]] = []
        self._queued: set[Key] = set()  # what stands in that
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._streams)

    def __repr__(self) -> str:
        return f"<Room {self.bytes} bytes of {self._limit}, {len(self._streams)} streams>"

    def look(self, stream: Stream) -> None:
        """What is held of a stream may have changed."""
        key, gate = stream.key, stream.gate
        self.bytes += gate.bytes - self._sizes.pop(key, 0)
        if not gate.held:
            self._streams.pop(key, None)
            return
        self._sizes[key], self._streams[key] = gate.bytes, stream
        if key not in self._queued:
            self._queued.add(key)
            heapq.heappush(self._first, (gate.held[0].came, key))

    def streams(self) -> Iterator[Stream]:
        """Those of which something is held."""
        return iter(list(self._streams.values()))

    def oldest(self) -> Stream | None:
        """The stream whose first frame has been held for longest, while all take too much."""
        while self.bytes > self._limit and self._first:
            came, key = self._first[0]
            stream = self._streams.get(key)
            first = stream.gate.held[0].came if stream is not None else None
            if first == came:
                return stream
            if first is None:
                heapq.heappop(self._first)
                self._queued.discard(key)
            else:
                heapq.heapreplace(self._first, (first, key))
        return None


class Admission:
    """Decides on frames, in the order in which they may be recorded. For one thread; times are monotonic."""

    def __init__(
        self,
        chooses: Chooses,
        writing: Writing,
        commits: Commits,
        counters: Counters,
        *,
        quiet_s: float,
        held_bytes: int = HELD_BYTES,
    ) -> None:
        """quiet_s:  for how long nothing may come of a stream until what is held of it is let go"""
        self._chooses, self._writing, self._commits, self._counters = chooses, writing, commits, counters
        self._quiet_s = quiet_s
        self._room = Room(held_bytes)
        self._look_at = 0.0

    def __repr__(self) -> str:
        return f"<Admission {self._room}>"

    @property
    def due_at(self) -> float | None:
        """When it is to be looked for what has gone quiet; None while nothing is held."""
        return self._look_at if self._room else None

    def admit(
        self, stream: Stream, frame: Frame, result: Identity, now: float, *, late: bool
    ) -> Cause | None:
        """Decide on a frame that is pending as `result`. None, or why it could not be recorded: it is pending
        no more then."""
        choice, gate = self._chooses(frame.camera), stream.gate
        if gate.is_open(choice, frame.stage):
            if (cause := self._write(stream, frame, result, now, late=late)) is None:
                gate.recorded = max(gate.recorded, (frame.seq, frame.part))
            return cause
        if self._writing.must_wait(stream, now):
            del stream.pending[result]
            return Cause.STORAGE
        wanted = gate.judge(frame, choice, now)
        cause = self._record(stream, wanted, frame, now, late=late)
        if not any(one.frame is frame for one in wanted):
            self._commits.decided(stream, result, len(frame.payload), now)
        self._room.look(stream)
        self._make_room(now)
        return cause

    def end(self, stream: Stream, now: float) -> None:
        """Nothing more is to come of a stream: what is held of it is not wanted."""
        if stream.gate.held:
            self._pass_over(stream, len(stream.gate.held), now)

    def close(self, now: float) -> None:
        """Nothing more is to come of any stream."""
        for stream in self._room.streams():
            self.end(stream, now)

    def look(self, now: float) -> None:
        """Let go of what is held of streams that have gone quiet."""
        if now < self._look_at:
            return
        self._look_at = now + self._quiet_s
        for stream in self._room.streams():
            gate = stream.gate
            is_quiet = now - gate.held[-1].came > max(self._quiet_s, gate.pre_s)
            if is_quiet and not self._writing.is_refused(stream):
                self.end(stream, now)

    def _record(
        self, stream: Stream, wanted: list[Held], frame: Frame, now: float, *, late: bool
    ) -> Cause | None:
        """Record `frame` and what was held around it, in order; where the disk refuses, what was held is held
        on. What became of `frame`."""
        outcome = None
        for number, one in enumerate(wanted):
            is_new = one.frame is frame
            if not is_new:
                stream.pending[identity(one.frame)] = Pending(held=True)
            cause = self._admitted(stream, one, now, late=late or not is_new)
            if cause is Cause.STORAGE:
                return self._held_on(stream, wanted[number:], frame, outcome)
            if is_new:
                outcome = cause
            elif cause is not None:
                stream.gate.passed += 1
                self._counters.add(f"held_{cause}")
        return outcome

    def _held_on(self, stream: Stream, rest: list[Held], frame: Frame, outcome: Cause | None) -> Cause | None:
        """The disk refuses the first of these."""
        held = [one for one in rest if one.frame is not frame]
        stream.gate.keep(held)
        if len(held) == len(rest):
            return outcome
        stream.pending.pop(identity(frame), None)
        return Cause.STORAGE

    def _pass_over(self, stream: Stream, count: int, now: float) -> None:
        stream.gate.pass_over(count)
        self._commits.touch(stream, now)
        self._room.look(stream)

    def _make_room(self, now: float) -> None:
        while (stream := self._room.oldest()) is not None:
            self._pass_over(stream, 1, now)
            self._counters.add("held_overflow")

    def _admitted(self, stream: Stream, one: Held, now: float, *, late: bool) -> Cause | None:
        """Record a frame; None, or why not. It is late when a later one was recorded before it."""
        gate = stream.gate
        late = late and one.place < gate.recorded
        skipped_ns = 0 if late else gate.skipped_before(one)
        cause = self._write(stream, one.frame, identity(one.frame), now, late=late, skipped_ns=skipped_ns)
        if cause is None:
            gate.wrote(one)
        return cause

    def _write(
        self, stream: Stream, frame: Frame, result: Identity, now: float, *, late: bool, skipped_ns: int = 0
    ) -> Cause | None:
        cause = self._writing.write(stream, frame, now, late=late, skipped_ns=skipped_ns)
        if cause is None:
            stream.pending[result].late = late
        else:
            del stream.pending[result]
        return cause
