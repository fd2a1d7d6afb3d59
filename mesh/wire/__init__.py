"""The wire, as docs/WIRE.md specifies it: bytes in, a value or one `WireError` out. Sans-I/O."""

from mesh.names import MAX_PARTITIONS
from mesh.wire.control import (
    RELEASE,
    Ack,
    Credit,
    Envelope,
    Release,
    ack_topic,
    decode_ack,
    decode_credit,
    decode_envelope,
    decode_release,
    encode_ack,
    encode_credit,
    encode_envelope,
    encode_release,
)
from mesh.wire.fields import MAX_HEADER, MAX_INT, VERSION
from mesh.wire.messages import DEFAULT_LIMITS, Limits, Message, Parts, decode, detection_map, encode
from mesh.wire.topics import Topic, View, frame_topic, topic_prefix

__all__ = [
    "DEFAULT_LIMITS",
    "MAX_HEADER",
    "MAX_INT",
    "MAX_PARTITIONS",
    "RELEASE",
    "VERSION",
    "Ack",
    "Credit",
    "Envelope",
    "Limits",
    "Message",
    "Parts",
    "Release",
    "Topic",
    "View",
    "ack_topic",
    "decode",
    "decode_ack",
    "decode_credit",
    "decode_envelope",
    "decode_release",
    "detection_map",
    "encode",
    "encode_ack",
    "encode_credit",
    "encode_envelope",
    "encode_release",
    "frame_topic",
    "topic_prefix",
]
