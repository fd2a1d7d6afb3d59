"""One recorded segment, open for reading: its lines, and the pictures that belong to them.

Rules kept here: its lines are read before its pictures are looked for, as they are written after them, so
that a segment which is being written is read up to its last whole frame, and what is missing is damage; a
line and a picture belong together by their time in the file, so that damage to one costs one frame.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mesh.codec import jpeg_size
from mesh.errors import DecodeError, StorageError
from mesh.frame import Codec, Frame, new_frame
from mesh.recordings.ebml import Place, places
from mesh.recordings.files import FileBytes
from mesh.recordings.lines import Entry, fields

EDGE = 256 * 1024


@dataclass(frozen=True, slots=True)
class Line:
    """What a frame's line says: the fields of the frame, but for its picture, and the rest of it."""

    fields: dict[str, Any]
    entry: Entry

    @property
    def captured_ns(self) -> int:
        return self.entry.captured_ns


class SegmentReader:
    """The two files of a segment. A context manager; not for two threads at a time.

    damaged:  how many of its frames could not be read so far

    Raises `StorageError` where one of them is missing, or is none of ours.
    """

    def __init__(self, video: Path) -> None:
        self.path = video
        self.damaged = 0
        self._text = _text(video.with_suffix(".jsonl"))
        self._size: tuple[int, int] | None = None  # of its pictures; all have one size
        with ExitStack() as stack:
            self._pictures, self._places = _opened(video, stack)
            self._stack = stack.pop_all()

    def __repr__(self) -> str:
        return f"<SegmentReader {self.path}>"

    def lines(self) -> Iterator[Line]:
        """What its lines say, in the order in which the frames were recorded."""
        start = 0
        while (newline := self._text.find(b"\n", start)) >= 0:
            text, start = self._text[start:newline], newline + 1
            try:
                yield Line(*fields(text))
            except ValueError:
                self.damaged += 1

    def frame(self, line: Line) -> Frame | None:
        """The frame of a line; None where its picture is damaged. Raises `StorageError`."""
        place = self._places.get(line.entry.pts_ms)
        try:
            payload = place.read(self._pictures) if place is not None else None
            size = self._size_of(payload) if payload is not None else None
        except OSError as error:
            raise StorageError(f"it cannot be read: {error.strerror}") from error
        except DecodeError:
            size = None
        if payload is None or size is None:
            self.damaged += 1
            return None
        return pictured(line.fields, payload, size)

    def close(self) -> None:
        self._stack.close()

    def _size_of(self, jpeg: bytes) -> tuple[int, int]:
        if self._size is None:
            self._size = jpeg_size(jpeg)
        return self._size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def pictured(told: dict[str, Any], payload: bytes, size: tuple[int, int]) -> Frame:
    """The frame of a line's fields and its picture, a JPEG of `size` (width, height)."""
    image = {"width": size[0], "height": size[1], "payload": payload, "codec": Codec.JPEG}
    return new_frame(told | image)


def ends_of(video: Path) -> tuple[int, int] | None:
    """When the first and the last frame that stand in a segment's lines were captured, the earlier one first;
    None for a segment without one. Raises `StorageError`."""
    texts = _first_and_last(video.with_suffix(".jsonl"))
    first, last = _said(texts), _said(reversed(texts))
    times = sorted(each["captured_ns"] for each in (first, last) if each is not None)
    return (times[0], times[-1]) if times else None


def number_of(video: Path) -> tuple[int, int, int]:
    """The (boot, seq, part) of a segment's first frame. Raises `StorageError`, for a segment without one,
    too."""
    first = _said(_first_and_last(video.with_suffix(".jsonl")))
    if first is None:
        raise StorageError("its lines cannot be read")
    return first["boot"], first["seq"], first["part"]


def _first_and_last(path: Path) -> list[bytes]:
    """A few whole lines from both ends of a file; all of a small one. Raises `StorageError`."""
    try:
        with path.open("rb") as file:
            head = file.read(EDGE)
            size = os.fstat(file.fileno()).st_size
            file.seek(max(len(head), size - EDGE))
            return (head + file.read()).split(b"\n")[:-1]
    except OSError as error:
        raise StorageError(f"its lines cannot be read: {error.strerror}") from error


def _said(texts: Iterable[bytes]) -> dict[str, Any] | None:
    """What the first of these lines says that can be read."""
    for text in texts:
        try:
            return fields(text)[0]
        except ValueError:
            continue
    return None


def _text(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError(f"its lines cannot be read: {error.strerror}") from error


def _opened(video: Path, stack: ExitStack) -> tuple[FileBytes, dict[int, Place]]:
    """The bytes of a video, and where its frames lie, by their times."""
    try:
        file = stack.enter_context(video.open("rb", buffering=0))
        data = FileBytes(file.fileno(), os.fstat(file.fileno()).st_size)
        return data, {place.time_ms: place for place in places(data)}
    except OSError as error:
        raise StorageError(f"it cannot be read: {error.strerror}") from error
