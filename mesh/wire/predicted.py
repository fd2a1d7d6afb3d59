"""Headers as the one before them: in a stream a few integers change, and the rest stays. It is Van Jacobson's
header prediction (BSD 1990; for what is sent, RFC 1144), for msgpack.

Rules kept here: a layout is cut out of a header that was checked and packed, or unpacked and checked, in the
general way; what differs in anything but those integers goes the general way, which alone refuses; a topic
keeps one small layout for each direction, so that they are as bounded as topics are; nothing is checked here
but that the prediction holds.
"""

import struct
from dataclasses import dataclass
from operator import le
from typing import Any

import msgpack

from mesh.codec import Buffer
from mesh.frame import Codec, Frame, Hop, new_frame
from mesh.wire.fields import MAX_INT
from mesh.wire.topics import Topic

MOST_FIXINT = 0x7F


@dataclass(frozen=True, slots=True)
class _Width:
    """How msgpack packs an integer from `least` to `most`: behind `skip` bytes that tell so."""

    format: str
    least: int
    most: int
    skip: int = 1


_FIXINT = _Width("B", 0, MOST_FIXINT, skip=0)
_WIDTHS = {
    0xCC: _Width("B", 1 << 7, (1 << 8) - 1),
    0xCD: _Width("H", 1 << 8, (1 << 16) - 1),
    0xCE: _Width("I", 1 << 16, (1 << 32) - 1),
    0xCF: _Width("Q", 1 << 32, MAX_INT),
} | dict.fromkeys(range(MOST_FIXINT + 1), _FIXINT)
_Span = tuple[int, int, _Width]  # of an integer in a header: from, to

_INTS = ("n", "seq", "captured_ns")  # that change, in this order, before those in the hops
_SAME = ("camera", "stage", "boot", "width", "height", "codec", "keyframe", "lossless", "partitions")
_INTEGERS = {int}
EVERY = 16  # frames; one of them is learned from
MOST_BYTES = 1024  # of a header that is kept, for each topic
SENT, RECEIVED = "_sent", "_received"  # where a topic keeps its layouts


class _Unforeseen(Exception):
    """A header that has no such layout."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A header cut at the integers that change: `n`, `seq`, `captured_ns`, and each hop's two."""

    shape: struct.Struct  # constants and integers, in turns
    constants: tuple[bytes, ...]  # one more than there are integers
    least: tuple[int, ...]
    most: tuple[int, ...]
    key: tuple[Any, ...]  # of the frame, and of the run that sent it: see `_key`
    fields: dict[str, Any]  # of the frame that came with it, without those that change

    def packed(self, values: tuple[int, ...]) -> bytes | None:
        """The header with these integers; None where they would be packed in other widths."""
        if not (all(map(le, self.least, values)) and all(map(le, values, self.most))):
            return None
        args: list[Any] = [b""] * (2 * len(values) + 1)
        args[::2], args[1::2] = self.constants, values
        return self.shape.pack(*args)

    def unpacked(self, header: Buffer) -> tuple[int, ...] | None:
        """The integers of a header; None where it is another one."""
        if len(header) != self.shape.size:
            return None
        found = self.shape.unpack(header)
        values = found[1::2]
        if found[::2] != self.constants or not all(map(le, values, self.most)):
            return None
        return values


def foretell(topic: Topic, run: int, n: int, frame: Frame) -> bytes | None:
    """The header of a frame, as `SENT` before it; None where it has to be packed in the general way."""
    layout: Layout | None = vars(topic).get(SENT)
    if layout is None or not _is_plain(frame) or layout.key != _key(run, frame):
        return None
    if frame.partitions > 1 and frame.partition != topic.partition:
        return None
    values = [n, frame.seq, frame.captured_ns]
    for hop in frame.hops:
        values += hop.received_ns, hop.sent_ns
    if set(map(type, (run, frame.boot, frame.width, frame.height, frame.partitions, *values))) != _INTEGERS:
        return None
    return layout.packed(tuple(values))


def recognise(
    topic: Topic, header: Buffer, payload: Buffer, received_ns: int
) -> tuple[int, int, Frame] | None:
    """(run, n, frame) of a header that is as `RECEIVED` before it; None where it has to be unpacked."""
    layout: Layout | None = vars(topic).get(RECEIVED)
    if layout is None or (values := layout.unpacked(header)) is None:
        return None
    n, seq, captured_ns, *times = values
    partitions, nodes = layout.key[-2:]
    if partitions > 1 and seq % partitions != topic.partition:
        return None
    fields = layout.fields | {
        "seq": seq,
        "captured_ns": captured_ns,
        "payload": payload,
        "received_ns": received_ns,
        "hops": tuple(map(Hop, nodes, times[::2], times[1::2])),
    }
    return layout.key[0], n, new_frame(fields)


def learn(topic: Topic, way: str, run: int, n: int, header: Buffer, frame: Frame) -> None:
    """Keep the layout of a header that was packed or unpacked in the general way, where it has one.

    Now and then only: where streams take turns on a topic, or integers are small yet, it would not pay.
    """
    if n % EVERY or len(header) > MOST_BYTES or not _is_plain(frame):
        return
    try:
        header = bytes(header)
        spans = _spans(header)
    except (_Unforeseen, ValueError, msgpack.exceptions.UnpackException):
        return
    ends = [0, *(end for _, end, _ in spans)]
    begins = [*(begin for begin, _, _ in spans), len(header)]
    constants = tuple(header[end:begin] for end, begin in zip(ends, begins, strict=True))
    widths = [width for _, _, width in spans]
    formats = [*(width.format for width in widths), ""]
    shape = struct.Struct(">" + "".join(f"{len(c)}s{f}" for c, f in zip(constants, formats, strict=True)))
    least, most = tuple(width.least for width in widths), tuple(width.most for width in widths)
    same = {name: vars(frame)[name] for name in _SAME if name in vars(frame)}
    vars(topic)[way] = Layout(shape, constants, least, most, _key(run, frame), same)


def _key(run: int, frame: Frame) -> tuple[Any, ...]:
    """What the constants of a plain frame's header hold."""
    nodes = tuple([hop.node for hop in frame.hops])
    return run, frame.boot, frame.width, frame.height, frame.keyframe, frame.partitions, nodes


def _is_plain(frame: Frame) -> bool:
    """Whether a frame is such that `_key` and the integers are all that its header holds."""
    return (
        frame.codec is Codec.JPEG
        and frame.keyframe is True
        and not (frame.detections or frame.attributes or frame.part or frame.config or frame.lossless)
        and frame.pts_ns is None
        and frame.shm is None
    )


def _spans(header: bytes) -> list[_Span]:
    """Where the integers are that change."""
    unpacker = msgpack.Unpacker(max_buffer_size=len(header))
    unpacker.feed(header)
    names: list[str] = []
    spans: list[_Span] = []
    for _ in range(unpacker.read_map_header()):
        name = unpacker.unpack()
        if name == "hops":
            for _ in range(unpacker.read_array_header()):
                unpacker.read_array_header()
                unpacker.skip()
                spans += [_span(unpacker, header), _span(unpacker, header)]
        elif name in _INTS:
            spans.append(_span(unpacker, header))
        else:
            unpacker.skip()
        names.append(name)
    changing = [name for name in names if name in _INTS or name == "hops"]
    if changing not in ([*_INTS, "hops"], [*_INTS]) or len(set(names)) < len(names):
        raise _Unforeseen
    return spans


def _span(unpacker: msgpack.Unpacker, header: bytes) -> _Span:
    begin = unpacker.tell()
    unpacker.skip()
    if (width := _WIDTHS.get(header[begin])) is None:
        raise _Unforeseen
    return begin + width.skip, unpacker.tell(), width
