"""How much of a Matroska file is whole, and where its frames lie. Pure: the file's bytes in, its clusters and
frames out (RFC 8794, RFC 9559).

It reads what `MatroskaWriter` leaves behind when its process dies, at any byte: clusters of known size, each
with a checksum, one behind the other. It is no demuxer: PyAV is, but does not say at which byte a frame ends.

Rules kept here: nothing is read beyond the bytes that are there; a cluster counts when all of it is there and
its checksum holds; what is no Matroska at all is a `StorageError`. Who cuts a file back ends at the first
cluster that does not count (`whole`); who reads its frames goes on behind it (`places`).
"""

import mmap
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from mesh.errors import StorageError
from mesh.recordings.files import FileBytes

EBML, SEGMENT, CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
HEADS = frozenset((0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1254C367, 0x1C53BB6B, 0xEC))  # beside the clusters
CRC_32, TIMESTAMP, SIMPLE_BLOCK, BLOCK_GROUP, BLOCK = 0xBF, 0xE7, 0xA3, 0xA0, 0xA1
Bytes = bytes | mmap.mmap | FileBytes
SIZE_BYTES = 8  # of the segment's own size, as FFmpeg writes it


@dataclass(frozen=True, slots=True)
class Cluster:
    """A whole cluster: where it ends in the file, and the times of its frames in milliseconds."""

    end: int
    times_ms: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Whole:
    """What is whole of a file: its clusters; where the segment's size stands (None: not even that is
    there); whether the file says how long it is, and is that long; and how long it says it is."""

    clusters: tuple[Cluster, ...] = ()
    size_at: int | None = None
    finished: bool = False
    says_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a frame lies in its file: its bytes from `start` to `end`, and its time in milliseconds; and the
    bytes that its cluster's checksum covers, from `covered` to `until`."""

    time_ms: int
    start: int
    end: int
    covered: int
    until: int
    checksum: int

    def read(self, data: Bytes) -> bytes | None:
        """The frame's bytes; None where they are damaged."""
        cluster = data[self.covered : self.until]
        if zlib.crc32(cluster) != self.checksum:
            return None
        return cluster[self.start - self.covered : self.end - self.covered]


@dataclass(frozen=True, slots=True)
class _Element:
    id: int
    start: int  # of its data
    end: int | None  # None: unknown


class _NoMore(Exception):
    """The bytes end before the element does, or hold none."""


def whole(data: Bytes) -> Whole:
    """What is whole of a Matroska file's bytes. Raises `StorageError` when they are none."""
    segment = _segment(data)
    if segment is None:
        return Whole()
    clusters = tuple(_clusters(data, segment.start))
    return Whole(clusters, segment.start - SIZE_BYTES, segment.end == len(data), segment.end)


def said_length(data: Bytes) -> int | None:
    """How long a Matroska file says that it is; None while it has not been ended. Raises `StorageError` when
    the bytes are no Matroska."""
    segment = _segment(data)
    return segment.end if segment is not None else None


def places(data: Bytes, behind: int = 0) -> Iterator[Place]:
    """Where each frame lies, in order; a cluster whose head is damaged is passed over. What a checksum covers
    is looked at by `Place.read`. Raises `StorageError` when the bytes are no Matroska.

    behind:  where a cluster ends (`Place.until`), to go on there
    """
    segment = _segment(data)
    at = max(segment.start, behind) if segment is not None else len(data)
    while at < len(data):
        found = _cluster_at(data, at)
        if found is None:
            at = data.find(CLUSTER.to_bytes(4, "big"), at + 1)
            if at < 0:
                return
            continue
        at, frames = found
        yield from frames


def _segment(data: Bytes) -> _Element | None:
    """The element that holds all; None where the bytes end before."""
    if data[:4] != EBML.to_bytes(4, "big")[: len(data)]:
        raise StorageError("it is not a Matroska file")
    try:
        head = _element(data, 0)
        segment = _element(data, head.end or len(data))
    except _NoMore:
        return None
    if segment.id != SEGMENT:
        raise StorageError("it is not a Matroska file that was written here")
    return segment


def _cluster_at(data: Bytes, at: int) -> tuple[int, list[Place]] | None:
    """Where the element ends that begins here, and the frames of it if it is a cluster; None where there is
    none that could be whole."""
    try:
        element = _element(data, at)
        if element.end is None or element.end > len(data) or element.id not in (CLUSTER, *HEADS):
            return None
        frames = _frames(data, element.start, element.end) if element.id == CLUSTER else []
        return None if frames is None else (element.end, frames)
    except _NoMore:
        return None


def _frames(data: Bytes, start: int, end: int) -> list[Place] | None:
    """The frames of a cluster; None where it has no checksum, or its parts do not fill it."""
    first = _element(data, start)
    if first.id != CRC_32 or first.end != first.start + 4:
        return None
    checksum = int.from_bytes(data[first.start : first.end], "little")
    blocks = list(_blocks(data, first.end, end))
    if not blocks or blocks[-1][2] > end:
        return None
    return [Place(time_ms, at, to, first.end, end, checksum) for time_ms, at, to in blocks]


def size_field(segment_bytes: int) -> bytes:
    """The eight bytes that say how many bytes a segment holds."""
    return (1 << 56 | segment_bytes).to_bytes(SIZE_BYTES, "big")


def _clusters(data: Bytes, at: int) -> Iterator[Cluster]:
    while at < len(data):
        try:
            element = _element(data, at)
        except _NoMore:
            return
        if element.end is None or element.end > len(data):
            return
        if element.id == CLUSTER:
            if not _is_sound(data, element.start, element.end):
                return
            yield Cluster(element.end, tuple(_times(data, element.start, element.end)))
        at = element.end


def _is_sound(data: Bytes, start: int, end: int) -> bool:
    """Whether a cluster's checksum holds, which covers all that follows it."""
    try:
        first = _element(data, start)
    except _NoMore:
        return False
    if first.id != CRC_32 or first.end is None or first.end - first.start != 4:
        return False
    return zlib.crc32(data[first.end : end]) == int.from_bytes(data[first.start : first.end], "little")


def _times(data: Bytes, start: int, end: int) -> Iterator[int]:
    return (time_ms for time_ms, _, _ in _blocks(data, start, end))


def _blocks(data: Bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """A cluster's frames: the time of each in milliseconds, and where its bytes begin and end."""
    base = 0
    while start < end:
        element = _element(data, start)
        if element.end is None:
            return
        if element.id == TIMESTAMP:
            base = int.from_bytes(data[element.start : element.end], "big")
        elif element.id == SIMPLE_BLOCK:
            yield _block(data, base, element)
        elif element.id == BLOCK_GROUP:
            yield _block(data, base, _element(data, element.start))
        start = element.end


def _block(data: Bytes, base: int, block: _Element) -> tuple[int, int, int]:
    """After the track's number, a signed number of 16 bits: its time from its cluster's; then its flags."""
    _, length = _number(data, block.start, marked=False)
    at = block.start + length
    if block.end is None or len(after := data[at : at + 2]) < 2:
        raise _NoMore
    return base + int(struct.unpack(">h", after)[0]), at + 3, block.end


def _element(data: Bytes, at: int) -> _Element:
    identifier, id_bytes = _number(data, at, marked=True)
    size, size_bytes = _number(data, at + id_bytes, marked=False)
    start = at + id_bytes + size_bytes
    unknown = size == (1 << 7 * size_bytes) - 1
    return _Element(identifier, start, None if unknown else start + size)


def _number(data: Bytes, at: int, *, marked: bool) -> tuple[int, int]:
    """A number of variable length, with its marker bit or without, and its length in bytes."""
    if at >= len(data):
        raise _NoMore
    said = data[at : at + 8]
    length = 9 - said[0].bit_length()
    if length > 8 or at + length > len(data):
        raise _NoMore
    number = int.from_bytes(said[:length], "big")
    return number if marked else number & (1 << 7 * length) - 1, length
