"""Frame <-> message parts, as docs/WIRE.md specifies them. Sans-I/O, and the only module that knows msgpack
for frames.

Rules kept here: parts in, a `Message` or one `WireError` out, whatever the parts hold; sizes are checked
before anything is unpacked; nothing is ever unpickled or evaluated; a header field that is unknown is
ignored, one that is known and off is refused. What `encode` gives, `decode` takes: a message that every
receiver refuses would be sent again for ever.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NoReturn

import msgpack

from mesh.codec import Buffer
from mesh.errors import WireError
from mesh.frame import MAX_INT as MAX_INT
from mesh.frame import (
    Codec,
    Detection,
    EndOfStream,
    Frame,
    Hop,
    attributes_in,
    brief,
    check_detection,
    check_hop,
    check_keys,
    check_plain,
    int_in,
    refuse,
    typed_in,
)
from mesh.names import NAME

VERSION = 1
MAX_HEADER = 64 * 1024
CREDIT = b"\x02"

_TOPIC = re.compile(
    rb"(frame|meta|preview)/([a-z0-9][a-z0-9_-]{0,62})/([a-z0-9][a-z0-9_-]{0,62})/(0|[1-9][0-9]{0,3})/\Z"
)

# What each field of a header is.
_INTS = ("v", "run", "n", "boot", "flow", "end", "seq", "captured_ns", "pts_ns", "width", "height")
_KINDS: dict[str, type] = dict.fromkeys((*_INTS, "channels", "part"), int) | {
    "codec": Codec, "key": bool, "config": bytes, "detections": list, "hops": list, "attributes": dict
}  # fmt: skip

_ACK = re.compile(rb"ack/([a-z0-9][a-z0-9_-]{0,62})/\Z")


class View(StrEnum):
    """The form in which a subscriber asks for a frame."""

    FRAME = "frame"  # the stream's own codec
    META = "meta"  # identity and annotations, no image
    PREVIEW = "preview"  # a small JPEG at a low rate


@dataclass(frozen=True, slots=True)
class Topic:
    """`VIEW/STAGE/CAMERA/PARTITION/`."""

    view: View
    stage: str
    camera: str
    partition: int = 0

    def __bytes__(self) -> bytes:
        return f"{self.view}/{self.stage}/{self.camera}/{self.partition}/".encode()


@dataclass(frozen=True, slots=True)
class Limits:
    """What a receiver accepts: payload bytes, and pixels on a side."""

    payload: int = 32 * 1024 * 1024
    side: int = 16_384


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Message:
    """One message: a frame or the end of a stream.

    `run` is drawn anew each time that a publisher starts; `n` counts what it offered on this topic of this
    boot, from 0, so that a gap in `n` is a loss on the link. An end carries the count as its `n`.
    `flow` is set on lossless streams: the lowest `n` that can still be had.
    """

    topic: Topic
    run: int
    n: int
    body: Frame | EndOfStream
    flow: int | None = None


@dataclass(frozen=True, slots=True)
class Envelope:
    """What goes before a pushed result: who sent it, since which start, and its number, from 0."""

    sender: str
    run: int
    number: int


@dataclass(frozen=True, slots=True)
class Ack:
    """Results of one sender's run that a collector has recorded."""

    sender: str
    run: int
    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Credit:
    """What a consumer of a lossless topic says to its publisher: of `run` and `boot` it has everything below
    `next`, it has room for `room` messages more, and it is `missing` one when a later one came."""

    consumer: str
    topic: bytes
    run: int
    boot: int
    next: int
    room: int
    missing: bool = False


Parts = tuple[bytes, bytes, Buffer]


def topic_prefix(view: View, stage: str, camera: str | None = None) -> bytes:
    """What to subscribe to: one camera's topics, or those of all cameras of a stage."""
    return f"{view}/{stage}/{camera}/".encode() if camera else f"{view}/{stage}/".encode()


def encode(message: Message, limits: Limits = DEFAULT_LIMITS) -> Parts:
    """The three parts of a message. Raises `WireError` for one that `decode` would refuse."""
    try:
        return _encoded(message, limits)
    except (WireError, TypeError, ValueError, OverflowError, AttributeError, BufferError) as error:
        body = message.body
        what = f"{type(body).__name__} {body.stage}/{body.camera} boot={body.boot}"
        raise WireError(f"{what} cannot be packed: {error}") from error


def decode(parts: Sequence[Buffer], limits: Limits = DEFAULT_LIMITS, received_ns: int = 0) -> Message:
    """The message that three parts hold. Raises `WireError` for anything that docs/WIRE.md does not allow."""
    if len(parts) != 3:
        refuse(f"{len(parts)} parts, not 3")
    topic = _topic(parts[0])
    header = _header_map(parts[1])
    _check_size(parts[2], limits)
    run, n, boot = int_in(header, "run"), int_in(header, "n"), int_in(header, "boot")
    flow = int_in(header, "flow") if "flow" in header else None
    if "end" in header:
        if len(parts[2]):
            refuse("an end of stream carries a payload")
        end = EndOfStream(topic.camera, boot, int_in(header, "end"), topic.stage, "flow" in header)
        return Message(topic, run, n, end, flow)
    return Message(topic, run, n, _frame(topic, boot, header, parts[2], limits, received_ns), flow)


def encode_envelope(envelope: Envelope) -> bytes:
    return bytes(msgpack.packb([VERSION, envelope.sender, envelope.run, envelope.number]))


def decode_envelope(part: Buffer) -> Envelope:
    """Raises `WireError`."""
    fields = _unpack(part)
    if not isinstance(fields, list) or len(fields) != 4:
        refuse("an envelope is not [version, sender, run, number]")
    if not isinstance(fields[1], str) or not NAME.match(fields[1]):
        refuse("an envelope's sender is not a name")
    _check_version(fields[0])
    numbers = {"run": fields[2], "number": fields[3]}
    return Envelope(fields[1], int_in(numbers, "run"), int_in(numbers, "number"))


def ack_topic(sender: str) -> bytes:
    """What a sender subscribes to on its collector's publisher."""
    return f"ack/{sender}/".encode()


def encode_ack(ack: Ack) -> tuple[bytes, bytes]:
    return ack_topic(ack.sender), bytes(msgpack.packb([VERSION, ack.run, ack.numbers]))


def decode_ack(parts: Sequence[Buffer]) -> Ack:
    """Raises `WireError`."""
    match = _ACK.match(parts[0]) if len(parts) == 2 and len(parts[0]) <= 256 else None
    if match is None:
        refuse("not an acknowledgement: ack/SENDER/ and its numbers")
    fields = _unpack(parts[1])
    if not isinstance(fields, list) or len(fields) != 3 or not isinstance(fields[2], list):
        refuse("an acknowledgement is not [version, run, numbers]")
    _check_version(fields[0])
    numbers = tuple(int_in({"number": number}, "number") for number in fields[2])
    return Ack(str(match[1], "ascii"), int_in({"run": fields[1]}, "run"), numbers)


def encode_credit(credit: Credit) -> bytes:
    """One part, sent upstream over a subscription: its first byte tells it from subscribing (1 and 0)."""
    numbers = [credit.run, credit.boot, credit.next, credit.room]
    return CREDIT + bytes(msgpack.packb([VERSION, credit.consumer, credit.topic, *numbers, credit.missing]))


def decode_credit(part: Buffer) -> Credit:
    """Raises `WireError`."""
    fields = _unpack(part[1:]) if part[:1] == CREDIT else None
    if not isinstance(fields, list) or len(fields) != 8 or not isinstance(fields[7], bool):
        refuse("a credit is not [version, consumer, topic, run, boot, next, room, missing]")
    _check_version(fields[0])
    if not isinstance(fields[1], str) or not NAME.match(fields[1]) or not isinstance(fields[2], bytes):
        refuse("a credit's consumer is not a name, or its topic not bytes")
    _topic(fields[2])
    run, boot, following, room = (int_in({"number": number}, "number") for number in fields[3:7])
    return Credit(fields[1], fields[2], run, boot, following, room, fields[7])


def _encoded(message: Message, limits: Limits) -> Parts:
    topic, body = bytes(message.topic), message.body
    _check_topic(topic)
    payload: Buffer = b""
    if isinstance(body, EndOfStream):
        header = _common(message) | {"end": body.count}
        _check_fields(header)
    else:
        header, payload = _header(message, body), body.payload
        _check_sent(header, body, limits)
    packed = msgpack.packb(header)
    if len(packed) > MAX_HEADER:
        refuse(f"header of {len(packed)} bytes, over the limit of {MAX_HEADER}")
    return topic, packed, payload


def _common(message: Message) -> dict[str, Any]:
    common = {"v": VERSION, "run": message.run, "n": message.n, "boot": message.body.boot}
    return common if message.flow is None else common | {"flow": message.flow}


def _header(message: Message, frame: Frame) -> dict[str, Any]:
    header = _common(message) | {
        "seq": frame.seq,
        "captured_ns": frame.captured_ns,
        "codec": frame.codec,
        "width": frame.width,
        "height": frame.height,
        "key": frame.keyframe,
        "detections": [detection_map(d) for d in frame.detections],
        "hops": [(hop.node, hop.received_ns, hop.sent_ns) for hop in frame.hops],
    }
    if frame.codec is Codec.RAW:
        header["channels"] = frame.channels
    if frame.pts_ns is not None:
        header["pts_ns"] = frame.pts_ns
    if frame.part:
        header["part"] = frame.part
    if frame.config:
        header["config"] = frame.config
    if frame.attributes:
        header["attributes"] = frame.attributes
    return header


def detection_map(detection: Detection) -> dict[str, Any]:
    """A detection as it stands on the wire and in a `.jsonl` line."""
    found: dict[str, Any] = {"label": detection.label, "score": detection.score, "box": list(detection.box)}
    if detection.by:
        found["by"] = detection.by
    if detection.attributes:
        found["attributes"] = detection.attributes
    return found


def _check_sent(header: dict[str, Any], frame: Frame, limits: Limits) -> None:
    _check_fields(header)
    int_in(header, "width", most=limits.side)
    int_in(header, "height", most=limits.side)
    for found in header["detections"]:
        check_detection(found)
    for hop in header["hops"]:
        check_hop(hop)
    if frame.attributes:
        check_plain(frame.attributes)
    if type(frame.payload) is not bytes:
        _check_buffer(memoryview(frame.payload))
    _check_size(frame.payload, limits)
    _check_payload(frame)


def _check_fields(header: dict[str, Any]) -> None:
    """Each field of a header to be sent has its type."""
    for name, value in header.items():
        kind = _KINDS[name]
        if kind is int:
            if type(value) is not int or not 0 <= value <= MAX_INT:
                int_in(header, name)
        elif not isinstance(value, kind):
            typed_in(header, name, kind)


def _check_buffer(payload: memoryview) -> None:
    if payload.ndim != 1 or payload.itemsize != 1 or not payload.c_contiguous:
        refuse("the payload is not a plain row of bytes")


def _check_size(payload: Buffer, limits: Limits) -> None:
    if len(payload) > limits.payload:
        refuse(f"payload of {len(payload)} bytes, over the limit of {limits.payload}")


def _topic(part: Buffer) -> Topic:
    view, stage, camera, partition = _check_topic(part).groups()
    return Topic(View(str(view, "ascii")), str(stage, "ascii"), str(camera, "ascii"), int(partition))


def _check_topic(part: Buffer) -> re.Match[bytes]:
    match = _TOPIC.match(part) if len(part) <= 256 else None
    if match is None:
        refuse("topic is not VIEW/STAGE/CAMERA/PARTITION/")
    return match


def _header_map(part: Buffer) -> dict[str, Any]:
    header = _unpack(part)
    if not isinstance(header, dict):
        refuse(f"header is a {type(header).__name__}, not a map")
    _check_version(header.get("v"))
    check_keys(header)
    return header


def _unpack(part: Buffer) -> Any:
    if len(part) > MAX_HEADER:
        refuse(f"header of {len(part)} bytes, over the limit of {MAX_HEADER}")
    try:
        return msgpack.unpackb(part, raw=False, strict_map_key=True, ext_hook=_no_extension)
    except (ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException) as error:
        raise WireError(f"header is not msgpack: {type(error).__name__}: {error}") from error


def _check_version(version: Any) -> None:
    if type(version) is not int or version != VERSION:
        refuse(f"wire version {brief(version)}; this end speaks {VERSION}")


def _frame(
    topic: Topic, boot: int, header: dict[str, Any], payload: Buffer, limits: Limits, received_ns: int
) -> Frame:
    codec = _codec(header)
    channels = int_in(header, "channels", 3)
    frame = Frame(
        camera=topic.camera,
        stage=topic.stage,
        boot=boot,
        seq=int_in(header, "seq"),
        captured_ns=int_in(header, "captured_ns"),
        pts_ns=int_in(header, "pts_ns") if "pts_ns" in header else None,
        width=int_in(header, "width", most=limits.side),
        height=int_in(header, "height", most=limits.side),
        codec=codec,
        channels=channels,
        part=int_in(header, "part", 0),
        keyframe=typed_in(header, "key", bool, True),
        config=typed_in(header, "config", bytes, b""),
        detections=tuple(map(_detection, typed_in(header, "detections", list, []))),
        hops=tuple(map(_hop, typed_in(header, "hops", list, []))),
        attributes=attributes_in(header),
        lossless="flow" in header,
        payload=payload,
        received_ns=received_ns,
    )
    _check_payload(frame)
    return frame


def _check_payload(frame: Frame) -> None:
    size = len(frame.payload)
    if frame.codec is Codec.NONE:
        if size:
            refuse("codec none carries a payload")
        return
    if not frame.width or not frame.height or not size:
        refuse(f"an empty image: {frame.width}x{frame.height}, {size} bytes")
    if frame.codec is Codec.RAW and (
        frame.channels not in (1, 3) or size != frame.width * frame.height * frame.channels
    ):
        refuse(f"raw payload of {size} bytes for {frame.width}x{frame.height}x{frame.channels}")


def _codec(header: dict[str, Any]) -> Codec:
    try:
        return Codec(typed_in(header, "codec", str))
    except ValueError as error:
        raise WireError(f"unknown codec {header.get('codec')!r}") from error


def _detection(found: Any) -> Detection:
    check_detection(found)
    check_keys(found)
    label, score, box, by = found["label"], found["score"], found["box"], found.get("by", "")
    return Detection(label, score, (box[0], box[1], box[2], box[3]), by, found.get("attributes", {}))


def _hop(hop: Any) -> Hop:
    check_hop(hop)
    return Hop(hop[0], hop[1], hop[2])


def _no_extension(code: int, data: bytes) -> NoReturn:
    raise ValueError(f"extension type {code}")
