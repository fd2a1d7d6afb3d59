"""Headers put together of what is packed already: msgpack's maps and arrays are a count, and what is in them.

Rules kept here: what is cut out of a header, or put together, is whole msgpack values; nothing is checked
here. A crowded frame that is passed on keeps its detections and attributes in the bytes in which they came,
and only what is new is packed. For a few detections that does not pay: to find them in a header costs as much
as to check and pack eight.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import is_
from typing import Any, NamedTuple

import msgpack

from mesh.codec import Buffer
from mesh.frame import Detection

CROWDED = 8  # detections from which it pays to keep them packed


class Entries(NamedTuple):
    """Entries of a map, packed, without the map's own header."""

    number: int
    packed: bytes


def entries(fields: dict[str, Any]) -> Entries:
    packed = msgpack.packb(fields)
    return Entries(len(fields), packed[_header_length(packed[0]) :])


def entry(name: str, packed: bytes) -> Entries:
    """One entry, of a value that is packed already."""
    return Entries(1, msgpack.packb(name) + packed)


def joined(several: Iterable[Entries]) -> Entries:
    numbers, packed = zip(*several, strict=True)
    return Entries(sum(numbers), b"".join(packed))


def map_of(first: Entries, rest: Entries) -> bytes:
    """A map of both: msgpack's `fixmap` of up to 15 entries, or its `map 16`."""
    count = first.number + rest.number
    header = bytes((0x80 | count,)) if count < 16 else b"\xde" + count.to_bytes(2, "big")
    return header + first.packed + rest.packed


def array_of(packed: bytes, new: Iterable[Any]) -> bytes:
    """An array of what a packed one holds, and of `new` values."""
    packer = msgpack.Packer()
    added = list(map(packer.pack, new))
    old = packed[_header_length(packed[0]) :]
    return b"".join((packer.pack_array_header(_length(packed) + len(added)), old, *added))


@dataclass(frozen=True, slots=True)
class Origin:
    """The header with which a frame came, and what was read from it that may be long."""

    header: Buffer
    detections: tuple[Detection, ...]
    attributes: Mapping[str, Any]

    def packed(self, detections: tuple[Detection, ...]) -> dict[str, bytes]:
        """The values of `detections` and `attributes` as they came, where a frame's detections now begin
        with those that came; else nothing."""
        old = self.detections
        if len(old) > len(detections) or not all(map(is_, old, detections)):
            return {}
        return _cut(self.header, ("detections", "attributes"))


def _cut(header: Buffer, names: tuple[str, ...]) -> dict[str, bytes]:
    """The packed values of these names; of one that is there twice the last, as a receiver takes it."""
    unpacker = msgpack.Unpacker(max_buffer_size=len(header))
    unpacker.feed(header)
    values = {}
    for _ in range(unpacker.read_map_header()):
        name = unpacker.unpack()
        begin = unpacker.tell()
        unpacker.skip()
        if name in names:
            values[name] = bytes(header[begin : unpacker.tell()])
    return values


def _header_length(first: int) -> int:
    """Of a map's or an array's header, which begins with this byte."""
    if first in (0xDC, 0xDE):
        return 3
    return 5 if first in (0xDD, 0xDF) else 1


def _length(packed: bytes) -> int:
    """Of a packed array."""
    length = _header_length(packed[0])
    return packed[0] & 0x0F if length == 1 else int.from_bytes(packed[1:length], "big")
