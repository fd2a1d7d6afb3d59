"""Matroska by stream copy: JPEGs go into the file as they came.

Rules kept here: nothing is kept back: a frame's cluster is with the system when `write` returns, and what a
write left half done is behind `end` and can be cut off; nothing is encoded, and nothing is copied on the way.

FFmpeg's muxer did this before. It writes a cluster when the next frame comes, so that the last frame of a
quiet camera was nowhere until its file was ended; it takes four calls to the system a frame, and twice the
time. What we need of Matroska is one track of pictures that each stand for themselves: see `layout`.
"""

import errno
import io
import os

from mesh.codec import Buffer
from nodes.collect.layout import MAX_FRAME, About, Ending, before, cues, head

CUE_EVERY_MS = 1000


class MatroskaWriter:
    """An MJPEG track in a Matroska file. Raises `OSError` when the disk refuses.

    end:  how far the file reaches up to its last whole frame; what is behind it does not count
    """

    def __init__(self, file: io.FileIO, about: About) -> None:
        self._fd = file.fileno()
        self._about = about
        self._cues: list[tuple[int, int]] = []  # times, and where their clusters begin
        self._last_ms = 0
        self.end = 0
        first = head(about)
        write_all(self._fd, first, 0)
        self.end = len(first)

    def write(self, jpeg: Buffer, pts_ms: int) -> None:
        """Append a frame at `pts_ms`, which must be above the last one's. Raises `OSError`."""
        if len(jpeg) > MAX_FRAME:
            raise OSError(errno.EFBIG, "a picture is larger than a cluster can be")
        start = before(jpeg, pts_ms)
        written = os.pwritev(self._fd, (start, jpeg), self.end)
        whole = len(start) + len(jpeg)
        if written < whole:
            write_all(self._fd, b"".join((start, jpeg))[written:], self.end + written)
        if not self._cues or pts_ms >= self._cues[-1][0] + CUE_EVERY_MS:
            self._cues.append((pts_ms, self.end))
        self._last_ms = pts_ms
        self.end += whole

    def finish(self) -> None:
        """Write the table to seek by, then say in the head where it is and how long the file is."""
        table = cues(self._cues)
        write_all(self._fd, table, self.end)
        ending = Ending(self.end + len(table), self._last_ms, self.end)
        write_all(self._fd, head(self._about, ending), 0)
        self.end += len(table)

    def cut(self, end: int, last_ms: int) -> None:
        """Cut the file back to where it once ended, at `last_ms`, and finish it without a table."""
        os.ftruncate(self._fd, end)
        write_all(self._fd, head(self._about, Ending(end, last_ms)), 0)
        self.end = end


def write_all(fd: int, data: Buffer, offset: int) -> None:
    """Write all of `data` at `offset`; a disk that is nearly full takes a part first. Raises `OSError`."""
    rest = memoryview(data)
    while rest:
        written = os.pwrite(fd, rest, offset)
        rest, offset = rest[written:], offset + written
