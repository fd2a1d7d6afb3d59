"""Group commit: what was written since the last one becomes safe, and is acknowledged.

A commit begins when it is due: the files of all streams are synced, on other threads, while more is written
to them. It ends when that is over: with the index, the acknowledgements, and the counts. One is under way at
a time; what is written meanwhile is for the next one.

Rules kept here: files first, then their rows in the index, then the acknowledgements; what could not be
committed is kept for the next time; a result is counted, and remembered as seen, once it is safe.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from mesh.delivery import Identity, Seen, identity
from mesh.errors import ConfigError, StorageError
from mesh.frame import Frame
from mesh.recordings.index import Index, Listed, SegmentRow
from mesh.wire import Envelope
from nodes.collect.recorder import Recorder
from nodes.collect.streams import Key, Place, Stream, Streams

INDEX: Place = ("", "")  # where trouble with the index is kept


@dataclass(frozen=True, slots=True)
class CommitPolicy:
    """How long results wait for the disk at most, in seconds, and how much: results, and their bytes. As many
    again may be written while a commit is under way."""

    seconds: float = 0.2
    frames: int = 256
    bytes: int = 16 * 1024 * 1024


DEFAULT_POLICY = CommitPolicy()
# Half of what a sender has on its way without an acknowledgement (`mesh.delivery.lane`): those who wait
# for the disk must not wait for one another.
SELDOM_FRAMES, SELDOM_BYTES = 512, 8 * 1024 * 1024


def policy_of(
    durability: str | None, commit_ms: float | None, commit_frames: int | None, segment_seconds: float
) -> CommitPolicy:
    """When to commit, as a command line says it. Raises `ConfigError`."""
    if durability is None:
        seconds = DEFAULT_POLICY.seconds if commit_ms is None else commit_ms / 1000
        return CommitPolicy(seconds, commit_frames or DEFAULT_POLICY.frames)
    if commit_ms is not None or commit_frames is not None:
        raise ConfigError("--durability says when to commit: leave out --commit-ms and --commit-frames")
    named = {
        "always": CommitPolicy(0.0, 1),
        "1s": CommitPolicy(1.0, SELDOM_FRAMES, SELDOM_BYTES),
        "segment": CommitPolicy(segment_seconds, SELDOM_FRAMES, SELDOM_BYTES),
    }
    if durability not in named:
        raise ConfigError(f"--durability {durability!r} is none: use {', '.join(named)}")
    return named[durability]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a commit: where the disk refused, and why, and where it did not. `INDEX` failed when
    nothing could be acknowledged."""

    failed: Mapping[Place, StorageError]
    worked: frozenset[Place]


class Commits:
    """What is to be committed, and when. Not for two threads at a time."""

    def __init__(
        self,
        recorder: Recorder,
        index: Index,
        seen: Seen,
        streams: Streams,
        acknowledge: Callable[[Iterable[Envelope]], None],
        committed: Callable[[list[SegmentRow]], None],
        policy: CommitPolicy,
        wake: Callable[[], None],
    ) -> None:
        """`committed` is told of files whose rows are in the index; `wake` is called, from another thread,
        when a commit that has begun can end."""
        self._wake = wake
        self._recorder, self._index, self._seen, self._streams = recorder, index, seen, streams
        self._acknowledge, self._committed = acknowledge, committed
        self._policy = policy
        self._rows: dict[str, Listed] = {}
        self._touched: set[Key] = set()
        self._owed: dict[Envelope, None] = {}
        self._frames = self._bytes = 0
        self._since: float | None = None  # when the first of what is to be committed came
        self._begun = False

    def __repr__(self) -> str:
        return f"<Commits frames={self._frames} owed={len(self._owed)} streams={len(self._touched)}>"

    @property
    def due_at(self) -> float | None:
        """When the next commit is to begin; None while there is nothing to commit, or one is under way."""
        return None if self._since is None or self._begun else self._since + self._policy.seconds

    def is_due(self, now: float) -> bool:
        """Whether a commit is to begin."""
        due_at = self.due_at
        return due_at is not None and (now >= due_at or self.is_full)

    def can_end(self) -> bool:
        """Whether the commit that is under way is to end: it has come to that, or what was written since is
        as much as may wait."""
        return self._begun and (self._recorder.landed or self.is_full)

    def is_safe(self, result: Identity) -> bool:
        """Whether a result was recorded before."""
        return result in self._seen

    def wrote(self, stream: Stream, size: int, now: float) -> None:
        """A frame of `stream` was written: so many bytes."""
        self._frames += 1
        self._bytes += size
        self.touch(stream, now)

    def decided(self, stream: Stream, result: Identity, size: int, now: float) -> None:
        """A pending result of so many bytes is held or passed over: nothing of it has to become safe, and it
        is remembered."""
        self._seen.add(result)
        self.owe(stream, stream.pending.pop(result).owed, size, now)

    def owe(self, stream: Stream, envelopes: Collection[Envelope], size: int, now: float) -> None:
        """Acknowledge these, of so many bytes each, with the next commit: nothing of theirs has to become
        safe any more, but who sent them has only so much on its way."""
        self._owed |= dict.fromkeys(envelopes)
        self._frames += len(envelopes)
        self._bytes += size * len(envelopes)
        self.touch(stream, now)

    def touch(self, stream: Stream, now: float) -> None:
        """The counts of `stream`, or its files, have changed."""
        self._touched.add(stream.key)
        self.look_again(now)

    def look_again(self, now: float) -> None:
        """There may be something to commit."""
        if self._since is None:
            self._since = now

    def begin(self) -> None:
        """Begin a commit."""
        self._frames, self._bytes, self._since, self._begun = 0, 0, None, True
        if not self._recorder.begin_commit(self._wake):
            self._wake()

    def end(self, now: float, now_ns: int) -> Outcome:
        """End a commit; `now_ns` is the wall clock.

        Raises `StorageError` when nothing can be committed any more, whatever the disk does: another index
        stands where this one was.
        """
        self._begun = False
        done = self._recorder.end_commit()
        self._rows |= {each.row.path: each for each in done.segments}
        for frame in done.safe:
            self._settle(frame, now_ns)
        try:
            self._index.write(self._rows.values(), map(self._streams.row, self._touched))
        except StorageError as error:
            if self._index.is_replaced():
                raise StorageError(
                    f"{self._index.path} is another file than the one that was opened, as when its disk is "
                    "mounted again: start the collector again"
                ) from error
            self.look_again(now)
            return Outcome({**done.failed, INDEX: error}, frozenset())
        self._streams.show(self._touched)
        self._acknowledge(self._owed)
        self._committed([each.row for each in self._rows.values()])
        self._rows, self._touched, self._owed = {}, set(), {}
        places = {(each.row.camera, each.row.stage) for each in done.segments}
        return Outcome(done.failed, frozenset({INDEX, *places} - done.failed.keys()))

    @property
    def is_full(self) -> bool:
        """Whether as much was written as may wait for a commit."""
        return self._frames >= self._policy.frames or self._bytes >= self._policy.bytes

    def _settle(self, frame: Frame, now_ns: int) -> None:
        """A frame is safe."""
        result = identity(frame)
        stream = self._streams[frame.stage, frame.camera, frame.boot]
        self._owed |= stream.settle(result)
        self._streams.safe(frame, now_ns)
        self._seen.add(result)
        self._touched.add(stream.key)
