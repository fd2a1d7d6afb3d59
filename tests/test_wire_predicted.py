"""Headers that are foretold are those that the general way would make, and mean what it would read."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.errors import WireError
from mesh.frame import PACKED, Codec, Detection, Frame, Hop
from mesh.wire import Limits, Message, Topic, View, decode, encode
from mesh.wire.predicted import EVERY, RECEIVED, SENT
from mesh.wire.topics import parse_topic
from tests.support.frames import jpeg_frame

NS = 1_763_660_000_000_000_000
FRAME = jpeg_frame()
STARTS = st.tuples(
    st.sampled_from([EVERY, 160, 512, 1 << 17, 1 << 40]), st.sampled_from([5, 200, 300, 70_000])
)
HOPS = (Hop("cap-1", NS + 1, NS + 2), Hop("proc-1", NS + 3, NS + 4))

# Around the widths of msgpack's integers, and past what the wire allows.
INTS = st.one_of(
    *(st.integers(edge - 20, edge + 20) for edge in (20, 1 << 8, 1 << 16, 1 << 32, 1 << 62, 1 << 64)),
    st.integers(NS, NS + 1000),
)
CHANGES: dict[str, st.SearchStrategy[Any]] = {
    "seq": st.one_of(INTS, st.sampled_from([-1, 1.0, True, "1"])),
    "captured_ns": INTS,
    "boot": INTS,
    "width": st.sampled_from([64, 64.0, 65, 0, 20_000]),
    "height": st.sampled_from([48, 49]),
    "keyframe": st.sampled_from([True, False, 1]),
    "part": st.integers(0, 2),
    "partitions": st.sampled_from([1, 4, 8, 0, True, 4.0]),
    "pts_ns": st.one_of(st.none(), INTS),
    "lossless": st.booleans(),
    "payload": st.sampled_from([b"", b"jpeg", memoryview(b"view")]),
    "detections": st.sampled_from([(), (Detection("car", 0.5, (1.0, 2.0, 3.0, 4.0)),)]),
    "attributes": st.sampled_from([{}, {"zone": 1}]),
    "config": st.sampled_from([b"", b"sps"]),
    "codec": st.sampled_from([Codec.JPEG, Codec.RAW, Codec.NONE]),
    "hops": st.sampled_from(
        [(), HOPS, HOPS[:1], HOPS[::-1], (HOPS[0], Hop("proc-1", 5, 6)), (HOPS[0], Hop("proc-1", -1, NS))]
    ),
}


def general(message: Message) -> Message:
    """The same message to a topic that has foretold nothing yet, of a frame that was not packed."""
    body = message.body
    assert isinstance(body, Frame)
    before = message.topic
    topic = Topic(before.view, before.stage, before.camera, before.partition)
    return replace(message, topic=topic, body=replace(body))


def outcome(message: Message) -> Any:
    try:
        topic, header, payload = encode(message)
    except WireError as error:
        return str(error)
    return topic, header, bytes(payload)


def taught(way: str, camera: str, n: int = 512 * EVERY, seq: int = 70_000) -> tuple[Topic, Message]:
    """A topic that has a layout, and the message that it has it from."""
    topic = Topic(View.FRAME, "raw", camera)
    message = Message(topic, 1 << 40, n, replace(FRAME, camera=camera, seq=seq, hops=HOPS))
    parts = encode(message)
    if way == RECEIVED:
        topic = decode(parts).topic
    assert way in vars(topic)
    return topic, message


@settings(max_examples=300)
@given(STARTS, st.fixed_dictionaries({}, optional=CHANGES), INTS, st.sampled_from([1 << 40, 7]))
def test_what_is_foretold_is_what_is_packed(
    start: tuple[int, int], changes: dict[str, Any], n: int, run: int
) -> None:
    topic, message = taught(SENT, "sender", *start)
    assert isinstance(message.body, Frame)
    message = Message(topic, run, n, replace(message.body, **changes))
    assert outcome(message) == outcome(general(message))


@settings(max_examples=300)
@given(STARTS, st.data())
def test_what_is_recognised_is_what_is_unpacked(start: tuple[int, int], data: st.DataObject) -> None:
    vars(parse_topic(b"frame/raw/receiver/0/")).pop(RECEIVED, None)
    _, message = taught(RECEIVED, "receiver", *start)
    assert isinstance(message.body, Frame)
    following = replace(message.body, seq=message.body.seq + 1)
    topic, packed, payload = encode(replace(message, n=message.n + 1, body=following))
    header = bytearray(packed)
    for place in data.draw(st.lists(st.integers(0, len(header) - 1), max_size=2)):
        header[place] = data.draw(st.integers(0, 255))
    assert read(topic, bytes(header), payload) == read(b"frame/raw/other/0/", bytes(header), payload)


def read(topic: bytes, header: bytes, payload: Any) -> Any:
    """What a header is taken for, of a topic that has a layout or of one that has none."""
    try:
        message = decode((topic, header, payload), received_ns=5)
    except WireError as error:
        return str(error)
    finally:
        vars(parse_topic(b"frame/raw/other/0/")).pop(RECEIVED, None)
    frame = message.body
    assert isinstance(frame, Frame)
    fields = {name: getattr(frame, name) for name in Frame.__dataclass_fields__ if name != "camera"}
    return message.run, message.n, message.flow, fields


def test_a_stream_is_foretold_and_recognised() -> None:
    _, message = taught(SENT, "stream")
    frame = replace(FRAME, camera="stream", seq=70_001, hops=HOPS)
    following = replace(message, n=message.n + 1, body=frame)
    parts = encode(following)
    assert PACKED not in vars(frame), "it was not packed in the general way"
    assert parts == encode(general(following))
    got, again = decode(parts).body, decode(parts).body
    assert isinstance(got, Frame)
    assert isinstance(again, Frame)
    assert got.hops == HOPS
    assert got.attributes == {}
    assert got.attributes is not again.attributes, "no two frames share what may be changed"


def test_limits_hold_for_what_is_foretold() -> None:
    topic, message = taught(SENT, "limited")
    parts = encode(message)
    decode(parts)
    for limits in (Limits(payload=3), Limits(side=8)):
        with pytest.raises(WireError, match=r"limit|not an integer"):
            decode(parts, limits)
        with pytest.raises(WireError, match=r"limit|not an integer"):
            encode(replace(message, topic=topic), limits)


def test_no_large_header_is_kept() -> None:
    hops = (Hop("a" * 1024, NS, NS),)
    topic = Topic(View.FRAME, "raw", "large")
    encode(Message(topic, 1, EVERY, replace(FRAME, camera="large", hops=hops)))
    assert SENT not in vars(topic)


def test_a_partition_is_foretold_and_recognised_and_no_other_one_on_its_topic() -> None:
    topic = Topic(View.FRAME, "raw", "spread", 2)
    frames = [replace(FRAME, camera="spread", seq=70_002 + step, partitions=4) for step in (0, 4, 5)]
    first, following, other = (Message(topic, 1 << 40, EVERY + n, frame) for n, frame in enumerate(frames))
    learned = encode(first)
    parts = encode(following)
    assert PACKED not in vars(following.body), "it was not packed in the general way"
    assert decode(learned).body.partition == decode(parts).body.partition == 2
    with pytest.raises(WireError, match="on the topic of partition 2, not of 3 of 4"):
        encode(other)
    packed = bytes(parts[1]).replace(b"seq\xce\x00\x01\x11v", b"seq\xce\x00\x01\x11w")
    assert packed != parts[1]
    with pytest.raises(WireError, match="on the topic of partition 2, not of 3 of 4"):
        decode((parts[0], packed, parts[2]))
