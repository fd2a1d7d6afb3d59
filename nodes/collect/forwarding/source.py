"""Recorded frames read back to be forwarded: some at a time, from where the last ones ended.

Rules kept here: a file is open for one call only, so that however many cameras wait, none stays open; what
was read is not read again, whether the segment still grows or not; each line of a segment counts, in order:
one whose picture or text is damaged, or that is missing, costs itself alone.
"""

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mesh.codec import jpeg_size
from mesh.errors import DecodeError
from mesh.frame import Frame
from mesh.recordings.ebml import Place, places
from mesh.recordings.files import FileBytes
from mesh.recordings.lines import fields
from mesh.recordings.segments import pictured

CHUNK_FRAMES = 64
CHUNK_BYTES = 2 * 1024 * 1024
LINE_BYTES = 4 * 1024 * 1024  # above any line: a header on the wire has 64 KiB
_PASSING = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EACCES, errno.EPERM, errno.EAGAIN}


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a segment was read: leading lines, and where the next one, and the next picture, begin."""

    lines: int = 0
    text_at: int = 0
    video_at: int = 0


@dataclass(frozen=True, slots=True)
class Chunk:
    """The frames of the lines that come next, None for one that cannot be read; and how far that is."""

    frames: tuple[Frame | None, ...]
    mark: Mark


def read_on(video: Path, mark: Mark, lines: int, *, skip: int = 0) -> Chunk:
    """The frames behind `mark`, up to the first `lines` of the segment, and no more than a chunk.

    skip:  leading lines that are not wanted any more

    Raises `OSError`, and `StorageError` for what is no recording; a file that was removed is a
    `FileNotFoundError`.
    """
    with video.with_suffix(".jsonl").open("rb") as text, video.open("rb", buffering=0) as file:
        _skip(text, mark, skip)
        data = FileBytes(file.fileno(), os.fstat(file.fileno()).st_size)
        return _read(text, _Pictures(data, mark.video_at), max(mark.lines, skip), lines)


def _skip(text: BinaryIO, mark: Mark, lines: int) -> None:
    """Go to where a segment is to be read on, behind so many lines at least."""
    text.seek(mark.text_at)
    for _ in range(mark.lines, lines):
        text.readline(LINE_BYTES)


def _read(text: BinaryIO, pictures: "_Pictures", begin: int, lines: int) -> Chunk:
    frames: list[Frame | None] = []
    size = 0
    while begin + len(frames) < lines and len(frames) < CHUNK_FRAMES and size < CHUNK_BYTES:
        frame = _frame(text.readline(LINE_BYTES), pictures)
        size += len(frame.payload) if frame is not None else 0
        frames.append(frame)
    return Chunk(tuple(frames), Mark(begin + len(frames), text.tell(), pictures.at))


def _frame(line: bytes, pictures: "_Pictures") -> Frame | None:
    """The frame of a line; None where the line or its picture is damaged, or missing."""
    if not line.endswith(b"\n"):
        return None
    try:
        told, entry = fields(line)
        payload = pictures.find(entry.pts_ms)
        return pictured(told, payload, jpeg_size(payload)) if payload is not None else None
    except (ValueError, DecodeError):
        return None


class _Pictures:
    """The pictures of a video, asked for by their times, which rise. `at` is behind the last one given."""

    def __init__(self, data: FileBytes, behind: int) -> None:
        self.at = behind
        self._data = data
        self._next: tuple[Place, bytes] | None = None
        self._go_back()

    def find(self, time_ms: int) -> bytes | None:
        """The picture of a time, if it is there and not damaged."""
        passed = 0
        while self._next is None or self._next[0].time_ms < time_ms:
            self._next = next(self._sound, None)
            if self._next is None:
                break
            passed += 1
        if self._next is None or self._next[0].time_ms != time_ms:
            # Where the time is what is damaged, others have what was passed.
            if passed > 1 or self._next is None:
                self._go_back()
            return None
        place, payload = self._next
        self.at = place.until
        return payload

    def _go_back(self) -> None:
        self._sound = _sound(self._data, self.at)
        self._next = None


def _sound(data: FileBytes, behind: int) -> Iterator[tuple[Place, bytes]]:
    """Where the frames lie that are not damaged, and their bytes: what else looks like one is none."""
    for place in places(data, behind):
        if (payload := place.read(data)) is not None:
            yield place, payload


def is_passing(error: OSError) -> bool:
    """Whether a file that could not be opened may well be, later: it is this process or machine that lacks
    something, or a right that is missing."""
    return error.errno in _PASSING
