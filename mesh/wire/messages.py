"""Frame <-> message parts, as docs/WIRE.md specifies them. Sans-I/O, and the only package that knows
msgpack for frames.

Rules kept here: parts in, a `Message` or one `WireError` out, whatever the parts hold; sizes are checked
before anything is unpacked; nothing is ever unpickled or evaluated; a header field that is unknown is
ignored, one that is known and off is refused. What `encode` gives, `decode` takes: a message that every
receiver refuses would be sent again for ever. A frame is checked and packed once, however often it is sent:
what differs from one topic to another goes before the rest of its header. A header that differs from the
one before it in a few integers only takes a shorter way, with the same outcome (see `predicted`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from mesh.codec import Buffer
from mesh.errors import WireError
from mesh.frame import ORIGIN, PACKED, Codec, Detection, EndOfStream, Frame, Hop, Slot, new_frame
from mesh.wire.fields import (
    MAX_HEADER,
    MAX_INT,
    VERSION,
    attributes_in,
    check_detection,
    check_hop,
    check_keys,
    check_plain,
    check_slot,
    check_version,
    int_in,
    partitions_in,
    refuse,
    typed_in,
    unpack,
)
from mesh.wire.packed import CROWDED, Entries, Origin, array_of, entries, entry, joined, map_of
from mesh.wire.predicted import RECEIVED, SENT, foretell, learn, recognise
from mesh.wire.topics import Topic, View, parse_topic

_INTS = ("v", "run", "n", "boot", "flow", "end", "seq", "captured_ns", "pts_ns", "width", "height")
_KINDS: dict[str, type] = dict.fromkeys((*_INTS, "channels", "part", "partitions"), int) | {
    "codec": Codec, "key": bool, "config": bytes, "detections": list, "hops": list, "attributes": dict,
    "shm": dict,
}  # fmt: skip
_ALWAYS = ("run", "n", "boot", "seq", "captured_ns", "width", "height")  # the integers of every frame
_CODECS = {str(codec): codec for codec in Codec}


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
    if (known := recognise(topic, parts[1], parts[2], received_ns)) is not None:
        run, n, frame = known
        _check_limits(frame, limits)
        _check_payload(frame)
        return Message(topic, run, n, frame)
    header = _header_map(parts[1])
    _check_size(parts[2], limits)
    flow = int_in(header, "flow") if "flow" in header else None
    if "end" in header:
        if len(parts[2]):
            refuse("an end of stream carries a payload")
        run, n, boot = int_in(header, "run"), int_in(header, "n"), int_in(header, "boot")
        count, partitions = int_in(header, "end"), partitions_in(header) if "partitions" in header else 1
        partition = topic.partition
        end = EndOfStream(topic.camera, boot, count, topic.stage, flow is not None, partition, partitions)
        _check_partition(topic, end)
        return Message(topic, run, n, end, flow)
    frame = _frame(topic, header, parts[2], limits, received_ns)
    _check_partition(topic, frame)
    _check_shared(topic, frame, limits)
    if len(frame.detections) >= CROWDED:
        vars(frame)[ORIGIN] = Origin(parts[1], frame.detections, frame.attributes)
    run, n = header["run"], header["n"]
    learn(topic, RECEIVED, run, n, parts[1], frame)
    return Message(topic, run, n, frame, flow)


def _encoded(message: Message, limits: Limits) -> Parts:
    body = message.body
    payload: Buffer = b""
    if (foretold := _foretold(message, limits)) is not None:
        return foretold
    if isinstance(body, EndOfStream):
        rest = _entries({"boot": body.boot, "end": body.count} | _spread(body))
    else:
        rest, payload = _frame_entries(body), body.payload
        _check_limits(body, limits)
        _check_shared(message.topic, body, limits)
    _check_partition(message.topic, body)
    packed = map_of(_first(message), rest)
    if len(packed) > MAX_HEADER:
        refuse(f"header of {len(packed)} bytes, over the limit of {MAX_HEADER}")
    if isinstance(body, Frame):
        learn(message.topic, SENT, message.run, message.n, packed, body)
    return message.topic.checked, packed, payload


def _foretold(message: Message, limits: Limits) -> Parts | None:
    """The parts of a frame like the one before it on its topic; None where its header has to be packed."""
    topic, frame = message.topic, message.body
    if not isinstance(frame, Frame) or message.flow is not None:
        return None
    if (header := foretell(topic, message.run, message.n, frame)) is None:
        return None
    _check_buffer(frame.payload)
    _check_payload(frame)
    _check_limits(frame, limits)
    return topic.checked, header, frame.payload


def _first(message: Message) -> Entries:
    """What differs from topic to topic."""
    run, n = message.run, message.n
    first: dict[str, Any] = {"v": VERSION, "run": run, "n": n}
    if type(run) is not int or type(n) is not int or not (0 <= run <= MAX_INT and 0 <= n <= MAX_INT):
        int_in(first, "run")
        int_in(first, "n")
    if message.flow is not None:
        first["flow"] = message.flow
        int_in(first, "flow")
    return entries(first)


def _frame_entries(frame: Frame) -> Entries:
    """What a frame's header holds on any topic, checked; made once, and kept with the frame."""
    kept: Entries | None = vars(frame).get(PACKED)
    if kept is None:
        kept = _packed(frame)
        _check_buffer(frame.payload)
        _check_payload(frame)
        vars(frame)[PACKED] = kept
    return kept


def _packed(frame: Frame) -> Entries:
    origin: Origin | None = vars(frame).get(ORIGIN)
    if origin is not None and (came := origin.packed(frame.detections)):
        return _appended(frame, origin, came)
    fields = _head(frame)
    fields["detections"] = list(map(_checked_map, frame.detections))
    _add_tail(fields, frame)
    if frame.attributes:
        check_plain(frame.attributes)
        fields["attributes"] = frame.attributes
    return _entries(fields)


def _appended(frame: Frame, origin: Origin, came: dict[str, bytes]) -> Entries:
    """What came packed, and what is new behind it."""
    new = frame.detections[len(origin.detections) :]
    parts = [
        _entries(_head(frame)),
        entry("detections", array_of(came["detections"], map(_checked_map, new))),
    ]
    parts.append(_entries(_add_tail({}, frame)))
    if frame.attributes and frame.attributes is origin.attributes:
        parts.append(entry("attributes", came["attributes"]))
    elif frame.attributes:
        check_plain(frame.attributes)
        parts.append(_entries({"attributes": frame.attributes}))
    return joined(parts)


def _head(frame: Frame) -> dict[str, Any]:
    return {
        "boot": frame.boot,
        "seq": frame.seq,
        "captured_ns": frame.captured_ns,
        "codec": frame.codec,
        "width": frame.width,
        "height": frame.height,
        "key": frame.keyframe,
    }


def _add_tail(fields: dict[str, Any], frame: Frame) -> dict[str, Any]:
    fields["hops"] = list(map(_checked_hop, frame.hops))
    if frame.codec is Codec.RAW:
        fields["channels"] = frame.channels
    if frame.pts_ns is not None:
        fields["pts_ns"] = frame.pts_ns
    if frame.part:
        fields["part"] = frame.part
    if frame.partitions != 1:
        fields |= _spread(frame)
    if frame.config:
        fields["config"] = frame.config
    if frame.shm is not None:
        fields["shm"] = _checked_slot(frame.shm)
    return fields


def _entries(fields: dict[str, Any]) -> Entries:
    """Fields of a header, checked and packed."""
    for name, value in fields.items():
        kind = _KINDS[name]
        if kind is int:
            if type(value) is not int or not 0 <= value <= MAX_INT:
                int_in(fields, name)
        elif type(value) is not kind and not isinstance(value, kind):
            typed_in(fields, name, kind)
    return entries(fields)


def detection_map(detection: Detection) -> dict[str, Any]:
    """A detection as it stands on the wire and in a `.jsonl` line."""
    found: dict[str, Any] = {"label": detection.label, "score": detection.score, "box": list(detection.box)}
    if detection.by:
        found["by"] = detection.by
    if detection.attributes:
        found["attributes"] = detection.attributes
    return found


def _checked_map(detection: Detection) -> dict[str, Any]:
    found = detection_map(detection)
    check_detection(found)
    return found


def _checked_hop(hop: Hop) -> tuple[str, int, int]:
    sent = (hop.node, hop.received_ns, hop.sent_ns)
    check_hop(sent)
    return sent


def _checked_slot(slot: Slot) -> dict[str, Any]:
    sent = {"ring": slot.ring, "slot": slot.index, "generation": slot.generation}
    check_slot(sent)
    return sent


def _spread(body: Frame | EndOfStream) -> dict[str, int]:
    """Among how many partitions, where there are several."""
    if type(body.partitions) is int and body.partitions == 1:
        return {}
    return {"partitions": partitions_in({"partitions": body.partitions})}


def _check_partition(topic: Topic, body: Frame | EndOfStream) -> None:
    if topic.partition != body.partition or topic.partition >= body.partitions:
        refuse(f"on the topic of partition {topic.partition}, not of {body.partition} of {body.partitions}")


def _check_limits(frame: Frame, limits: Limits) -> None:
    if frame.width > limits.side or frame.height > limits.side:
        sides = {"width": frame.width, "height": frame.height}
        int_in(sides, "width", most=limits.side)
        int_in(sides, "height", most=limits.side)
    _check_size(frame.payload, limits)


def _check_shared(topic: Topic, frame: Frame, limits: Limits) -> None:
    if frame.shm is None:
        return
    if topic.view is not View.SHM:
        refuse(f"pixels in shared memory on a topic of the view {topic.view}")
    if (size := frame.width * frame.height * frame.channels) > limits.payload:
        refuse(f"{size} bytes in shared memory, over the limit of {limits.payload}")


def _check_buffer(payload: Buffer) -> None:
    if type(payload) is bytes:
        return
    view = memoryview(payload)
    if view.ndim != 1 or view.itemsize != 1 or not view.c_contiguous:
        refuse("the payload is not a plain row of bytes")


def _check_size(payload: Buffer, limits: Limits) -> None:
    if len(payload) > limits.payload:
        refuse(f"payload of {len(payload)} bytes, over the limit of {limits.payload}")


def _header_map(part: Buffer) -> dict[str, Any]:
    header = unpack(part)
    if type(header) is not dict:
        refuse(f"header is a {type(header).__name__}, not a map")
    check_version(header.get("v"))
    check_keys(header)
    return header


def _frame(topic: Topic, header: dict[str, Any], payload: Buffer, limits: Limits, received_ns: int) -> Frame:
    _check_always(header, limits)
    fields: dict[str, Any] = {
        "camera": topic.camera,
        "stage": topic.stage,
        "boot": header["boot"],
        "seq": header["seq"],
        "captured_ns": header["captured_ns"],
        "width": header["width"],
        "height": header["height"],
        "codec": _codec(header),
        "keyframe": typed_in(header, "key", bool, True),
        "lossless": "flow" in header,
        "payload": payload,
        "received_ns": received_ns,
    }
    for name in header.keys() & _OPTIONAL.keys():
        fields[name] = _OPTIONAL[name](header)
    frame = new_frame(fields)
    _check_payload(frame)
    return frame


def _check_always(header: dict[str, Any], limits: Limits) -> None:
    for name in _ALWAYS:
        value = header.get(name)
        if type(value) is not int or not 0 <= value <= MAX_INT:
            int_in(header, name)
    if header["width"] > limits.side or header["height"] > limits.side:
        int_in(header, "width", most=limits.side)
        int_in(header, "height", most=limits.side)


def _codec(header: dict[str, Any]) -> Codec:
    codec = header.get("codec")
    if type(codec) is not str:
        typed_in(header, "codec", str)
    if codec not in _CODECS:
        refuse(f"unknown codec {codec!r}")
    return _CODECS[codec]


def _detection(found: Any) -> Detection:
    check_detection(found)
    check_keys(found)
    label, score, box, by = found["label"], found["score"], found["box"], found.get("by", "")
    return Detection(label, score, (box[0], box[1], box[2], box[3]), by, found.get("attributes", {}))


def _hop(hop: Any) -> Hop:
    check_hop(hop)
    return Hop(hop[0], hop[1], hop[2])


def _slot(header: dict[str, Any]) -> Slot:
    found = header["shm"]
    check_slot(found)
    return Slot(found["ring"], found["slot"], found["generation"])


# How each field is read that a frame may do without.
_OPTIONAL: dict[str, Callable[[dict[str, Any]], Any]] = {
    "channels": partial(int_in, name="channels"),
    "pts_ns": partial(int_in, name="pts_ns"),
    "part": partial(int_in, name="part"),
    "partitions": partitions_in,
    "config": partial(typed_in, name="config", kind=bytes),
    "detections": lambda header: tuple(map(_detection, typed_in(header, "detections", list))),
    "hops": lambda header: tuple(map(_hop, typed_in(header, "hops", list))),
    "attributes": attributes_in,
    "shm": _slot,
}


def _check_payload(frame: Frame) -> None:
    size = len(frame.payload)
    if frame.shm is not None:
        if frame.codec is not Codec.RAW or size:
            refuse("pixels in shared memory are raw, and leave the payload empty")
        size = frame.width * frame.height * frame.channels
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
