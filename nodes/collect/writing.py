"""What becomes of frames that are to be recorded: into files, committed in groups, tried again.

Rules kept here: a disk that refuses costs nothing but time: what was taken is kept and tried again; one
stream that cannot be recorded does not hold up another; what was recorded is published again, in that order.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from mesh.clock import Clock
from mesh.errors import DecodeError, StorageError, WireError
from mesh.frame import EndOfStream, Frame
from mesh.inbox import Cause
from mesh.recordings.index import SegmentRow
from mesh.stats import Rarely
from mesh.wire import Envelope
from nodes.collect.commits import INDEX, Commits
from nodes.collect.recorder import Recorder
from nodes.collect.streams import Place, Stream
from nodes.collect.trouble import Trouble

log = logging.getLogger(__name__)


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


class Writing:
    """The files of all streams, for one thread. Times are monotonic."""

    def __init__(self, recorder: Recorder, commits: Commits, outlets: Outlets, clock: Clock) -> None:
        self._recorder, self._commits, self._outlets = recorder, commits, outlets
        self._clock = clock
        self._rest_s = recorder.limits.seconds
        self._rarely = Rarely()
        self._trouble: Trouble[Place] = Trouble()
        self._told = ""
        self._open: OrderedDict[Place, Stream] = OrderedDict()  # whose files are open, the quietest first

    def __repr__(self) -> str:
        return f"<Writing {len(self._open)} files, {self._trouble}>"

    @property
    def has_trouble(self) -> bool:
        """Whether something is to be tried again."""
        return bool(self._trouble)

    @property
    def due_at(self) -> float | None:
        """When there is something to do, whatever comes."""
        due = [at for at in (self._commits.due_at, self._quiet_at()) if at is not None]
        return min(due, default=None)

    def is_refused(self, stream: Stream) -> bool:
        """Whether the disk did not take what was last tried of a stream."""
        return self._trouble.has(INDEX) or self._trouble.has(stream.place)

    def must_wait(self, stream: Stream, now: float) -> bool:
        """Whether the disk refuses a stream, and is not to be asked again yet."""
        if not self._trouble:
            return False
        return self._trouble.has(INDEX) or self._trouble.must_wait(stream.place, now)

    def write(
        self, stream: Stream, frame: Frame, now: float, *, late: bool, skipped_ns: int = 0
    ) -> Cause | None:
        """Record a frame and publish it again; None, or why it was not recorded."""
        stamped = self._outlets.stamp(frame)
        cause = self._written_or_why(stream, stamped, now, late, skipped_ns)
        if cause is None:
            self._note(stream, now)
            self._outlets.forward(stamped)
            self._commits.wrote(stream, len(stamped.payload), now)
        return cause

    def end(self, stream: Stream, end: EndOfStream, now: float) -> bool:
        """A partition of a stream has ended; with the last of them, so does its file. Whether that worked."""
        self._outlets.forward(end)
        stream.ended.add(end.partition)
        return len(stream.ended) < end.partitions or self._close(stream.place, now)

    def look(self, now: float) -> None:
        """End the files of streams that were quiet for a segment's length (the next frame begins another),
        and try again what the disk refused."""
        while (at := self._quiet_at()) is not None and now >= at:
            place, stream = next(iter(self._open.items()))
            if self._trouble.must_wait(place, now) or not self._close(place, now):
                stream.written_at = now  # the disk refuses: later
                self._open.move_to_end(place)
        if self._trouble:
            self._retry(now)

    def commit_if_due(self, now: float) -> None:
        if self._commits.can_end() and not self._trouble.must_wait(INDEX, now):
            self._end_commit(now)
        if self._commits.is_due(now) and not self._trouble.must_wait(INDEX, now):
            self._commits.begin()

    def finish(self, now: float) -> None:
        """End every file, and commit. Raises `StorageError` when the disk refuses."""
        try:
            self._recorder.close()
        finally:
            self._commit(now)
        if self._trouble.has(INDEX):
            raise StorageError(self._trouble.why)

    def tell(self) -> None:
        """Say what is wrong, when that has changed."""
        if self._trouble.why != self._told:
            self._told = self._trouble.why
            self._outlets.unwell(self._told)

    def _written_or_why(
        self, stream: Stream, frame: Frame, now: float, late: bool, skipped_ns: int
    ) -> Cause | None:
        if self.must_wait(stream, now):
            return Cause.STORAGE
        try:
            self._recorder.write(frame, late=late, skipped_ns=skipped_ns)
        except StorageError as error:
            self._failed(stream.place, error, now)
            return Cause.STORAGE
        except (DecodeError, WireError) as error:
            self._complain(error, now)
            return Cause.DECODE
        return None

    def _note(self, stream: Stream, now: float) -> None:
        """A stream's file was written to."""
        if (before := self._open.get(stream.place)) is not None and before is not stream:
            before.written_at = None  # an earlier boot's: its file was ended, and it may be forgotten
        stream.written_at = now
        self._open[stream.place] = stream
        self._open.move_to_end(stream.place)

    def _quiet_at(self) -> float | None:
        """When the file of the stream that has been quiet for longest is to end."""
        first = next(iter(self._open.values()), None)
        return None if first is None or first.written_at is None else first.written_at + self._rest_s

    def _close(self, place: Place, now: float) -> bool:
        if (stream := self._open.get(place)) is not None:
            self._commits.touch(stream, now)
        had = self._recorder.unsafe(place)
        try:
            self._recorder.end(*place)
        except StorageError as error:
            self._failed(place, error, now)
            return False
        if had:
            self._trouble.worked(place)
        if stream is not None:
            stream.written_at = None
            del self._open[place]
        return True

    def _retry(self, now: float) -> None:
        for place in self._trouble.due(now):
            if place == INDEX:
                self._commit(now)
            elif self._recorder.unsafe(place):
                self._retry_writing(place, now)
            elif self._trouble.is_stale(place, now):
                self._trouble.worked(place)

    def _retry_writing(self, place: Place, now: float) -> None:
        """What comes of it is known when it is committed."""
        self._trouble.trying(place, now)
        try:
            self._recorder.retry(place)
        except StorageError as error:
            self._failed(place, error, now)
            return
        self._commits.look_again(now)

    def _commit(self, now: float) -> None:
        """Commit, and wait for it."""
        self._commits.begin()
        self._end_commit(now)

    def _end_commit(self, now: float) -> None:
        outcome = self._commits.end(now, self._clock.wall_ns())
        for place, error in outcome.failed.items():
            self._failed(place, error, now)
        if self._trouble:
            for place in outcome.worked:
                self._trouble.worked(place)

    def _failed(self, place: Place, error: StorageError, now: float) -> None:
        self._trouble.failed(place, str(error), now)
        self._complain(error, now)

    def _complain(self, error: Exception, now: float) -> None:
        if (held := self._rarely.ready(now)) is not None:
            log.error("%s (%d more since the last such line)", error, held)
