"""Frame <-> message parts, as docs/WIRE.md specifies them. Sans-I/O, and the only module that knows msgpack
for frames.

Rules kept here: parts in, a `Message` or one `WireError` out, whatever the parts hold; sizes are checked
before anything is unpacked; nothing is ever unpickled or evaluated; a header field that is unknown is
ignored, one that is known and off is refused.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NoReturn

import msgpack

from mesh.codec import Buffer
from mesh.errors import WireError
from mesh.frame import Codec, Detection, EndOfStream, Frame, Hop
from mesh.names import NAME

VERSION = 1
MAX_HEADER = 64 * 1024
MAX_INT = 2**63 - 1
CREDIT = b"\x02"

_TOPIC = re.compile(
    rb"(frame|meta|preview)/([a-z0-9][a-z0-9_-]{0,62})/([a-z0-9][a-z0-9_-]{0,62})/(0|[1-9][0-9]{0,3})/\Z"
)

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
    `next`, and it has room for `room` messages more."""

    consumer: str
    topic: bytes
    run: int
    boot: int
    next: int
    room: int


Parts = tuple[bytes, bytes, Buffer]


def topic_prefix(view: View, stage: str, camera: str | None = None) -> bytes:
    """What to subscribe to: one camera's topics, or those of all cameras of a stage."""
    return f"{view}/{stage}/{camera}/".encode() if camera else f"{view}/{stage}/".encode()


def encode(message: Message) -> Parts:
    """The three parts of a message. Raises `WireError` when its header would pass 64 KiB."""
    body = message.body
    if isinstance(body, EndOfStream):
        return bytes(message.topic), msgpack.packb(_common(message) | {"end": body.count}), b""
    try:
        packed = msgpack.packb(_header(message, body))
    except (TypeError, ValueError, OverflowError) as error:
        raise WireError(f"annotations of {body!r} cannot be packed: {error}") from error
    if len(packed) > MAX_HEADER:
        raise WireError(f"header of {body!r} is {len(packed)} bytes, over the limit of {MAX_HEADER}")
    return bytes(message.topic), packed, body.payload


def decode(parts: Sequence[Buffer], limits: Limits = DEFAULT_LIMITS, received_ns: int = 0) -> Message:
    """The message that three parts hold. Raises `WireError` for anything that docs/WIRE.md does not allow."""
    if len(parts) != 3:
        _refuse(f"{len(parts)} parts, not 3")
    topic = _topic(parts[0])
    header = _header_map(parts[1])
    if len(parts[2]) > limits.payload:
        _refuse(f"payload of {len(parts[2])} bytes, over the limit of {limits.payload}")
    run, n, boot = _int(header, "run"), _int(header, "n"), _int(header, "boot")
    flow = _int(header, "flow") if "flow" in header else None
    if "end" in header:
        if len(parts[2]):
            _refuse("an end of stream carries a payload")
        end = EndOfStream(topic.camera, boot, _int(header, "end"), topic.stage, "flow" in header)
        return Message(topic, run, n, end, flow)
    return Message(topic, run, n, _frame(topic, boot, header, parts[2], limits, received_ns), flow)


def encode_envelope(envelope: Envelope) -> bytes:
    return bytes(msgpack.packb([VERSION, envelope.sender, envelope.run, envelope.number]))


def decode_envelope(part: Buffer) -> Envelope:
    """Raises `WireError`."""
    fields = _unpack(part)
    if not isinstance(fields, list) or len(fields) != 4:
        _refuse("an envelope is not [version, sender, run, number]")
    if not isinstance(fields[1], str) or not NAME.match(fields[1]):
        _refuse("an envelope's sender is not a name")
    _check_version(fields[0])
    numbers = {"run": fields[2], "number": fields[3]}
    return Envelope(fields[1], _int(numbers, "run"), _int(numbers, "number"))


def ack_topic(sender: str) -> bytes:
    """What a sender subscribes to on its collector's publisher."""
    return f"ack/{sender}/".encode()


def encode_ack(ack: Ack) -> tuple[bytes, bytes]:
    return ack_topic(ack.sender), bytes(msgpack.packb([VERSION, ack.run, ack.numbers]))


def decode_ack(parts: Sequence[Buffer]) -> Ack:
    """Raises `WireError`."""
    match = _ACK.match(parts[0]) if len(parts) == 2 and len(parts[0]) <= 256 else None
    if match is None:
        _refuse("not an acknowledgement: ack/SENDER/ and its numbers")
    fields = _unpack(parts[1])
    if not isinstance(fields, list) or len(fields) != 3 or not isinstance(fields[2], list):
        _refuse("an acknowledgement is not [version, run, numbers]")
    _check_version(fields[0])
    numbers = tuple(_int({"number": number}, "number") for number in fields[2])
    return Ack(str(match[1], "ascii"), _int({"run": fields[1]}, "run"), numbers)


def encode_credit(credit: Credit) -> bytes:
    """One part, sent upstream over a subscription: its first byte tells it from subscribing (1 and 0)."""
    fields = [VERSION, credit.consumer, credit.topic, credit.run, credit.boot, credit.next, credit.room]
    return CREDIT + bytes(msgpack.packb(fields))


def decode_credit(part: Buffer) -> Credit:
    """Raises `WireError`."""
    fields = _unpack(part[1:]) if part[:1] == CREDIT else None
    if not isinstance(fields, list) or len(fields) != 7:
        _refuse("a credit is not [version, consumer, topic, run, boot, next, room]")
    _check_version(fields[0])
    if not isinstance(fields[1], str) or not NAME.match(fields[1]) or not isinstance(fields[2], bytes):
        _refuse("a credit's consumer is not a name, or its topic not bytes")
    _topic(fields[2])
    run, boot, following, room = (_int({"number": number}, "number") for number in fields[3:])
    return Credit(fields[1], fields[2], run, boot, following, room)


def _common(message: Message) -> dict[str, Any]:
    common = {"v": VERSION, "run": message.run, "n": message.n, "boot": message.body.boot}
    return common if message.flow is None else common | {"flow": message.flow}


def _header(message: Message, frame: Frame) -> dict[str, Any]:
    header = _common(message) | {
        "seq": frame.seq,
        "captured_ns": frame.captured_ns,
        "codec": frame.codec.value,
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


def _topic(part: Buffer) -> Topic:
    match = _TOPIC.match(part) if len(part) <= 256 else None
    if match is None:
        _refuse("topic is not VIEW/STAGE/CAMERA/PARTITION/")
    view, stage, camera, partition = match.groups()
    return Topic(View(str(view, "ascii")), str(stage, "ascii"), str(camera, "ascii"), int(partition))


def _header_map(part: Buffer) -> dict[str, Any]:
    header = _unpack(part)
    if not isinstance(header, dict):
        _refuse(f"header is a {type(header).__name__}, not a map")
    _check_version(header.get("v"))
    return header


def _unpack(part: Buffer) -> Any:
    if len(part) > MAX_HEADER:
        _refuse(f"header of {len(part)} bytes, over the limit of {MAX_HEADER}")
    try:
        return msgpack.unpackb(part, raw=False, strict_map_key=True, ext_hook=_no_extension)
    except (ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException) as error:
        raise WireError(f"header is not msgpack: {type(error).__name__}: {error}") from error


def _check_version(version: Any) -> None:
    if type(version) is not int or version != VERSION:
        _refuse(f"wire version {_brief(version)}; this end speaks {VERSION}")


def _frame(
    topic: Topic, boot: int, header: dict[str, Any], payload: Buffer, limits: Limits, received_ns: int
) -> Frame:
    codec = _codec(header)
    channels = _int(header, "channels", 3)
    frame = Frame(
        camera=topic.camera,
        stage=topic.stage,
        boot=boot,
        seq=_int(header, "seq"),
        captured_ns=_int(header, "captured_ns"),
        pts_ns=_int(header, "pts_ns") if "pts_ns" in header else None,
        width=_int(header, "width", most=limits.side),
        height=_int(header, "height", most=limits.side),
        codec=codec,
        channels=channels,
        part=_int(header, "part", 0),
        keyframe=_typed(header, "key", bool, True),
        config=_typed(header, "config", bytes, b""),
        detections=tuple(map(_detection, _typed(header, "detections", list, []))),
        hops=tuple(map(_hop, _typed(header, "hops", list, []))),
        attributes=_typed(header, "attributes", dict, {}),
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
            _refuse("codec none carries a payload")
        return
    if not frame.width or not frame.height or not size:
        _refuse(f"an empty image: {frame.width}x{frame.height}, {size} bytes")
    if frame.codec is Codec.RAW and (
        frame.channels not in (1, 3) or size != frame.width * frame.height * frame.channels
    ):
        _refuse(f"raw payload of {size} bytes for {frame.width}x{frame.height}x{frame.channels}")


def _codec(header: dict[str, Any]) -> Codec:
    try:
        return Codec(_typed(header, "codec", str))
    except ValueError as error:
        raise WireError(f"unknown codec {header.get('codec')!r}") from error


def _detection(found: Any) -> Detection:
    if not isinstance(found, dict):
        _refuse("a detection is not a map")
    box = found.get("box")
    if not isinstance(box, list) or len(box) != 4:
        _refuse("a detection's box is not [x, y, width, height]")
    return Detection(
        label=_typed(found, "label", str),
        score=_number(found.get("score")),
        box=(_number(box[0]), _number(box[1]), _number(box[2]), _number(box[3])),
        by=_typed(found, "by", str, ""),
        attributes=_typed(found, "attributes", dict, {}),
    )


def _hop(hop: Any) -> Hop:
    if not isinstance(hop, list) or len(hop) != 3 or not isinstance(hop[0], str):
        _refuse("a hop is not [node, received_ns, sent_ns]")
    times = {"received_ns": hop[1], "sent_ns": hop[2]}
    return Hop(hop[0], _int(times, "received_ns"), _int(times, "sent_ns"))


def _int(header: dict[str, Any], name: str, default: int | None = None, most: int = MAX_INT) -> int:
    value = header.get(name, default)
    if type(value) is not int or not 0 <= value <= most:
        _refuse(f"{name} is {_brief(value)}, not an integer from 0 to {most}")
    return value


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        _refuse(f"{_brief(value)} where a finite number belongs")
    return value  # type: ignore[no-any-return]  # checked above


def _typed(header: dict[str, Any], name: str, kind: type, default: Any = None) -> Any:
    value = header.get(name, default)
    if type(value) is not kind:
        _refuse(f"{name} is a {type(value).__name__}, not a {kind.__name__}")
    return value


def _brief(value: Any) -> str:
    return repr(value) if isinstance(value, (int, float, bool, type(None))) else type(value).__name__


def _no_extension(code: int, data: bytes) -> NoReturn:
    raise ValueError(f"extension type {code}")


def _refuse(why: str) -> NoReturn:
    raise WireError(why)
