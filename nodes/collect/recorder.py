"""The recorder: frames in, segments on disk, one open segment for each camera and stage.

    DIR/CAMERA/YYYY-MM-DD/HH-MM-SS-STAGE.mkv      the pictures as they came, playable
    DIR/CAMERA/YYYY-MM-DD/HH-MM-SS-STAGE.jsonl    a line a frame: identity, times, annotations

Rules kept here: what cannot be recorded is refused before anything is written; whatever the disk refuses is
one `StorageError` that says what to do; a segment that failed is cut back to its whole frames and let go, and
what was cut off waits and is written first to the next one: a frame that `write` took is in a file after
`close`, or `close` raises; a frame is told to be safe once, by `commit`, which writes all that came since the
last one: until then it is in memory alone, so commit often. Not for two threads at a time; `stats` may be
called from any.
"""

import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from mesh.codec import jpeg_size
from mesh.errors import DecodeError, StorageError
from mesh.frame import Frame
from mesh.names import check_name
from mesh.recordings.index import Listed, SegmentRow
from nodes.collect.segment import End, Item, Segment, SegmentLimits, needs_new_segment
from nodes.collect.syncing import Crew

Stream = tuple[str, str]  # camera, stage

WAITED_FOR = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # a disk that takes nothing for now


@dataclass(frozen=True, slots=True)
class RecorderStats:
    """What a recorder has done: segments begun that hold a frame, frames and bytes in them, open segments.

    `waiting` are frames that were taken in and could not be kept when the disk failed: they are written
    again before the next frame of their stream, or by `close`.
    """

    segments: int = 0
    frames: int = 0
    bytes: int = 0
    open: int = 0
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class Commit:
    """What a commit did: frames that the disk holds for good since the last one, the files that changed, and
    the streams whose files could not be synced."""

    safe: tuple[Frame, ...]
    segments: tuple[Listed, ...]
    failed: dict[Stream, StorageError]


class Recorder:
    """Records frames into a folder. A context manager: leaving it closes every segment.

    segment_seconds, segment_bytes:  when a segment ends and the next begins; it also ends where the size of
    the picture changes, where the camera starts anew (another `boot`), and where frames were left out.

    Raises `StorageError` when `into` cannot be written.
    """

    def __init__(
        self, into: Path, *, segment_seconds: float = 60.0, segment_bytes: int | None = None
    ) -> None:
        check_target(into)
        self.into = into
        self.limits = SegmentLimits(segment_seconds, segment_bytes)
        self._open: dict[Stream, Segment] = {}
        self._waiting: dict[Stream, list[Item]] = {}
        self._safe: list[Frame] = []
        self._rows: dict[str, Listed] = {}
        self._crew = Crew()
        self._flying: list[tuple[Stream, Segment, End]] = []  # what is being synced, and how far
        self._failed: dict[Stream, StorageError] = {}
        self._segments = self._frames = self._bytes = 0

    def __repr__(self) -> str:
        return f"<Recorder {self.into} {self.stats()}>"

    def write(self, frame: Frame, *, late: bool = False, skipped_ns: int = 0) -> None:
        """Append a frame to its stream's segment. Raw pixels are encoded; a JPEG is stored as it is.

        late:        a later frame of its stream was written before it; its line says so
        skipped_ns:  frames were left out by choice before it, the first of them captured then: it begins a
                     new segment

        Raises `DecodeError` for a frame without a readable image, `WireError` for annotations that JSON
        cannot hold, `ConfigError` for a camera or stage whose name is none, and `StorageError`: in each case
        this frame is not taken.
        """
        stream = frame.camera, frame.stage
        if stream not in self._open:
            check_name("camera", frame.camera)
            check_name("stage", frame.stage)
        item = Item(_recordable(frame), late, skipped_ns)
        if self._waiting:
            self.retry(stream)
        self._append(stream, item)

    def retry(self, stream: Stream) -> None:
        """Write what waits of a stream since the disk refused it. Raises `StorageError`."""
        while waiting := self._waiting.get(stream):
            self._append(stream, waiting[0])
            del waiting[0]
        self._waiting.pop(stream, None)

    def commit(self) -> Commit:
        """Have the disk hold what was written, and say what is safe since the last commit.

        A segment that fails costs its own stream alone.
        """
        self.begin_commit(lambda: None)
        return self.end_commit()

    def begin_commit(self, done: Callable[[], None]) -> bool:
        """Begin to have the disk hold what was written so far; more may be written meanwhile.

        Whether there is anything to wait for: `done` is then called, from another thread, when `end_commit`
        need not wait any more.
        """
        self._land()
        unsafe = [(stream, segment) for stream, segment in self._open.items() if segment.unsafe]
        self._flying = [(stream, segment, segment.seal()) for stream, segment in unsafe]
        if unsafe:
            self._crew.start([segment for _, segment in unsafe], done)
        return bool(unsafe)

    def end_commit(self) -> Commit:
        """What is safe since the last commit, once what was begun is over."""
        self._land()
        done = Commit(tuple(self._safe), tuple(self._rows.values()), self._failed)
        self._safe, self._rows, self._failed = [], {}, {}
        return done

    @property
    def landed(self) -> bool:
        """Whether `end_commit` need not wait."""
        return not self._flying or self._crew.landed

    def unsafe(self, stream: Stream) -> int:
        """How many frames of a stream were taken and are not in a file for good."""
        segment = self._open.get(stream)
        return (segment.unsafe if segment else 0) + len(self._waiting.get(stream, ()))

    def end(self, camera: str, stage: str) -> None:
        """End a stream's open segment, if there is one: no more frames are to come. Raises `StorageError`."""
        self.retry((camera, stage))
        if (camera, stage) in self._open:
            self._finish((camera, stage))

    def close(self) -> None:
        """End every segment, whatever fails, then raise the first `StorageError`.

        When it raised, calling it again tries again to write the frames that wait.
        """
        self._land()
        self._crew.close()
        first: StorageError | None = None
        for camera, stage in {**self._open, **self._waiting}:
            try:
                self.end(camera, stage)
            except StorageError as error:
                first = first or error
        if first is not None:
            raise first

    def stats(self) -> RecorderStats:
        """A frozen snapshot."""
        waiting = sum(map(len, list(self._waiting.values())))
        return RecorderStats(self._segments, self._frames, self._bytes, len(self._open), waiting)

    def _append(self, stream: Stream, item: Item) -> None:
        segment = self._segment_for(stream, item)
        before = segment.bytes if segment.frames else 0
        try:
            segment.write(item)
        except BaseException:
            if not segment.frames:
                self._give_up(stream, segment)
            raise
        self._segments += segment.frames == 1
        self._frames += 1
        self._bytes += segment.bytes - before

    def _segment_for(self, stream: Stream, item: Item) -> Segment:
        segment = self._open.get(stream)
        if segment is not None and needs_new_segment(segment.state, item, self.limits):
            self._finish(stream)
            segment = None
        if segment is None:
            try:
                segment = self._open[stream] = Segment(self.into, item)
            except OSError as error:
                raise storage_error(self.into / item.frame.camera, error) from error
        return segment

    def _land(self) -> None:
        """Wait for what is being synced. Until then its files must not be closed, and cannot be given up."""
        flying, self._flying = self._flying, []
        for (stream, segment, end), error in zip(flying, self._crew.wait(), strict=True):
            if error is None:
                self._settle(stream, segment, segment.settle(end), is_open=True)
            else:
                self._give_up(stream, segment)
                self._failed[stream] = storage_error(segment.path, error)

    def _finish(self, stream: Stream) -> None:
        """End a stream's open segment. Raises `StorageError`."""
        segment = self._open[stream]
        self._land()
        if self._open.get(stream) is not segment:
            raise self._failed.pop(stream)
        before = segment.bytes
        try:
            safe = segment.close()
        except OSError as error:
            self._give_up(stream, segment)
            raise storage_error(segment.path, error) from error
        self._bytes += segment.bytes - before
        del self._open[stream]
        self._settle(stream, segment, safe, is_open=False)

    def _settle(self, stream: Stream, segment: Segment, safe: list[Item], *, is_open: bool) -> None:
        self._safe += [item.frame for item in safe]
        self._note(stream, segment, is_open=is_open)

    def _give_up(self, stream: Stream, segment: Segment) -> None:
        """Let go of a segment that failed. What it could not keep waits, before what came later."""
        self._land()
        if self._open.get(stream) is not segment:
            return  # it was given up just now: what was being synced failed, too
        del self._open[stream]
        had, remains = segment.frames, segment.abandon()
        if remains.cut:
            self._waiting[stream] = remains.cut + self._waiting.get(stream, [])
        self._frames -= len(remains.cut)
        self._segments -= had > 0 and not segment.safe
        self._settle(stream, segment, remains.safe, is_open=False)

    def _note(self, stream: Stream, segment: Segment, *, is_open: bool) -> None:
        camera, stage = stream
        holds = segment.contents
        row = SegmentRow(
            segment.name,
            stage,
            camera,
            segment.boot,
            is_open,
            segment.safe,
            holds.late,
            holds.first_ns,
            holds.last_ns,
            segment.safe_bytes,
            holds.skipped_ns,
        )
        self._rows[segment.name] = Listed(row, holds.events, tuple(holds.gaps))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def check_target(into: Path) -> None:
    """Create the folder `into` and prove that files can be written there, or raise `StorageError`.

    A disk that is full is not refused: it may have room later. Nor is one that is read-only, where the folder
    is there: it may be mounted anew. Both say so until then.
    """
    try:
        _make(into)
        with _refusing_is_fine(), tempfile.TemporaryFile(dir=into) as probe:
            probe.write(b"\0" * 4096)
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        raise storage_error(into, error) from error


def _make(into: Path) -> None:
    """Raises `StorageError` where nobody can make a folder, and `OSError`."""
    try:
        into.mkdir(parents=True, exist_ok=True)
    except FileNotFoundError:  # it is not gone, it never was
        raise no_folder(into) from None


@contextmanager
def _refusing_is_fine() -> Iterator[None]:
    """Go on where the disk takes nothing for now."""
    try:
        yield
    except OSError as error:
        if error.errno not in WAITED_FOR:
            raise


def no_folder(into: Path) -> StorageError:
    """That nobody can make a folder at a place."""
    return StorageError(f"cannot record to {into}: no folder can be made there; record elsewhere")


def storage_error(path: Path, error: OSError) -> StorageError:
    """The one line that a person can act on."""
    return StorageError(f"cannot record to {path}: {_advice(error)}")


def _advice(error: OSError) -> str:
    what = (error.strerror or str(error)).lower()
    return {
        errno.ENOSPC: "the disk is full: free some space or record elsewhere",
        errno.EDQUOT: "the disk quota is used up: free some space or record elsewhere",
        errno.EFBIG: "the file would pass the size that is allowed: raise the limit or end segments sooner",
        errno.EACCES: "permission denied: choose a folder that this user may write",
        errno.EPERM: "permission denied: choose a folder that this user may write",
        errno.EROFS: "the disk is read-only: mount it for writing or record elsewhere",
        errno.ENOTDIR: "a file stands where a folder is needed: move it or record elsewhere",
        errno.EEXIST: "a file stands where a folder is needed: move it or record elsewhere",
        errno.EMFILE: "too many open files: raise the limit (ulimit -n)",
        errno.ENOENT: "the folder has gone: mount the disk again",
        errno.EIO: f"{what}: check the disk",
    }.get(error.errno or 0, f"{what}: check the disk or record elsewhere")


def _recordable(frame: Frame) -> Frame:
    encoded = frame.encoded()
    size = jpeg_size(encoded.payload)
    if size != (frame.width, frame.height):
        raise DecodeError(f"{frame!r}: the JPEG is {size}, its header promised {(frame.width, frame.height)}")
    return encoded
