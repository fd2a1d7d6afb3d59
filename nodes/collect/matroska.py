"""Matroska by stream copy: JPEGs go into the file as they came.

Rules kept here: nothing is kept back: frames are with the system when `write` returns, and what a write left
half done is behind `end` and can be cut off; nothing is encoded, and nothing is copied on the way.

FFmpeg's muxer did this before. It writes a cluster when the next frame comes, so that the last frame of a
quiet camera was nowhere until its file was ended; it takes four calls to the system a frame, and twice the
time. What we need of Matroska is one track of pictures that each stand for themselves: see `layout`.
"""

import io
import os
from collections.abc import Iterable, Iterator, Sequence

from mesh.codec import Buffer
from nodes.collect.layout import About, Ending, Picture, cues, head

CUE_EVERY_MS = 1000
PICTURES_A_CALL = 512  # IOV_MAX is 1024, and a picture is two
BYTES_A_CALL = 1 << 20  # ext4 takes three times as long for a byte where a call has many MiB


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

    def write(self, pictures: Iterable[Picture]) -> None:
        """Append pictures, the time of each above the last one's.

        Raises `OSError`; `end` is behind the last picture then that is there whole.
        """
        for some in _calls(pictures):
            self._write(some)

    def _write(self, pictures: Sequence[Picture]) -> None:
        parts = [part for each in pictures for part in (each.start, each.jpeg)]
        written = os.pwritev(self._fd, parts, self.end)
        for each in pictures:
            if written < each.size:  # the disk is full, or nearly so: it says which when it gets the rest
                there = max(0, written)
                write_all(self._fd, b"".join(each[:2])[there:], self.end + there)
            written -= each.size
            self._note(each)

    def _note(self, picture: Picture) -> None:
        """A picture is in the file."""
        if not self._cues or picture.pts_ms >= self._cues[-1][0] + CUE_EVERY_MS:
            self._cues.append((picture.pts_ms, self.end))
        self._last_ms = picture.pts_ms
        self.end += picture.size

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


def _calls(pictures: Iterable[Picture]) -> Iterator[list[Picture]]:
    """As many pictures as go to the system with one call."""
    some: list[Picture] = []
    size = 0
    for each in pictures:
        some.append(each)
        size += each.size
        if size >= BYTES_A_CALL or len(some) >= PICTURES_A_CALL:
            yield some
            some, size = [], 0
    if some:
        yield some


def write_all(fd: int, data: Buffer, offset: int) -> None:
    """Write all of `data` at `offset`; a disk that is nearly full takes a part first. Raises `OSError`."""
    rest = memoryview(data)
    while rest:
        written = os.pwrite(fd, rest, offset)
        rest, offset = rest[written:], offset + written
