"""The thread that forwards what is recorded in a folder to one destination.

Rules kept here: the recordings are the spool: a frame is read back from its file once it is safe there, and
what waits takes no memory beyond a chunk and what the carrier has on its way; recording is never held up: it
leaves a note and goes on; what is done is written down in groups, so that a `kill -9` costs some repetitions
and no frame; what cannot be had any more (removed, damaged) is counted and passed over, and others go on.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.errors import StorageError
from mesh.frame import Frame
from mesh.recordings.index import NAME, SegmentRow
from mesh.registry.records import ForwardCount
from mesh.scope import Scope
from mesh.stats import Counters, Rarely
from nodes.collect.forwarding.address import Address
from nodes.collect.forwarding.backlog import LOADED, Backlog, Segment, Stream
from nodes.collect.forwarding.calls import Calls
from nodes.collect.forwarding.carrier import Carrier, Done
from nodes.collect.forwarding.cursor import Cursor
from nodes.collect.forwarding.notes import Notes
from nodes.collect.forwarding.outage import Outage
from nodes.collect.forwarding.source import is_passing, read_on

log = logging.getLogger(__name__)

TICK_S = 1.0  # how often it looks around while something waits
LOOK_S = 0.05  # while a node drains
COMPLAIN_S = 60.0
DROPPED = "forward_"  # begins what a carrier counts of frames that are done and were not handed over

Made = Callable[[Scope, Address, Done, Clock], Carrier]


@dataclass(frozen=True, slots=True)
class _Hand:
    """A frame that was read and is the next to be handed on."""

    segment: Segment
    index: int
    frame: Frame


class Forwarder:
    """Forwards from `into` to `address` until `stop`. `make` makes its carrier.

    It is made before anything is recorded: what was recorded before is told apart then. Raises
    `StorageError`, and `ConfigError` for an address that the carrier refuses.

    recorded, removed:  files that are in the index with so many frames, and paths of files that are not kept
                        any more; any thread may tell, and is not held up
    changed:            is called from a thread of its own when `held_up` has changed
    lost_cursor:        whether how far it had come could not be read at the start
    """

    def __init__(
        self,
        into: Path,
        address: Address,
        since_ns: int | None,
        make: Made,
        parent: Scope | None = None,
        clock: Clock = SYSTEM_CLOCK,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.address = address
        self.counters = Counters()
        self._into, self._clock = into, clock
        self._scope = Scope(f"forward {address}", parent)
        self._calls = Calls()
        self.recorded, self.removed = self._calls.recorded, self._calls.removed
        self._hands: deque[_Hand] = deque()
        self._number = 0  # of the frame that is handed on next
        self._flying: dict[int, tuple[Segment, int]] = {}
        self._open: set[str] = set()  # files that may grow
        self._held: dict[Stream, str] = {}  # streams that cannot be read just now, and why
        self._held_at = 0.0
        self._unwritten = ""  # why what is new, and done, could not be written down
        self._outage = Outage(str(address), changed)
        self._rarely = Rarely(COMPLAIN_S)
        self._cursor = Cursor(into, str(address), since_ns)
        self.lost_cursor = self._cursor.lost
        self._notes = Notes(self._cursor, clock.monotonic())
        try:
            self._waiting = self._cursor.waiting()
            self._backlog = Backlog(self._cursor.streams())
            self._carrier = make(self._scope, address, self._calls.settled, clock)
        except BaseException:
            self.close()
            raise
        self._count_removed(self._cursor.removed, "the folder")
        self._scope.on_stop(self._calls.waiting.set)
        self._scope.spawn("read", self._run)

    def __repr__(self) -> str:
        return f"<Forwarder {self.address} waiting={self._waiting}>"

    @property
    def held_up(self) -> str:
        """Why nothing gets through, where that has lasted for more than a moment. Any thread may ask."""
        return self._outage.told

    def count(self) -> ForwardCount:
        """What became of what is recorded, in this run. Any thread may ask."""
        told, ours = self._carrier.stats(), self.counters.snapshot()
        dropped = {name.removeprefix(DROPPED): n for name, n in told.items() if name.startswith(DROPPED)}
        carried = ours.get("carried", 0) - sum(dropped.values())
        return ForwardCount(
            to=str(self.address),
            forwarded=max(0, carried),
            waiting=max(0, self._waiting),
            dropped={**dropped, **{cause: ours[cause] for cause in ("removed", "damaged") if cause in ours}},
            why=self._trouble or self._carrier.why,
            since_ns=self._outage.since_ns,
        )

    def drain(self, timeout: float, rush: threading.Event) -> bool:
        """Go on until all is forwarded; False when that takes longer, when `rush` is set, or when the way
        does not work: what is left waits for the next start."""
        deadline = self._clock.monotonic() + timeout
        while not (done := self._calls.idle and self._waiting <= 0):
            now = self._clock.monotonic()
            if now >= deadline or rush.is_set() or self._outage.has_lasted(now):
                break
            self._clock.wait(rush, LOOK_S)
        return done

    def stop(self) -> None:
        """End the threads; how far it came is written down."""
        self._scope.stop()
        self._scope.join()

    def close(self) -> None:
        self.stop()
        self._cursor.close()

    def _run(self) -> None:
        try:
            while not self._scope.stopping.is_set():
                self._calls.waiting.clear()
                if not self._turn() and self._calls.rest():
                    self._rest()
        finally:
            self._take_in()
            self._write()
            if self._unwritten:
                self._complain(self._unwritten)

    def _rest(self) -> None:
        """Wait until there is something to do."""
        if self._waiting > 0 or self._notes or self._outage.is_on:
            self._clock.wait(self._calls.waiting, TICK_S)
        else:
            self._calls.waiting.wait()

    def _turn(self) -> bool:
        """Work off what was told, and hand a chunk on; whether there is more to do at once."""
        self._take_in()
        now = self._clock.monotonic()
        if self._notes.is_due(now):
            self._write()
        if self._held and now - self._held_at >= TICK_S:
            self._try_again()
        moved = self._hand_on()
        why = self._trouble or (self._carrier.why if self._waiting > 0 else "")
        self._outage.look(why, self._waiting, now, self._clock.wall_ns())
        return moved

    def _take_in(self) -> None:
        told = self._calls.take()
        for row in told.rows.values():
            self._grow(row)
        if told.gone and self._notes:
            self._write()  # so that what goes has been counted as there
        for path in told.gone:
            self._lose(path)
        for number in told.settled:
            if (flown := self._flying.pop(number, None)) is not None:
                self.counters.add("carried")
                self._settle(*flown)

    def _grow(self, row: SegmentRow) -> None:
        """A file is new, has more frames, or has ended. One that is in memory is not written down for that:
        the index tells it at the next start."""
        is_new = row.path not in self._open
        (self._open.add if row.open else self._open.discard)(row.path)
        if (segment := self._backlog.of(row.path)) is not None:
            self._waiting += self._backlog.grow(segment, row.frames, is_open=row.open)
        elif row.frames:
            self._notes.file(row, is_new=is_new)

    def _lose(self, path: str) -> None:
        """A file is not there any more. What was read of it still goes."""
        self._open.discard(path)
        try:
            left = self._notes.gone(path)
        except StorageError as error:
            self._complain(str(error))
            left = 0
        if (segment := self._backlog.of(path)) is not None:
            left = self._backlog.cut(segment)
        self._waiting -= left
        self._count_removed(left, path)

    def _count_removed(self, frames: int, where: str) -> None:
        if frames:
            self.counters.add("removed", frames)
            self._complain(f"{frames} frames were removed from {where} before they were forwarded")

    def _settle(self, segment: Segment, index: int) -> None:
        if segment.settle(index):
            self._waiting -= 1
            self._notes.done(segment.path, segment.done)
            self._backlog.tidy(segment)

    def _write(self) -> None:
        """Write down what is new, done and gone; when the disk refuses, later."""
        try:
            more, streams = self._notes.write(self._clock.monotonic())
        except StorageError as error:
            self._unwritten = str(error)
            return
        self._unwritten = ""
        self._waiting += more
        for stream in streams:
            self._backlog.expect(stream)

    def _hand_on(self) -> bool:
        """Hand on what was read, or read more; False when there is nothing, or the carrier has no room."""
        if not self._hands and not self._read_some():
            return False
        while self._hands and not self._scope.stopping.is_set():
            hand = self._hands[0]
            self._flying[self._number] = hand.segment, hand.index
            if not self._carrier.offer(self._number, hand.frame):
                del self._flying[self._number]
                return False
            self._number += 1
            self._hands.popleft()
        return True

    def _read_some(self) -> bool:
        """Read on in the segment whose turn it is; whether that led to something."""
        for stream, ready, last in self._backlog.turn():
            try:
                segment = ready or self._load(stream, last)
            except StorageError as error:
                self._hold(stream, str(error))
                continue
            if segment is not None and self._read(segment):
                self._held.pop(stream, None)
                return True
        return False

    def _load(self, stream: Stream, behind: int) -> Segment | None:
        """Take a stream's next segments into memory; the one to be read."""
        found, last = self._notes.next(stream, behind, LOADED)
        segments = [
            Segment(stream, each.number, each.path, each.frames, each.done, each.path in self._open)
            for each in found
        ]
        self._backlog.load(stream, segments, last)
        for segment in segments:
            if (row := self._notes.of(segment.path)) is not None:
                self._waiting += self._backlog.grow(segment, row.frames, is_open=row.open)
        return segments[0] if segments else None

    def _read(self, segment: Segment) -> bool:
        """Read what comes next of a segment; whether that led to something."""
        begin = segment.offered
        try:
            chunk = read_on(self._into / segment.path, segment.mark, segment.frames, skip=begin)
        except FileNotFoundError:
            return self._miss(segment)
        except (OSError, StorageError) as error:
            if isinstance(error, OSError) and is_passing(error):
                self._hold(segment.stream, f"{segment.path} cannot be read: {error.strerror}")
                return False
            self._damaged(segment, [*range(begin, segment.frames)])
            return True
        segment.mark, segment.offered = chunk.mark, chunk.mark.lines
        found = list(enumerate(chunk.frames, begin))
        self._hands += [_Hand(segment, index, frame) for index, frame in found if frame is not None]
        self._damaged(segment, [index for index, frame in found if frame is None])
        return True

    def _miss(self, segment: Segment) -> bool:
        """A file is not there: it was removed, or the whole folder is away."""
        if not (self._into / NAME).exists():
            self._hold(segment.stream, f"{self._into} is not there: mount its disk again")
            return False
        self._lose(segment.path)
        return True

    def _damaged(self, segment: Segment, indices: Sequence[int]) -> None:
        """Pass over frames that cannot be read."""
        if not indices:
            return
        segment.offered = max(segment.offered, indices[-1] + 1)
        for index in indices:
            self._settle(segment, index)
        self.counters.add("damaged", len(indices))
        self._complain(f"{len(indices)} frames of {segment.path} cannot be read, and are passed over")

    def _hold(self, stream: Stream, why: str) -> None:
        """Leave a stream alone for a moment."""
        self._backlog.rest(stream)
        self._held[stream], self._held_at = why, self._clock.monotonic()

    def _try_again(self) -> None:
        self._held_at = self._clock.monotonic()
        for stream in self._held:
            self._backlog.expect(stream)

    @property
    def _trouble(self) -> str:
        return next(iter(list(self._held.values())), self._unwritten)

    def _complain(self, what: str) -> None:
        if (held := self._rarely.ready(self._clock.monotonic())) is not None:
            log.warning("forwarding to %s: %s (%d more such lines held back)", self.address, what, held)
