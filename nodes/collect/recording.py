"""The thread that records: results in, in order, and what is wanted of them into files.

Rules kept here: a result that comes again is acknowledged again, once it is safe, and not recorded twice;
what the disk did not take is forgotten here and waits at its sender; how results are put in order is
`reorder`'s, which of them are wanted `admission`'s, and how they come to the disk `writing`'s.
"""

import threading

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.delivery import Delivery, Handover, Identity, identity
from mesh.frame import EndOfStream, Frame
from mesh.inbox import Cause, Inbox
from mesh.registry.records import RecordedCount
from mesh.stats import Counters
from mesh.wire import Envelope
from nodes.collect.admission import HELD_BYTES, Admission, Chooses, everything
from nodes.collect.commits import DEFAULT_POLICY, CommitPolicy, Commits
from nodes.collect.recorder import Recorder
from nodes.collect.recovery import Recovered
from nodes.collect.reorder import DEFAULT_BOUNDS, Bounds, Released
from nodes.collect.streams import Arrival, Key, Pending, Stream, Streams
from nodes.collect.writing import Outlets, Writing

TICK_S = 0.1
AT_ONCE = float("-inf")  # before any deadline: what is missing may be the next that came
INBOX_TURN = 64


class Recording:
    """Records until `stopping` is set, then finishes. `run` is for one thread; `counts` for any.

    recovered:  the folder as it was found; its index stays the caller's to close
    handover, inbox:  results that were pushed, and frames that were subscribed to; wake `handover` for both
    policy, bounds:   how long results wait for the disk, and for one that is missing
    chooses:          what is recorded of a camera
    held_bytes:       what frames that may become a pre-roll take of memory, at most
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
        chooses: Chooses = everything,
        held_bytes: int = HELD_BYTES,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.counters = Counters()
        self._handover, self._inbox, self._clock = handover, inbox, clock
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
        self._writing = Writing(recorder, self._commits, outlets, clock)
        self._admission = Admission(
            chooses,
            self._writing,
            self._commits,
            self.counters,
            quiet_s=recorder.limits.seconds,
            held_bytes=held_bytes,
        )
        self._holding: set[Key] = set()  # streams whose reorder buffers hold something
        self._stuck: dict[Key, Frame] = {}  # frames of the inbox that the disk refuses
        self._now = clock.monotonic()  # as of the result that is taken in: one look at the clock for each
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
        self._admission.look(self._now)
        self._writing.look(self._now)
        self._writing.commit_if_due(self._now)
        self._writing.tell()

    def _wait_s(self) -> float | None:
        """How long nothing is to be done unless something comes."""
        if self._more:
            return 0.0
        due = [at for at in (self._writing.due_at, self._admission.due_at) if at is not None]
        wait_s = max(0.0, min(due) - self._clock.monotonic()) if due else None
        if self._holding or self._writing.has_trouble:
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
            self._writing.commit_if_due(self._now)

    def _take_frame(self, stream: Stream, frame: Frame, run: int, n: int, envelope: Envelope) -> None:
        place, result = (frame.seq, frame.part), identity(frame)
        if self._is_known(stream, result, len(frame.payload), envelope):
            stream.reorder.skip(run, n, place, self._now, frame.partitions)
            self._release(stream, AT_ONCE)
            return
        if self._writing.must_wait(stream, self._now):
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
            if not self._writing.must_wait(self._streams[key], self._now):
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
        if self._is_known(stream, result, len(frame.payload), None):
            return None
        late = stream.is_behind((frame.seq, frame.part))
        stream.pending[result] = Pending()
        return self._admission.admit(stream, frame, result, self._now, late=late)

    def _is_known(self, stream: Stream, result: Identity, size: int, envelope: Envelope | None) -> bool:
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
            self._commits.owe(stream, owed, size, self._now)
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
                self._commits.owe(stream, (released.item.envelope,), 0, self._now)
            return
        result = identity(body)
        pending = stream.pending[result]
        cause = self._admission.admit(stream, body, result, self._now, late=released.late)
        if cause is not None:
            self.counters.add(f"pushed_{cause}")
        if cause == Cause.STORAGE:
            stream.reorder.refused(released)
        elif cause is not None:
            # It would not get better: its sender may forget it.
            self._commits.owe(stream, pending.owed, len(body.payload), self._now)

    def _end(self, stream: Stream, end: EndOfStream) -> bool:
        """A partition of a stream has ended; with the last of them the stream has. Whether that worked."""
        worked = self._writing.end(stream, end, self._now)
        if len(stream.ended) >= end.partitions:
            self._admission.end(stream, self._now)
        return worked

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
        self._admission.close(self._now)
        self._writing.finish(self._now)
