"""Frame <-> message parts, as docs/WIRE.md specifies them. Sans-I/O, and the only package that knows
msgpack for frames.

Rules kept here: parts in, a `Message` or one `WireError` out, whatever the parts hold; sizes are checked
before anything is unpacked; nothing is ever unpickled or evaluated; a header field that is unknown is
ignored, one that is known and off is refused. What `encode` gives, `decode` takes: a message that every
receiver refuses would be sent again for ever.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgpack

from mesh.codec import Buffer
from mesh.errors import WireError
from mesh.frame import Codec, Detection, EndOfStream, Frame, Hop
from mesh.wire.fields import (
    MAX_HEADER,
    MAX_INT,
    VERSION,
    attributes_in,
    check_detection,
    check_hop,
    check_keys,
    check_plain,
    check_version,
    int_in,
    refuse,
    typed_in,
    unpack,
)
from mesh.wire.topics import Topic, check_topic, parse_topic

_INTS = ("v", "run", "n", "boot", "flow", "end", "seq", "captured_ns", "pts_ns", "width", "height")
_KINDS: dict[str, type] = dict.fromkeys((*_INTS, "channels", "part"), int) | {
    "codec": Codec, "key": bool, "config": bytes, "detections": list, "hops": list, "attributes": dict
}  # fmt: skip


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


Parts = tuple[bytes, bytes, Buffer]


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
    topic = parse_topic(parts[0])
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


def _encoded(message: Message, limits: Limits) -> Parts:
    topic, body = bytes(message.topic), message.body
    check_topic(topic)
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


def _header_map(part: Buffer) -> dict[str, Any]:
    header = unpack(part)
    if not isinstance(header, dict):
        refuse(f"header is a {type(header).__name__}, not a map")
    check_version(header.get("v"))
    check_keys(header)
    return header


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
