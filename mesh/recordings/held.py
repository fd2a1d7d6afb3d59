"""A segment's two files, read.

Rules kept here: what the disk refuses is an `OSError` where it is read, never a signal: files are not mapped;
memory is a page and the largest picture, however long a file is.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, overload

from mesh.errors import StorageError
from mesh.recordings.contents import Contents
from mesh.recordings.index import Listed, SegmentRow
from mesh.recordings.lines import Entry, entries

PAGE = 1 << 18


class Pages:
    """A file's bytes, as many as it had when it was opened, read piece by piece. Raises `OSError`."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._length = os.fstat(self._fd).st_size
        self._at, self._page = 0, b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, at: int, /) -> int: ...
    @overload
    def __getitem__(self, at: slice, /) -> bytes: ...
    def __getitem__(self, at: int | slice, /) -> int | bytes:
        if isinstance(at, slice):
            start, stop, _ = at.indices(self._length)
            return self._bytes(start, stop)
        if not self._at <= at < self._at + len(self._page):
            self._turn(at, at + 1)
        return self._page[at - self._at]

    def _bytes(self, start: int, stop: int) -> bytes:
        if not (self._at <= start and stop <= self._at + len(self._page)):
            self._turn(start, stop)
        return self._page[start - self._at : max(start, stop) - self._at]

    def _turn(self, start: int, stop: int) -> None:
        """Have at least these bytes in memory."""
        wanted = min(max(stop - start, PAGE), self._length - start)
        self._at, self._page = start, os.pread(self._fd, wanted, start)
        if len(self._page) < stop - start:
            raise OSError("it was cut short while it was read")


def read_lines(lines: Path) -> tuple[list[Entry], int]:
    """The lines of a `.jsonl`, up to the first that is none of ours, and the file's bytes.

    Raises `StorageError` when there is none.
    """
    try:
        text = lines.read_bytes()
    except FileNotFoundError:
        raise StorageError("its lines are missing") from None
    except OSError as error:
        raise StorageError(f"its lines cannot be read: {error.strerror}") from error
    return list(entries(text)), len(text)


def listed(path: str, kept: Sequence[Entry], size: int) -> Listed:
    """A segment that is closed as the index has it, from its lines. Pure."""
    stage, camera, boot, _, _ = kept[0].identity
    holds = Contents()
    for entry in kept:
        holds.add(entry.captured_ns, entry.found, late=entry.late)
    times = holds.first_ns, holds.last_ns
    row = SegmentRow(path, stage, camera, boot, False, holds.frames, holds.late, *times, size)
    return Listed(row, tuple(holds.events), tuple(holds.gaps))
