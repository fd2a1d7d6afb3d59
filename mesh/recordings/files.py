"""The bytes of a file that somebody else may be writing, or cutting, at the same time.

Rules kept here: what is read is a copy, so that a file which became shorter is an error and no fault: a
memory map of it would end this process; as much is in memory as a window, and what was asked for.
"""

import os

from mesh.errors import StorageError

WINDOW = 64 * 1024


class FileBytes:
    """The first `size` bytes of an open file, read when they are asked for. Raises `OSError`, and
    `StorageError` when they are not there any more. For one thread at a time."""

    def __init__(self, fd: int, size: int) -> None:
        self._fd, self._size = fd, size
        self._at, self._window = 0, b""

    def __repr__(self) -> str:
        return f"<FileBytes {self._size}>"

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, which: slice) -> bytes:
        start, end, _ = which.indices(self._size)
        count = max(0, end - start)
        if not self._at <= start <= end <= self._at + len(self._window):
            if count > WINDOW:
                return self._read(start, count)
            self._at, self._window = start, self._read(start, min(WINDOW, self._size - start))
        return self._window[start - self._at : start - self._at + count]

    def find(self, what: bytes, start: int) -> int:
        """Where `what` is found first from `start` on; -1 where it is not."""
        while start < self._size:
            if (at := self[start : start + WINDOW].find(what)) >= 0:
                return start + at
            start += WINDOW - len(what) + 1
        return -1

    def _read(self, start: int, count: int) -> bytes:
        data = os.pread(self._fd, count, start)
        if len(data) < count:
            raise StorageError("it became shorter while it was read")
        return data
