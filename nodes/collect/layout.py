"""The bytes of a recording's Matroska file. Pure (RFC 8794, RFC 9559); `ebml` reads them back.

    EBML header | Segment: seek head, info, tracks, tags | a cluster for each frame | cues

Rules kept here: the head has one length from the first byte to the last, so that it can be written again in
place when the file ends; until then it names no length, no duration and no cues, which players take for a
recording that goes on; a cluster holds one frame and a checksum over all of it, so that a file that was cut
at any byte, or damaged, keeps every other frame.
"""

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mesh.codec import Buffer
from mesh.errors import DecodeError
from mesh.recordings.ebml import CLUSTER, CRC_32, EBML, SEGMENT, SIMPLE_BLOCK, TIMESTAMP, size_field

UNKNOWN_SIZE = b"\x01" + b"\xff" * 7
EPOCH_2001_NS = 978_307_200 * 1_000_000_000  # Matroska counts its dates from 2001
MAX_FRAME = (1 << 28) - 64  # what the four bytes of a cluster's size can say
APPLICATION = "mesh"

INFO, TRACKS, TAGS, CUES = 0x1549A966, 0x1654AE6B, 0x1254C367, 0x1C53BB6B
_SEEK_BYTES = 21
_VOID = 0xEC
_BLOCK = struct.Struct(">BBQBIBHB")  # Timestamp, and the SimpleBlock up to its frame
_CLUSTER = struct.Struct(">IIBB")  # Cluster and CRC-32 up to its value
_SIZE_4, _TRACK_1, _KEYFRAME = 0x1000_0000, 0x81, 0x80


@dataclass(frozen=True, slots=True)
class About:
    """What a file's head says of it: the size of its pictures in pixels, a title, its begin, and tags."""

    width: int
    height: int
    title: str
    begins_ns: int
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Ending:
    """What the head says once the file has ended: its bytes in all, its duration, and where its cues lie."""

    file_bytes: int
    duration_ms: int
    cues_at: int | None = None


def head(about: About, ending: Ending | None = None) -> bytes:
    """All before the first cluster; as long with an `ending` as without one."""
    start = _element(EBML, _EBML_HEADER)
    segment = SEGMENT.to_bytes(4, "big")
    parts = {INFO: _info(about, ending), TRACKS: _tracks(about), TAGS: _tags(about)}
    size = UNKNOWN_SIZE if ending is None else size_field(ending.file_bytes - SEGMENT_AT)
    cues_at = ending.cues_at - SEGMENT_AT if ending is not None and ending.cues_at is not None else None
    return b"".join((start, segment, size, _seek_head(parts, cues_at), *parts.values()))


class Picture(NamedTuple):
    """A frame as it stands in the file: what comes before its bytes in its cluster, these, and its time."""

    start: bytes
    jpeg: Buffer
    pts_ms: int

    @property
    def size(self) -> int:
        return len(self.start) + len(self.jpeg)


def picture(jpeg: Buffer, pts_ms: int) -> Picture:
    """A frame's cluster, which ends with the frame. Raises `DecodeError` for one that is too large for it."""
    if len(jpeg) > MAX_FRAME:
        raise DecodeError(f"a picture of {len(jpeg)} bytes, over the limit of {MAX_FRAME}")
    block = _BLOCK.pack(
        TIMESTAMP, 0x88, pts_ms, SIMPLE_BLOCK, _SIZE_4 | (len(jpeg) + 4), _TRACK_1, 0, _KEYFRAME
    )
    size = _SIZE_4 | (6 + _BLOCK.size + len(jpeg))
    checksum = zlib.crc32(jpeg, zlib.crc32(block)).to_bytes(4, "little")
    return Picture(_CLUSTER.pack(CLUSTER, size, CRC_32, 0x84) + checksum + block, jpeg, pts_ms)


def cues(points: Sequence[tuple[int, int]]) -> bytes:
    """The table to seek by: times in milliseconds, and where in the file their clusters begin."""
    return _element(CUES, *(_cue(time_ms, at - SEGMENT_AT) for time_ms, at in points))


def _seek_head(parts: Mapping[int, bytes], cues_at: int | None) -> bytes:
    """Where the parts begin. What has no cues yet has as many bytes of nothing instead."""
    at = len(_element(0x114D9B74, bytes((len(parts) + 1) * _SEEK_BYTES)))
    entries = []
    for identifier, part in parts.items():
        entries.append(_seek(identifier, at))
        at += len(part)
    if cues_at is not None:
        return _element(0x114D9B74, *entries, _seek(CUES, cues_at))
    return _element(0x114D9B74, *entries, _nothing(_SEEK_BYTES))


def _seek(identifier: int, at: int) -> bytes:
    return _element(
        0x4DBB, _element(0x53AB, identifier.to_bytes(4, "big")), _element(0x53AC, at.to_bytes(8, "big"))
    )


def _info(about: About, ending: Ending | None) -> bytes:
    duration = (
        _nothing(11)
        if ending is None
        else _element(0x4489, struct.pack(">d", float(max(1, ending.duration_ms))))
    )
    return _element(
        INFO,
        _uint(0x2AD7B1, 1_000_000),  # a time is in milliseconds
        duration,
        _element(0x4461, struct.pack(">q", about.begins_ns - EPOCH_2001_NS)),
        _text(0x7BA9, about.title),
        _text(0x4D80, APPLICATION),
        _text(0x5741, APPLICATION),
    )


def _tracks(about: About) -> bytes:
    video = _element(
        0xE0, _uint(0x9A, 2), _uint(0xB0, about.width), _uint(0xBA, about.height)
    )  # 2: progressive
    entry = _element(
        0xAE,
        _uint(0xD7, 1),
        _uint(0x73C5, 1),
        _uint(0x83, 1),  # a video track
        _uint(0x9C, 0),  # no lacing
        _text(0x22B59C, "und"),
        _text(0x86, "V_MJPEG"),
        video,
    )
    return _element(TRACKS, entry)


def _tags(about: About) -> bytes:
    tags = (_element(0x67C8, _text(0x45A3, name), _text(0x4487, value)) for name, value in about.tags.items())
    return _element(TAGS, _element(0x7373, _element(0x63C0), *tags))


def _cue(time_ms: int, at: int) -> bytes:
    return _element(0xBB, _uint(0xB3, time_ms), _element(0xB7, _uint(0xF7, 1), _uint(0xF1, at)))


def _element(identifier: int, *data: bytes) -> bytes:
    content = b"".join(data)
    name = identifier.to_bytes((identifier.bit_length() + 7) // 8, "big")
    return name + _size(len(content)) + content


def _size(size: int) -> bytes:
    """A size in as few bytes as it takes; all ones is kept for `unknown`."""
    length = 1
    while size >= (1 << 7 * length) - 1:
        length += 1
    return (1 << 7 * length | size).to_bytes(length, "big")


def _uint(identifier: int, number: int) -> bytes:
    return _element(identifier, number.to_bytes(max(1, (number.bit_length() + 7) // 8), "big"))


def _text(identifier: int, text: str) -> bytes:
    return _element(identifier, text.encode())


def _nothing(length: int) -> bytes:
    """An element of `length` bytes in all (at most 128) that says nothing."""
    return _element(_VOID, bytes(length - 2))


_EBML_HEADER = b"".join(
    (
        _uint(0x4286, 1),  # the version of EBML, and the one that is needed to read it
        _uint(0x42F7, 1),
        _uint(0x42F2, 4),  # the longest identifier and size in bytes
        _uint(0x42F3, 8),
        _text(0x4282, "matroska"),
        _uint(0x4287, 4),  # the version of Matroska, and the one that is needed to read it
        _uint(0x4285, 2),
    )
)
# Where the data of the segment begins, from which positions are counted.
SEGMENT_AT = len(_element(EBML, _EBML_HEADER)) + 4 + len(UNKNOWN_SIZE)
