"""The recorder: frames in, segments on disk, one open segment for each camera and stage.

    DIR/CAMERA/YYYY-MM-DD/HH-MM-SS-STAGE.mkv      the pictures as they came, playable
    DIR/CAMERA/YYYY-MM-DD/HH-MM-SS-STAGE.jsonl    a line a frame: identity, times, annotations

Rules kept here: what cannot be recorded is refused before anything is written; whatever the disk refuses is
one `StorageError` that says what to do; a segment that failed is cut back to its whole frames and let go, and
what was cut off waits and is written first to the next one: a frame that `write` took is in a file after
`close`, or `close` raises. Not for two threads at a time; `stats` may be called from any.
"""

import errno
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from mesh.codec import jpeg_size
from mesh.errors import DecodeError, StorageError
from mesh.frame import Frame
from mesh.names import check_name
from nodes.collect.segment import Segment, SegmentLimits, needs_new_segment

Stream = tuple[str, str]  # camera, stage


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


class Recorder:
    """Records frames into a folder. A context manager: leaving it closes every segment.

    segment_seconds, segment_bytes:  when a segment ends and the next begins; it also ends where the size of
    the picture changes and where the camera starts anew (another `boot`).

    Raises `StorageError` when `into` cannot be written.
    """

    def __init__(
        self, into: Path, *, segment_seconds: float = 60.0, segment_bytes: int | None = None
    ) -> None:
        check_target(into)
        self.into = into
        self._limits = SegmentLimits(segment_seconds, segment_bytes)
        self._open: dict[Stream, Segment] = {}
        self._waiting: dict[Stream, list[Frame]] = {}
        self._segments = self._frames = self._bytes = 0

    def __repr__(self) -> str:
        return f"<Recorder {self.into} {self.stats()}>"

    def write(self, frame: Frame) -> None:
        """Append a frame to its stream's segment. Raw pixels are encoded; a JPEG is stored as it is.

        Raises `DecodeError` for a frame without a readable image, `WireError` for annotations that JSON
        cannot hold, `ConfigError` for a camera or stage whose name is none, and `StorageError`.
        """
        stream = check_name("camera", frame.camera), check_name("stage", frame.stage)
        frame = _recordable(frame)
        self._write_waiting(stream)
        self._append(stream, frame)

    def flush(self) -> None:
        """Have the disk hold what the open segments hold so far. Raises `StorageError`.

        Of each open segment the last frame is still in memory: it follows with the next one, or at its end.
        """
        for stream in list(self._open):
            self._finish(stream, Segment.sync, keep=True)

    def end(self, camera: str, stage: str) -> None:
        """End a stream's open segment, if there is one: no more frames are to come. Raises `StorageError`."""
        self._write_waiting((camera, stage))
        if (camera, stage) in self._open:
            self._finish((camera, stage), Segment.close)

    def close(self) -> None:
        """End every segment, whatever fails, then raise the first `StorageError`.

        When it raised, calling it again tries again to write the frames that wait.
        """
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

    def _write_waiting(self, stream: Stream) -> None:
        while waiting := self._waiting.get(stream):
            self._append(stream, waiting[0])
            del waiting[0]
        self._waiting.pop(stream, None)

    def _append(self, stream: Stream, frame: Frame) -> None:
        segment = self._segment_for(stream, frame)
        before = segment.bytes
        try:
            segment.write(frame)
        except OSError as error:
            self._give_up(stream, segment)
            raise storage_error(segment.path, error) from error
        except BaseException:
            if not segment.frames:
                self._give_up(stream, segment)
            raise
        self._segments += segment.frames == 1
        self._frames += 1
        self._bytes += segment.bytes - before

    def _segment_for(self, stream: Stream, frame: Frame) -> Segment:
        segment = self._open.get(stream)
        if segment is not None and needs_new_segment(segment.state, frame, self._limits):
            self._finish(stream, Segment.close)
            segment = None
        if segment is None:
            try:
                segment = self._open[stream] = Segment(self.into, frame)
            except OSError as error:
                raise storage_error(self.into / frame.camera, error) from error
        return segment

    def _finish(self, stream: Stream, act: Callable[[Segment], None], *, keep: bool = False) -> None:
        segment = self._open[stream]
        before = segment.bytes
        try:
            act(segment)
        except OSError as error:
            self._give_up(stream, segment)
            raise storage_error(segment.path, error) from error
        self._bytes += segment.bytes - before
        if not keep:
            del self._open[stream]

    def _give_up(self, stream: Stream, segment: Segment) -> None:
        """Let go of a segment that failed. What it could not keep waits, before what came later."""
        del self._open[stream]
        had, cut = segment.frames, segment.abandon()
        if cut:
            self._waiting[stream] = cut + self._waiting.get(stream, [])
        self._frames -= len(cut)
        self._segments -= had > 0 and len(cut) == had

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def check_target(into: Path) -> None:
    """Create the folder `into` and prove that files can be written there, or raise `StorageError`."""
    try:
        into.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=into) as probe:
            probe.write(b"\0" * 4096)
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        raise storage_error(into, error) from error


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
