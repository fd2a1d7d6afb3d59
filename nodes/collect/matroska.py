"""Matroska by stream copy: the collector's only module that knows PyAV.

Rules kept here: JPEG packets go in as they came, nothing is encoded; a cluster is handed to the system as
soon as it is whole, which for pictures above 4 KB means every frame when the next one comes; what a failed
write left half done can be cut off, because the end of the last whole cluster is always known.
"""

import errno
import io
import os
from collections.abc import Mapping
from contextlib import suppress
from fractions import Fraction

import av
import av.logging

from mesh.codec import Buffer

# FFmpeg prints by itself; what matters reaches us as an exception.
av.logging.set_level(None)

MILLISECOND = Fraction(1, 1000)
OPTIONS = {"cluster_time_limit": "1000", "flush_packets": "1"}


class MatroskaWriter:
    """An MJPEG track in a Matroska file of one size. Raises `OSError` when the disk refuses.

    whole_bytes, whole_frames:  how far the file reaches up to its last whole cluster, and the frames in it.
    """

    def __init__(self, file: io.FileIO, width: int, height: int, tags: Mapping[str, str]) -> None:
        self.frames = 0
        self.whole_bytes = 0
        self.whole_frames = 0
        self._sink = _Sink(file)
        self._output = av.open(self._sink, "w", format="matroska", options=OPTIONS)
        self._stream = self._output.add_mux_stream("mjpeg", width=width, height=height)
        self._stream.time_base = MILLISECOND
        self._output.metadata.update(tags)

    @property
    def size(self) -> int:
        """Bytes in the file so far."""
        return self._sink.end

    def write(self, jpeg: Buffer, pts_ms: int) -> None:
        """Append a frame at `pts_ms`, which must be above the last one's. Raises `OSError`."""
        packet = av.Packet(jpeg)  # type: ignore[arg-type]  # any buffer will do; its stub says bytes
        packet.stream = self._stream
        packet.time_base = MILLISECOND
        packet.pts = packet.dts = pts_ms
        packet.is_keyframe = True
        before = self._sink.end
        try:
            self._output.mux(packet)
        except av.FFmpegError as error:
            raise OSError(errno.EIO, f"FFmpeg: {error}") from error
        if self._sink.end > before:
            # A cluster is written when the frame after it comes: it holds all frames but this one.
            self.whole_bytes, self.whole_frames = self._sink.end, self.frames
        self.frames += 1

    def close(self) -> None:
        """Write what is held back, the index and the duration. The file itself stays open. `OSError`."""
        try:
            self._output.close()
        except av.FFmpegError as error:
            raise OSError(errno.EIO, f"FFmpeg: {error}") from error
        self.whole_bytes, self.whole_frames = self._sink.end, self.frames

    def abandon(self) -> None:
        """Let go without writing anything more."""
        self._sink.closed_for_writing = True
        # The first call may repeat the error that the sink raised; the second one frees the rest.
        for _ in range(2):
            with suppress(OSError, av.FFmpegError):
                self._output.close()


class _Sink:
    """The file as FFmpeg sees it: every write whole or an error, nothing buffered here."""

    def __init__(self, file: io.FileIO) -> None:
        self.end = 0
        self.closed_for_writing = False
        self._fd = file.fileno()
        self._at = 0

    def write(self, data: Buffer) -> int:
        if self.closed_for_writing:
            return len(data)
        write_all(self._fd, data, self._at)
        self._at += len(data)
        self.end = max(self.end, self._at)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.end}[whence]
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def seekable(self) -> bool:
        return True


def write_all(fd: int, data: Buffer, offset: int) -> None:
    """Write all of `data` at `offset`; a disk that is nearly full takes a part first. Raises `OSError`."""
    rest = memoryview(data)
    while rest:
        written = os.pwrite(fd, rest, offset)
        rest, offset = rest[written:], offset + written
