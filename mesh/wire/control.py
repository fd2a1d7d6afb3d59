"""What goes over the sockets besides frames: envelopes of results, acknowledgements, credits, releases, and
what a node is asked to do."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgpack

from mesh.codec import Buffer
from mesh.names import NAME
from mesh.wire.fields import MAX_HEADER, VERSION, check_plain, check_version, int_in, refuse, unpack
from mesh.wire.messages import DEFAULT_LIMITS, Limits
from mesh.wire.topics import parse_topic

CREDIT = b"\x02"
RELEASE = b"\x03"

_ACK = re.compile(rb"ack/([a-z0-9][a-z0-9_-]{0,62})/\Z")


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


@dataclass(frozen=True, slots=True)
class Release:
    """What a consumer of a lossless topic says when it lets go: it is not to be waited for any more."""

    consumer: str
    topic: bytes


@dataclass(frozen=True, slots=True)
class Request:
    """What a node is asked to do; `id` is the asker's, and comes back with the reply."""

    id: int
    operation: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """`value` is what the operation gives; where it is not `ok`, one line that says why. `payload` is what it
    gives besides, as bytes: a picture."""

    id: int
    ok: bool
    value: Any
    payload: Buffer = b""


def encode_envelope(envelope: Envelope) -> bytes:
    return bytes(msgpack.packb([VERSION, envelope.sender, envelope.run, envelope.number]))


def decode_envelope(part: Buffer) -> Envelope:
    """Raises `WireError`."""
    fields = unpack(part)
    if not isinstance(fields, list) or len(fields) != 4:
        refuse("an envelope is not [version, sender, run, number]")
    if not isinstance(fields[1], str) or not NAME.match(fields[1]):
        refuse("an envelope's sender is not a name")
    check_version(fields[0])
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
    fields = unpack(parts[1])
    if not isinstance(fields, list) or len(fields) != 3 or not isinstance(fields[2], list):
        refuse("an acknowledgement is not [version, run, numbers]")
    check_version(fields[0])
    numbers = tuple(int_in({"number": number}, "number") for number in fields[2])
    return Ack(str(match[1], "ascii"), int_in({"run": fields[1]}, "run"), numbers)


def encode_credit(credit: Credit) -> bytes:
    """One part, sent upstream over a subscription: its first byte tells it from subscribing (1 and 0)."""
    numbers = [credit.run, credit.boot, credit.next, credit.room]
    return CREDIT + bytes(msgpack.packb([VERSION, credit.consumer, credit.topic, *numbers, credit.missing]))


def decode_credit(part: Buffer) -> Credit:
    """Raises `WireError`."""
    fields = unpack(part[1:]) if part[:1] == CREDIT else None
    if not isinstance(fields, list) or len(fields) != 8 or not isinstance(fields[7], bool):
        refuse("a credit is not [version, consumer, topic, run, boot, next, room, missing]")
    _check_consumer(fields)
    run, boot, following, room = (int_in({"number": number}, "number") for number in fields[3:7])
    return Credit(fields[1], fields[2], run, boot, following, room, fields[7])


def encode_release(release: Release) -> bytes:
    """One part, as a credit is."""
    return RELEASE + bytes(msgpack.packb([VERSION, release.consumer, release.topic]))


def decode_release(part: Buffer) -> Release:
    """Raises `WireError`."""
    fields = unpack(part[1:]) if part[:1] == RELEASE else None
    if not isinstance(fields, list) or len(fields) != 3:
        refuse("a release is not [version, consumer, topic]")
    _check_consumer(fields)
    return Release(fields[1], fields[2])


def _check_consumer(fields: list[Any]) -> None:
    """What credits and releases begin with."""
    check_version(fields[0])
    if not isinstance(fields[1], str) or not NAME.match(fields[1]) or not isinstance(fields[2], bytes):
        refuse("a consumer is not a name, or its topic not bytes")
    parse_topic(fields[2])


def encode_request(request: Request) -> bytes:
    """Raises `WireError` when it does not fit into a message."""
    return _packed([VERSION, request.id, request.operation, dict(request.arguments)])


def decode_request(part: Buffer) -> Request:
    """Raises `WireError`. The arguments are the operation's to check."""
    fields = unpack(part)
    if not isinstance(fields, list) or len(fields) != 4:
        refuse("a request is not [version, id, operation, arguments]")
    check_version(fields[0])
    if not isinstance(fields[2], str) or not NAME.match(fields[2]):
        refuse("a request's operation is not a name")
    if not isinstance(fields[3], dict):
        refuse("a request's arguments are not a map")
    check_plain(fields[3])
    return Request(int_in({"id": fields[1]}, "id"), fields[2], fields[3])


def encode_reply(reply: Reply, limits: Limits = DEFAULT_LIMITS) -> tuple[Buffer, ...]:
    """One part, and a second one where there is a payload. Raises `WireError` when it does not fit."""
    if len(reply.payload) > limits.payload:
        refuse(f"payload of {len(reply.payload)} bytes, over the limit of {limits.payload}")
    head = _packed([VERSION, reply.id, reply.ok, reply.value])
    return (head, reply.payload) if len(reply.payload) else (head,)


def decode_reply(parts: Sequence[Buffer], limits: Limits = DEFAULT_LIMITS) -> Reply:
    """Raises `WireError`."""
    if len(parts) not in (1, 2):
        refuse(f"a reply of {len(parts)} parts: it has one, or two with a payload")
    payload = parts[1] if len(parts) == 2 else b""
    if len(payload) > limits.payload:
        refuse(f"payload of {len(payload)} bytes, over the limit of {limits.payload}")
    fields = unpack(parts[0])
    if not isinstance(fields, list) or len(fields) != 4 or not isinstance(fields[2], bool):
        refuse("a reply is not [version, id, ok, value]")
    check_version(fields[0])
    if not fields[2] and (not isinstance(fields[3], str) or len(payload)):
        refuse("a reply that is not ok does not say why, or not that alone")
    check_plain(fields[3])
    return Reply(int_in({"id": fields[1]}, "id"), fields[2], fields[3], payload)


def _packed(fields: list[Any]) -> bytes:
    packed = bytes(msgpack.packb(fields))
    if len(packed) > MAX_HEADER:
        refuse(f"a message of {len(packed)} bytes, over the limit of {MAX_HEADER}")
    return packed
