"""The thread that records: results in, in order into files, committed in groups.

Rules kept here: a result that comes again is acknowledged again, once it is safe, and not recorded twice; a
disk that refuses costs nothing but time: what was not taken is forgotten here and waits at its sender, what
was taken is kept and tried again; one stream that cannot be recorded does not hold up another.
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.delivery import Delivery, Handover, Identity, identity
from mesh.errors import DecodeError, StorageError, WireError
from mesh.frame import EndOfStream, Frame
from mesh.inbox import Cause, Inbox
from mesh.recordings.index import SegmentRow
from mesh.registry.records import RecordedCount
from mesh.stats import Counters, Rarely
from mesh.wire import Envelope
from nodes.collect.commits import DEFAULT_POLICY, INDEX, CommitPolicy, Commits
from nodes.collect.recorder import Recorder
from nodes.collect.recovery import Recovered
from nodes.collect.reorder import DEFAULT_BOUNDS, Bounds, Released
from nodes.collect.streams import Arrival, Key, Pending, Place, Stream, Streams
from nodes.collect.trouble import Trouble

log = logging.getLogger(__name__)

TICK_S = 0.1
AT_ONCE = float("-inf")  # before any deadline: what is missing may be the next that came
INBOX_TURN = 64


@dataclass(frozen=True, slots=True)
class Outlets:
    """Where things go: frames that were recorded and ends of streams to subscribers, acknowledgements to
    senders, what is wrong (empty: nothing any more) to whoever looks after the node, and files that hold
    more for good than before to whoever reads them."""

    forward: Callable[[Frame | EndOfStream], None]
    stamp: Callable[[Frame], Frame]
    acknowledge: Callable[[Iterable[Envelope]], None]
    unwell: Callable[[str], None]
    committed: Callable[[list[SegmentRow]], None] = lambda rows: None


class Recording:
    """Records until `stopping` is set, then finishes. `run` is for one thread; `counts` for any.

    recovered:  the folder as it was found; its index stays the caller's to close
    handover, inbox:  results that were pushed, and frames that were subscribed to; wake `handover` for both
    policy, bounds:   how long results wait for the disk, and for one that is missing
    """

    def __init__(
        self,
        recorder: Recorder,
        recovered: Recovered,
        handover: Handover[Delivery],
        inbox: Inbox,
        outlets: Outlets,
        *,
        policy: CommitPolicy = DEFAULT_POLICY,
        bounds: Bounds = DEFAULT_BOUNDS,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.counters = Counters()
        self._recorder = recorder
        self._handover, self._inbox, self._outlets = handover, inbox, outlets
        self._clock = clock
        self._rest_s = recorder.limits.seconds
        self._streams = Streams(recovered.streams, recovered.index.id, bounds)
        self._commits = Commits(
            recorder,
            recovered.index,
            recovered.seen,
            self._streams,
            outlets.acknowledge,
            outlets.committed,
            policy,
            handover.wake,
        )
        self._rarely = Rarely()
        self._trouble: Trouble[Place] = Trouble()
        self._told = ""
        self._writing: OrderedDict[Place, Stream] = OrderedDict()  # whose files are open, the quietest first
        self._holding: set[Key] = set()  # streams whose reorder buffers hold something
        self._stuck: dict[Key, Frame] = {}  # frames of the inbox that the disk refuses
        self._now = (
            clock.monotonic()
        )  # as of the result that is being taken in: one look at the clock for each
        self._more = False  # whether the inbox was left before it was empty

    def counts(self) -> tuple[RecordedCount, ...]:
        """What the disk holds, by stream: the newest boots of each."""
        return self._streams.counts()

    def run(self, stopping: threading.Event) -> None:
        """Raises `StorageError` when the disk refuses at the end."""
        while not stopping.is_set():
            self._once(self._wait_s())
        self._finish()

    def _once(self, timeout: float | None) -> None:
        for delivery in self._handover.take(timeout):
            self._take(delivery)
        self._now = self._clock.monotonic()
        self._take_subscribed(INBOX_TURN)
        for key in list(self._holding):
            self._release(self._streams[key], self._now)
        self._end_quiet(self._now)
        if self._trouble:
            self._retry()
        self._commit_if_due()
        self._tell()

    def _wait_s(self) -> float | None:
        """How long nothing is to be done unless something comes."""
        if self._more:
            return 0.0
        due = [at for at in (self._commits.due_at, self._quiet_at()) if at is not None]
        wait_s = max(0.0, min(due) - self._clock.monotonic()) if due else None
        if self._holding or self._trouble:
            return TICK_S if wait_s is None else min(wait_s, TICK_S)
        return wait_s

    def _take(self, delivery: Delivery) -> None:
        """Take in a result that was pushed, unless it is here already or the disk refuses."""
        message, body = delivery.message, delivery.message.body
        stream = self._streams[body.stage, body.camera, body.boot]
        self._now = self._clock.monotonic()
        if isinstance(body, Frame):
            self._take_frame(stream, body, message.run, message.n, delivery.envelope)
        else:
            self._take_end(stream, body, message.run, message.n, delivery.envelope)
        if self._commits.is_full:
            self._commit_if_due()

    def _take_frame(self, stream: Stream, frame: Frame, run: int, n: int, envelope: Envelope) -> None:
        place, result = (frame.seq, frame.part), identity(frame)
        if self._is_known(stream, result, envelope):
            stream.reorder.skip(run, n, place, self._now, frame.partitions)
            self._release(stream, AT_ONCE)
            return
        if self._must_wait(stream):
            self.counters.add(f"pushed_{Cause.STORAGE}")
            return
        stream.pending[result] = Pending(run, n, owed={envelope: None})
        arrival = Arrival(frame, envelope)
        if (released := stream.reorder.straight(arrival, place, run, n, frame.partitions)) is not None:
            self._record(stream, released)
            return
        stream.reorder.offer(
            arrival,
            place,
            run,
            n,
            len(frame.payload),
            self._now,
            partitions=frame.partitions,
            lossless=frame.lossless,
        )
        self._release(stream, AT_ONCE)

    def _take_end(self, stream: Stream, end: EndOfStream, run: int, n: int, envelope: Envelope) -> None:
        stream.reorder.offer_end(
            Arrival(end, envelope),
            end.count,
            run,
            n,
            self._now,
            partition=end.partition,
            partitions=end.partitions,
            lossless=end.lossless,
        )
        self._release(stream, AT_ONCE)

    def _take_subscribed(self, most: int) -> None:
        """Record what was subscribed to, as it comes: nobody waits for an acknowledgement. What the disk
        refuses stays the inbox's: its stream waits, and the others go on."""
        for key, frame in list(self._stuck.items()):
            if not self._must_wait(self._streams[key]):
                self._settle(self._streams[key], frame)
        for _ in range(most):
            item = self._inbox.take(0)
            self._more = item is not None
            if item is None:
                return
            stream = self._streams[item.stage, item.camera, item.boot]
            if isinstance(item, Frame):
                self._settle(stream, item)
            else:
                self._end(stream, item)
                self._inbox.settle(item)

    def _settle(self, stream: Stream, frame: Frame) -> None:
        """Record a frame from the inbox, or keep it for later."""
        self._stuck.pop(stream.key, None)
        cause = self._subscribed(stream, frame)
        if cause == Cause.STORAGE:
            self._stuck[stream.key] = frame
        else:
            self._inbox.settle(frame, cause)

    def _subscribed(self, stream: Stream, frame: Frame) -> str | None:
        result = identity(frame)
        if self._is_known(stream, result, None):
            return None
        late = stream.is_behind((frame.seq, frame.part))
        stream.pending[result] = Pending(run=-1, n=0)
        return self._write(stream, frame, result, late=late)

    def _is_known(self, stream: Stream, result: Identity, envelope: Envelope | None) -> bool:
        """Whether a result is here already; its sender is acknowledged once it is safe. What its sender only
        sends again, because that takes long, is no duplicate."""
        pending = stream.pending.get(result)
        if pending is None and not self._commits.is_safe(result):
            return False
        if pending is not None and envelope in pending.owed:
            return True
        owed = () if envelope is None else (envelope,)
        stream.duplicates += 1
        if pending is None:
            self._commits.owe(stream, owed, self._now)
        else:
            pending.owed |= dict.fromkeys(owed)
            self._commits.touch(stream, self._now)
        return True

    def _release(self, stream: Stream, now: float) -> None:
        """Record what is next in a stream, and what has been held back until `now`."""
        for released in stream.reorder.release(now):
            self._record(stream, released)
        if stream.reorder.items:
            self._holding.add(stream.key)
        else:
            self._holding.discard(stream.key)

    def _record(self, stream: Stream, released: Released[Arrival]) -> None:
        body = released.item.body
        if isinstance(body, EndOfStream):
            if self._end(stream, body):
                self._commits.owe(stream, (released.item.envelope,), self._now)
            return
        result = identity(body)
        pending = stream.pending[result]
        cause = self._write(stream, body, result, late=released.late)
        if cause is not None:
            self.counters.add(f"pushed_{cause}")
        if cause == Cause.STORAGE:
            stream.reorder.refused(released)
        elif cause is not None:
            # It would not get better: its sender may forget it.
            self._commits.owe(stream, pending.owed, self._now)

    def _write(self, stream: Stream, frame: Frame, result: Identity, *, late: bool) -> str | None:
        """Record a pending frame and publish it again; None, or why it was not recorded."""
        cause = self._written_or_why(stream, self._outlets.stamp(frame), late)
        if cause is None:
            stream.pending[result].late = late
            self._commits.wrote(stream, len(frame.payload), self._now)
        else:
            del stream.pending[result]
        return cause

    def _written_or_why(self, stream: Stream, frame: Frame, late: bool) -> str | None:
        if self._must_wait(stream):
            return Cause.STORAGE
        try:
            self._recorder.write(frame, late=late)
        except StorageError as error:
            self._failed(stream.place, error)
            return Cause.STORAGE
        except (DecodeError, WireError) as error:
            self._complain(error)
            return Cause.DECODE
        if (before := self._writing.get(stream.place)) is not None and before is not stream:
            before.written_at = None  # an earlier boot's: its file was ended, and it may be forgotten
        stream.written_at = self._now
        self._writing[stream.place] = stream
        self._writing.move_to_end(stream.place)
        self._outlets.forward(frame)
        return None

    def _end(self, stream: Stream, end: EndOfStream) -> bool:
        """A partition of a stream has ended; with the last of them, so does its file. Whether that worked."""
        self._outlets.forward(end)
        stream.ended.add(end.partition)
        return len(stream.ended) < end.partitions or self._close_segment(stream.place)

    def _quiet_at(self) -> float | None:
        """When the file of the stream that has been quiet for longest is to end."""
        first = next(iter(self._writing.values()), None)
        return None if first is None or first.written_at is None else first.written_at + self._rest_s

    def _end_quiet(self, now: float) -> None:
        """End the files of streams that were quiet for a segment's length: the next frame begins another."""
        while (at := self._quiet_at()) is not None and now >= at:
            place, stream = next(iter(self._writing.items()))
            if self._trouble.must_wait(place, now) or not self._close_segment(place):
                stream.written_at = now  # the disk refuses: later
                self._writing.move_to_end(place)

    def _close_segment(self, place: Place) -> bool:
        if (stream := self._writing.get(place)) is not None:
            self._commits.touch(stream, self._now)
        had = self._recorder.unsafe(place)
        try:
            self._recorder.end(*place)
        except StorageError as error:
            self._failed(place, error)
            return False
        if had:
            self._trouble.worked(place)
        if stream is not None:
            stream.written_at = None
            del self._writing[place]
        return True

    def _retry(self) -> None:
        """Try again to write what the disk refused."""
        now = self._now
        for place in self._trouble.due(now):
            if place == INDEX:
                self._commit()
            elif self._recorder.unsafe(place):
                self._retry_writing(place)
            elif self._trouble.is_stale(place, now):
                self._trouble.worked(place)

    def _retry_writing(self, place: Place) -> None:
        """What comes of it is known when it is committed."""
        self._trouble.trying(place, self._now)
        try:
            self._recorder.retry(place)
        except StorageError as error:
            self._failed(place, error)
            return
        self._commits.look_again(self._now)

    def _commit_if_due(self) -> None:
        now = self._now
        if self._commits.can_end() and not self._trouble.must_wait(INDEX, now):
            self._end_commit()
        if self._commits.is_due(now) and not self._trouble.must_wait(INDEX, now):
            self._commits.begin()

    def _commit(self) -> None:
        """Commit, and wait for it."""
        self._commits.begin()
        self._end_commit()

    def _end_commit(self) -> None:
        outcome = self._commits.end(self._now, self._clock.wall_ns())
        for place, error in outcome.failed.items():
            self._failed(place, error)
        if self._trouble:
            for place in outcome.worked:
                self._trouble.worked(place)

    def _finish(self) -> None:
        """Record all that is here, whatever is missing, and end every file."""
        for delivery in self._handover.take(0):
            self._take(delivery)
        self._more = True
        while self._more:
            self._take_subscribed(INBOX_TURN)
        for frame in self._stuck.values():
            self._inbox.settle(frame, Cause.STORAGE)
        for key in list(self._holding):
            stream = self._streams[key]
            for released in stream.reorder.release_all():
                self._record(stream, released)
        try:
            self._recorder.close()
        finally:
            self._commit()
        if self._trouble.has(INDEX):
            raise StorageError(self._trouble.why)

    def _must_wait(self, stream: Stream) -> bool:
        if not self._trouble:
            return False
        return self._trouble.has(INDEX) or self._trouble.must_wait(stream.place, self._now)

    def _failed(self, place: Place, error: StorageError) -> None:
        self._trouble.failed(place, str(error), self._now)
        self._complain(error)

    def _complain(self, error: Exception) -> None:
        if (held := self._rarely.ready(self._now)) is not None:
            log.error("%s (%d more since the last such line)", error, held)

    def _tell(self) -> None:
        if self._trouble.why != self._told:
            self._told = self._trouble.why
            self._outlets.unwell(self._told)
