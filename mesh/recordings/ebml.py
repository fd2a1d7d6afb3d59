"""How much of a Matroska file is whole. Pure: the file's bytes in, its clusters out (RFC 8794, RFC 9559).

It reads what `MatroskaWriter` leaves behind when its process dies, at any byte: clusters of known size, each
with a checksum, one behind the other. It is no demuxer: PyAV is, but does not say at which byte a frame ends.

Rules kept here: nothing is read beyond the bytes that are there; a cluster counts when all of it is there and
its checksum holds; what is no Matroska at all is a `StorageError`.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, overload

from mesh.errors import StorageError

EBML, SEGMENT, CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
CRC_32, TIMESTAMP, SIMPLE_BLOCK, BLOCK_GROUP, BLOCK = 0xBF, 0xE7, 0xA3, 0xA0, 0xA1
SIZE_BYTES = 8  # of the segment's own size, as FFmpeg writes it


class Bytes(Protocol):
    """A file's bytes: `bytes`, a map of it, or what reads it piece by piece."""

    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, at: int, /) -> int: ...
    @overload
    def __getitem__(self, at: slice, /) -> bytes: ...


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
class _Element:
    id: int
    start: int  # of its data
    end: int | None  # None: unknown


class _NoMore(Exception):
    """The bytes end before the element does, or hold none."""


def whole(data: Bytes) -> Whole:
    """What is whole of a Matroska file's bytes. Raises `StorageError` when they are none."""
    if data[:4] != EBML.to_bytes(4, "big")[: len(data)]:
        raise StorageError("it is not a Matroska file")
    try:
        head = _element(data, 0)
        segment = _element(data, head.end or len(data))
    except _NoMore:
        return Whole()
    if segment.id != SEGMENT:
        raise StorageError("it is not a Matroska file that was written here")
    clusters = tuple(_clusters(data, segment.start))
    return Whole(clusters, segment.start - SIZE_BYTES, segment.end == len(data), segment.end)


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
    base = 0
    while start < end:
        element = _element(data, start)
        if element.end is None:
            return
        if element.id == TIMESTAMP:
            base = int.from_bytes(data[element.start : element.end], "big")
        elif element.id == SIMPLE_BLOCK:
            yield base + _block_time(data, element.start)
        elif element.id == BLOCK_GROUP:
            yield base + _block_time(data, _element(data, element.start).start)
        start = element.end


def _block_time(data: Bytes, at: int) -> int:
    """A block's time, from its cluster's: after the track's number, a signed number of 16 bits."""
    _, length = _number(data, at, marked=False)
    return int(struct.unpack(">h", data[at + length : at + length + 2])[0])


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
    length = 9 - data[at].bit_length()
    if length > 8 or at + length > len(data):
        raise _NoMore
    number = int.from_bytes(data[at : at + length], "big")
    return number if marked else number & (1 << 7 * length) - 1, length
