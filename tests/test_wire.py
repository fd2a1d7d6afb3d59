import json
from copy import copy
from dataclasses import fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh import wire
from mesh.errors import WireError
from mesh.frame import Codec, Detection, EndOfStream, Frame, Hop, Slot, with_fields
from mesh.wire import Ack, Envelope, Limits, Message, Reply, Request, Topic, View
from tests.support.frames import jpeg_frame, message

VECTORS = Path(__file__).parent / "vectors"

T = TypeVar("T")

names = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,62}", fullmatch=True)
counts = st.integers(0, wire.MAX_INT)
numbers = st.integers(-(2**31), 2**31) | st.floats(allow_nan=False, allow_infinity=False)
notes = st.dictionaries(
    st.text(max_size=8),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**63)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.binary(max_size=8)
        | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=6,
    ),
    max_size=4,
)
detections = st.builds(
    Detection,
    label=st.text(max_size=12),
    score=numbers,
    box=st.tuples(numbers, numbers, numbers, numbers),
    by=st.text(max_size=12),
    attributes=notes,
)
hops = st.builds(Hop, node=st.text(max_size=12), received_ns=counts, sent_ns=counts)


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    codec = draw(st.sampled_from(Codec))
    width, height, channels = (
        draw(st.integers(1, 32)),
        draw(st.integers(1, 32)),
        draw(st.sampled_from((1, 3))),
    )
    sizes = {Codec.RAW: width * height * channels, Codec.NONE: 0, Codec.JPEG: draw(st.integers(1, 64))}
    return Frame(
        camera=draw(names),
        stage=draw(names),
        boot=draw(counts),
        seq=draw(counts),
        captured_ns=draw(counts),
        pts_ns=draw(st.none() | counts),
        width=width,
        height=height,
        payload=b"x" * sizes[codec],
        codec=codec,
        channels=channels if codec is Codec.RAW else 3,
        part=draw(counts),
        keyframe=draw(st.booleans()),
        config=draw(st.binary(max_size=8)),
        detections=tuple(draw(st.lists(detections, max_size=3))),
        hops=tuple(draw(st.lists(hops, max_size=3))),
        attributes=draw(notes),
    )


nasty = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=8)
    | st.sampled_from(
        (
            1j,
            object(),
            np.float64("nan"),
            np.float32(1),
            np.zeros(4),
            np.float64(2),
            memoryview(b"abcd")[::2],
            bytearray(b"x"),
            msgpack.Timestamp(1, 2),
            msgpack.ExtType(5, b"x"),
            "\ud800",
            View.META,
            MappingProxyType({"a": 1}),
        )
    ),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(st.text(max_size=4) | st.integers() | st.binary(max_size=4), inner, max_size=4)
        | st.tuples(inner, st.integers(28, 35)).map(lambda pair: nested(pair[1], pair[0]))
    ),
    max_leaves=8,
)


def nested(levels: int, value: Any = 1) -> Any:
    """A value inside of so many lists."""
    for _ in range(levels):
        value = [value]
    return value


CAT = Detection("cat", 0.5, (1, 2, 3, 4))
HOP = Hop("node", 1, 2)
JPEG = jpeg_frame(3, size=16).annotate(CAT, zone="yard")
WHOLE = (
    JPEG,
    replace(JPEG, hops=(HOP, HOP), part=1, config=b"sps", partitions=2),
    replace(JPEG, payload=bytes(12), width=2, height=2, codec=Codec.RAW, pts_ns=5),
    replace(JPEG, payload=b"", codec=Codec.NONE, detections=(), attributes={}),
)


@st.composite
def odd_messages(draw: st.DrawFn) -> Message:
    """A good message, but for one value in it that may be anything."""
    frame: Frame = draw(st.sampled_from(WHOLE))
    value: Any = draw(nasty)
    body: Frame | EndOfStream
    match draw(st.sampled_from(("detection", "hop", "attribute", "frame", "end"))):
        case "detection":
            found = with_any(CAT, draw(st.sampled_from(Detection.__slots__)), value)
            body = replace(frame, detections=(found,))
        case "hop":
            body = replace(frame, hops=(with_any(HOP, draw(st.sampled_from(Hop.__slots__)), value),))
        case "attribute":
            body = replace(frame, attributes={"odd": value})
        case "frame":
            body = with_any(frame, draw(st.sampled_from(ODD_FIELDS)), value)
        case _:
            body = with_any(EndOfStream("door", 1, 2), draw(st.sampled_from(("boot", "count"))), value)
    good = Message(Topic(View.FRAME, frame.stage, frame.camera), 1, 2, body)
    odd = draw(st.sampled_from((None, None, None, "run", "n", "flow")))
    return good if odd is None else with_any(good, odd, value)


def with_any(whole: T, name: str, value: Any) -> T:
    """A copy in which one field is a value of whatever type."""
    changed = copy(whole)
    object.__setattr__(changed, name, value)
    return changed


FRAME_FIELDS = {field.name for field in fields(Frame)} - {"_pixels", "received_ns"}
ODD_FIELDS = sorted(FRAME_FIELDS - {"camera", "stage", "lossless"})


@given(odd_messages())
@settings(max_examples=1000)
def test_whatever_is_sent_is_taken(odd: Message) -> None:
    try:
        parts = wire.encode(odd)
    except WireError:
        return
    wire.decode(parts)


def values(frame: Frame) -> dict[str, Any]:
    return {name: getattr(frame, name) for name in FRAME_FIELDS}


@given(frames(), counts, counts)
def test_every_frame_comes_back_as_it_was(frame: Frame, run: int, n: int) -> None:
    sent = Message(Topic(View.FRAME, frame.stage, frame.camera), run, n, frame)
    got = wire.decode(wire.encode(sent))
    assert (got.topic, got.run, got.n) == (sent.topic, run, n)
    assert isinstance(got.body, Frame)
    assert values(got.body) == values(frame)


@given(frames(), st.integers(0, 20), st.lists(detections, max_size=3), notes)
def test_what_is_passed_on_is_packed_as_if_it_were_new(
    frame: Frame, crowd: int, more: list[Detection], said: dict[str, Any]
) -> None:
    came = wire.decode(wire.encode(message(frame.annotate(*[CAT] * crowd))))
    assert isinstance(came.body, Frame)
    passed_on = came.body.annotate(*more, **{f"and {name}": value for name, value in said.items()})
    assert wire.encode(message(passed_on)) == wire.encode(message(replace(passed_on)))


def test_detections_that_came_and_are_no_longer_there_are_not_passed_on() -> None:
    came = wire.decode(wire.encode(message(DOOR.annotate(*[CAT] * 20, weather="rain")))).body
    assert isinstance(came, Frame)
    fewer = with_fields(came, detections=came.detections[11:], attributes={})
    got = wire.decode(wire.encode(message(fewer))).body
    assert isinstance(got, Frame)
    assert (got.detections, got.attributes) == ((CAT,) * 9, {})


def test_a_frame_is_packed_once_for_all_who_get_it() -> None:
    frame = DOOR.annotate(CAT)
    first = wire.encode(message(frame))
    object.__setattr__(frame, "seq", 99)  # which nobody may do: it only shows that it is not packed again
    assert wire.encode(message(frame, n=frame.seq - 99)) == first
    assert wire.decode(wire.encode(message(frame, n=5))).n == 5


def test_the_end_of_a_stream_comes_back_as_it_was() -> None:
    sent = Message(Topic(View.FRAME, "raw", "door"), 3, 10, EndOfStream("door", 7, 12))
    assert wire.decode(wire.encode(sent)) == sent


def test_the_time_of_arrival_is_noted() -> None:
    got = wire.decode(wire.encode(message(jpeg_frame())), received_ns=42)
    assert isinstance(got.body, Frame)
    assert got.body.received_ns == 42


@given(st.lists(st.binary(max_size=200), max_size=5))
@settings(max_examples=300)
def test_garbage_is_one_wire_error(parts: list[bytes]) -> None:
    with pytest.raises(WireError):
        wire.decode(parts)


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=12,
)
GOOD = msgpack.unpackb(wire.encode(message(jpeg_frame().annotate(Detection("cat", 1, (0, 0, 1, 1)))))[1])


@given(
    st.sampled_from(sorted([*GOOD, "pts_ns", "channels", "part", "config", "attributes", "end"])), anything
)
@settings(max_examples=500)
def test_a_field_of_any_other_value_is_taken_or_refused_but_never_a_crash(name: str, value: Any) -> None:
    header = msgpack.packb({**GOOD, name: value})
    try:
        got = wire.decode([b"frame/raw/door/0/", header, jpeg_frame().payload])
    except WireError:
        return
    if isinstance(got.body, Frame):
        wire.encode(got)  # what was taken can be passed on


@given(st.data())
@settings(max_examples=300)
def test_a_flipped_byte_is_taken_or_refused_but_never_a_crash(data: st.DataObject) -> None:
    parts = [bytearray(part) for part in wire.encode(message(jpeg_frame()))]
    part = data.draw(st.sampled_from(parts))
    part[data.draw(st.integers(0, len(part) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        wire.decode([bytes(part) for part in parts])
    except WireError:
        return


def header(changes: dict[Any, Any] | None = None) -> bytes:
    return bytes(msgpack.packb({**GOOD, **(changes or {})}))


TOPIC = b"frame/raw/door/0/"
END = {"v": 1, "run": 0, "n": 0, "boot": 0, "end": 1}
FOUND = {"label": "cat", "score": 1, "box": [1, 2, 3, 4]}


@pytest.mark.parametrize(
    ("topic", "why"),
    [
        (b"frame/raw/door/0", "topic"),
        (b"frame/raw/door/0/\n", "topic"),
        (b"frame/raw/Door/0/", "topic"),
        (b"frame/raw/door/00/", "topic"),
        (b"picture/raw/door/0/", "topic"),
        (b"frame/raw/door/0/" + b"x" * 300, "topic"),
    ],
)
def test_a_topic_that_breaks_the_specification_is_refused(topic: bytes, why: str) -> None:
    with pytest.raises(WireError, match=why):
        wire.decode([topic, header(), b"x"])


@pytest.mark.parametrize("parts", [0, 1, 2, 4])
def test_another_number_of_parts_is_refused(parts: int) -> None:
    with pytest.raises(WireError, match=f"{parts} parts, not 3"):
        wire.decode([TOPIC, header(), b"x", b"y"][:parts])


@pytest.mark.parametrize(
    ("packed", "why"),
    [
        (b"", "not msgpack"),
        (b"\xc1", "not msgpack"),
        (header() + b"\0", "not msgpack"),
        (b"\x91" * 2000 + b"\0", "not msgpack"),
        (b"\xdf\xff\xff\xff\xff", "not msgpack"),
        (msgpack.packb({"v": msgpack.Timestamp(1, 2)}), "version"),
        (msgpack.packb({"v": msgpack.ExtType(5, b"x")}), "not msgpack"),
        (msgpack.packb([1, 2]), "a list, not a map"),
        (msgpack.packb(END), "an end of stream carries"),
        (b"\0" * (wire.MAX_HEADER + 1), "over the limit of 65536"),
    ],
)
def test_a_header_that_breaks_the_specification_is_refused(packed: bytes, why: str) -> None:
    with pytest.raises(WireError, match=why):
        wire.decode([TOPIC, packed, b"x"])


def test_the_end_of_a_partition_is_said_on_its_topic() -> None:
    end = EndOfStream("door", 7, 10, partition=3, partitions=4)
    sent = Message(Topic(View.META, "raw", "door", 3), 1, 2, end)
    assert wire.decode(wire.encode(sent)) == sent
    for topic, partitions in ((b"frame/raw/door/4/", 4), (b"frame/raw/door/1/", 1)):
        with pytest.raises(WireError, match="on the topic of partition"):
            wire.decode([topic, msgpack.packb(END | {"partitions": partitions}), b""])


def test_a_consumer_that_lets_go_comes_back_and_garbage_for_it_is_one_wire_error() -> None:
    release = wire.Release("worker", b"frame/raw/door/3/")
    assert wire.decode_release(wire.encode_release(release)) == release
    odd = [1, [1, "worker"], [2, "worker", release.topic], [1, "Worker", release.topic], [1, "worker", b"x"]]
    for each in odd:
        with pytest.raises(WireError):
            wire.decode_release(b"\x03" + msgpack.packb(each))


def test_an_end_that_counts_below_nothing_is_refused() -> None:
    with pytest.raises(WireError, match="end is -1"):
        wire.decode([TOPIC, msgpack.packb(END | {"end": -1}), b""])


@pytest.mark.parametrize(
    ("changes", "payload", "why"),
    [
        ({"v": 2}, b"x", "version 2"),
        ({"v": True}, b"x", "version True"),
        ({"v": "1"}, b"x", "version str"),
        ({"seq": -1}, b"x", "seq is -1"),
        ({"seq": 1.0}, b"x", "seq is 1.0"),
        ({"seq": 2**63}, b"x", "seq is"),
        ({"n": 2**62}, b"x", "n is 4611686018427387904"),
        ({b"odd": 1}, b"x", "the key bytes is not a string"),
        ({"boot": None}, b"x", "boot is None"),
        ({"width": 16385}, b"x", "width is 16385"),
        ({"width": 0}, b"x", "an empty image"),
        ({}, b"", "an empty image"),
        ({"codec": "gif"}, b"x", "unknown codec"),
        ({"codec": ["jpeg"]}, b"x", "codec is a list"),
        ({"codec": "none"}, b"x", "codec none carries"),
        ({"codec": "raw", "width": 2, "height": 2}, b"x" * 11, "raw payload of 11"),
        ({"codec": "raw", "width": 2, "height": 2, "channels": 4}, b"x" * 16, "raw payload"),
        ({"detections": {}}, b"x", "detections is a dict"),
        ({"detections": [1]}, b"x", "a detection is not a map"),
        ({"detections": [FOUND | {"box": [1, 2, 3]}]}, b"x", "box"),
        ({"detections": [FOUND | {"score": float("nan")}]}, b"x", "finite"),
        ({"detections": [FOUND | {"label": 3}]}, b"x", "label"),
        ({"hops": [["a", 1]]}, b"x", "a hop"),
        ({"hops": [["a", 1, -1]]}, b"x", "sent_ns"),
        ({"key": 1}, b"x", "key is a int"),
        ({"partitions": 0}, b"x", "partitions is 0"),
        ({"partitions": 1025}, b"x", "partitions is 1025, not an integer from 0 to 1024"),
        ({"partitions": True}, b"x", "partitions is True"),
        ({"partitions": 4, "seq": 3}, b"x", "on the topic of partition 0, not of 3 of 4"),
        ({"attributes": []}, b"x", "attributes is a list"),
        ({"attributes": {b"a": 1}}, b"x", "the key bytes is not a string"),
        ({"attributes": {"a": [{"b": {b"c": 1}}]}}, b"x", "the key bytes is not a string"),
        ({"attributes": {"a": {"b": [float("nan")]}}}, b"x", "finite"),
        ({"attributes": {"a": float("inf")}}, b"x", "finite"),
        ({"attributes": {"a": [msgpack.Timestamp(1, 2)]}}, b"x", "a Timestamp in attributes"),
        ({"attributes": {"a": nested(32)}}, b"x", "nested more than 32 deep"),
        ({"attributes": {"a": nested(900)}}, b"x", "nested more than 32 deep"),
        ({"detections": [FOUND | {"attributes": {"a": nested(32)}}]}, b"x", "nested more than 32 deep"),
        ({"detections": [FOUND | {b"by": "x"}]}, b"x", "the key bytes is not a string"),
    ],
)
def test_a_field_that_breaks_the_specification_is_refused(
    changes: dict[Any, Any], payload: bytes, why: str
) -> None:
    with pytest.raises(WireError, match=why):
        wire.decode([TOPIC, header(changes), payload])


def test_unknown_fields_are_ignored() -> None:
    got = wire.decode([b"frame/raw/door/0/", header({"colour": "blue"}), jpeg_frame().payload])
    assert isinstance(got.body, Frame)


def test_limits_are_the_receivers_own() -> None:
    parts = wire.encode(message(jpeg_frame()))
    with pytest.raises(WireError, match="payload of"):
        wire.decode(parts, Limits(payload=100))
    with pytest.raises(WireError, match="width is 64"):
        wire.decode(parts, Limits(side=63))


def test_a_header_that_would_be_too_long_is_not_sent() -> None:
    crowd = [Detection("person", 0.5, (1, 2, 3, 4)) for _ in range(3000)]
    with pytest.raises(WireError, match="over the limit of 65536"):
        wire.encode(message(jpeg_frame().annotate(*crowd)))


@pytest.mark.parametrize("odd", [object(), {1, 2}, 2**70, 1j])
def test_annotations_that_cannot_be_packed_are_not_sent(odd: object) -> None:
    with pytest.raises(WireError, match="cannot be packed"):
        wire.encode(message(jpeg_frame().annotate(odd=odd)))


DOOR = jpeg_frame()


@pytest.mark.parametrize(
    ("poison", "why"),
    [
        (DOOR.annotate(counts={1: 2}), "the key 1 is not a string"),
        (DOOR.annotate(counts={b"a": 2}), "the key bytes is not a string"),
        (DOOR.annotate(score=float("nan")), "nan where a finite"),
        (DOOR.annotate(at=msgpack.Timestamp(1)), "a Timestamp in attributes"),
        (DOOR.annotate(code=msgpack.ExtType(5, b"x")), "a ExtType in attributes"),
        (DOOR.annotate(deep=nested(32)), "nested more than 32 deep"),
        (DOOR.annotate(replace(CAT, score=float("nan"))), "nan where a finite"),
        (DOOR.annotate(replace(CAT, score=True)), "True where a finite"),
        (DOOR.annotate(replace(CAT, box=(1, 2, float("inf"), 4))), "inf where a finite"),
        (DOOR.annotate(replace(CAT, box=(True, 2, 3, 4))), "True where a finite"),
        (DOOR.annotate(replace(CAT, box=(1, 2, 3))), "box"),  # type: ignore[arg-type]  # poison
        (DOOR.annotate(replace(CAT, label=3)), "label is a int"),  # type: ignore[arg-type]  # poison
        (DOOR.annotate(replace(CAT, by=3)), "by is a int"),  # type: ignore[arg-type]  # poison
        (DOOR.annotate(replace(CAT, attributes={"a": {1: 2}})), "the key 1"),
        (DOOR.annotate("cat"), "no attribute"),  # type: ignore[arg-type]  # poison
        (replace(DOOR, hops=(Hop("a", -1, 0),)), "received_ns is -1"),
        (replace(DOOR, width=16385), "width is 16385"),
        (replace(DOOR, boot=2**62), "boot is"),
        (replace(DOOR, payload=b""), "an empty image"),
        (replace(DOOR, payload=memoryview(DOOR.payload)[::2]), "a plain row of bytes"),
        (replace(DOOR, codec=Codec.NONE), "codec none carries"),
        (replace(DOOR, codec=Codec.RAW), "raw payload"),
        (replace(DOOR, camera="Door"), "topic"),
    ],
)
def test_what_every_receiver_would_refuse_is_not_sent(poison: Frame, why: str) -> None:
    with pytest.raises(WireError, match=why):
        wire.encode(message(poison))


def test_a_payload_that_every_receiver_would_refuse_is_not_sent() -> None:
    with pytest.raises(WireError, match="payload of 33554433 bytes, over the limit of 33554432"):
        wire.encode(message(replace(DOOR, payload=bytes(32 * 1024 * 1024 + 1))))


def test_attributes_may_be_32_deep_and_of_kinds_that_pack_as_plain_values() -> None:
    frame = DOOR.annotate(deep=nested(31), size=(1, 2), score=np.float64(0.5), view=View.META, code=b"x")
    got = wire.decode(wire.encode(message(frame)))
    assert isinstance(got.body, Frame)
    assert got.body.attributes == {**frame.attributes, "size": [1, 2]}


@given(names, counts, counts)
def test_envelopes_come_back(sender: str, run: int, number: int) -> None:
    envelope = Envelope(sender, run, number)
    assert wire.decode_envelope(wire.encode_envelope(envelope)) == envelope


@given(counts, names, notes)
def test_requests_and_replies_come_back(id: int, operation: str, arguments: dict[str, Any]) -> None:
    request = Request(id, operation, arguments)
    assert wire.decode_request(wire.encode_request(request)) == request
    picture = Reply(id, True, arguments, b"a picture")
    for reply in (Reply(id, True, arguments), Reply(id, True, None), Reply(id, False, "why"), picture):
        assert wire.decode_reply(wire.encode_reply(reply)) == reply


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ([1, 7, "drain"], "not .version, id, operation, arguments"),
        ([2, 7, "drain", {}], "wire version 2"),
        ([1, -1, "drain", {}], "id is -1"),
        ([1, True, "drain", {}], "id is True"),
        ([1, 7, "Drain!", {}], "operation is not a name"),
        ([1, 7, "drain", []], "arguments are not a map"),
        ([1, 7, "drain", {"a": float("inf")}], "inf where a finite"),
    ],
)
def test_a_request_that_is_off_is_refused(fields: list[Any], why: str) -> None:
    with pytest.raises(WireError, match=why):
        wire.decode_request(msgpack.packb(fields))


@pytest.mark.parametrize("fields", [[1, 7, False, 3], [1, 7, "ok", 3], [1, 7, True], {}, [1, None, True, 3]])
def test_a_reply_that_is_off_is_refused(fields: object) -> None:
    with pytest.raises(WireError):
        wire.decode_reply([msgpack.packb(fields)])


def test_a_reply_that_nobody_would_take_is_not_sent() -> None:
    with pytest.raises(WireError, match="over the limit of 65536"):
        wire.encode_reply(Reply(7, True, bytes(wire.MAX_HEADER)))
    with pytest.raises(WireError, match="payload of 3 bytes, over the limit of 2"):
        wire.encode_reply(Reply(7, True, None, b"abc"), Limits(payload=2))


@pytest.mark.parametrize(
    ("reply", "payloads", "why"),
    [
        (Reply(7, True, None), [b"abc"], "payload of 3 bytes, over the limit of 2"),
        (Reply(7, True, None), [b"a", b"b"], "a reply of 3 parts"),
        (Reply(7, False, "no"), [b"a"], "a reply that is not ok"),
    ],
)
def test_a_payload_that_is_off_is_refused(reply: Reply, payloads: list[bytes], why: str) -> None:
    with pytest.raises(WireError, match=why):
        wire.decode_reply([*wire.encode_reply(reply), *payloads], Limits(payload=2))


def test_a_reply_without_parts_is_refused() -> None:
    with pytest.raises(WireError, match="a reply of 0 parts"):
        wire.decode_reply([])


@given(names, counts, st.lists(counts, max_size=20))
def test_acknowledgements_come_back(sender: str, run: int, acked: list[int]) -> None:
    ack = Ack(sender, run, tuple(acked))
    assert wire.decode_ack(wire.encode_ack(ack)) == ack


@given(st.binary(max_size=60) | anything.map(lambda value: bytes(msgpack.packb(value))))
@settings(max_examples=300)
def test_garbage_for_what_is_no_frame_is_one_wire_error(part: bytes) -> None:
    ack = [b"ack/worker/", part]
    for parse in (
        wire.decode_envelope,
        wire.decode_request,
        lambda part: wire.decode_reply([part]),
        lambda _: wire.decode_ack(ack),
    ):
        try:
            parse(part)
        except WireError:
            continue


@pytest.mark.parametrize("path", sorted(VECTORS.glob("*.json")), ids=lambda path: path.stem)
def test_golden_vectors(path: Path) -> None:
    """Bytes that were written down once: what other programs send and read must not change by accident."""
    vector = json.loads(path.read_text())
    parts = [bytes.fromhex(part) for part in vector["parts"]]
    if "refused" in vector:
        with pytest.raises(WireError, match=vector["refused"]):
            wire.decode(parts)
        return
    got = wire.decode(parts)
    assert described(got) == vector["message"]
    assert [bytes(part).hex() for part in wire.encode(got)] == vector["parts"]


def described(got: Message) -> dict[str, Any]:
    """A message in JSON's types."""
    body = got.body
    common = {"topic": bytes(got.topic).decode(), "run": got.run, "n": got.n, "boot": body.boot}
    if body.partitions > 1:
        common["partitions"] = body.partitions
    if isinstance(body, EndOfStream):
        return common | {"end": body.count}
    return (
        common
        | {
            "seq": body.seq,
            "captured_ns": body.captured_ns,
            "pts_ns": body.pts_ns,
            "codec": body.codec.value,
            "width": body.width,
            "height": body.height,
            "channels": body.channels,
            "key": body.keyframe,
            "config": body.config.hex(),
            "part": body.part,
            "detections": [wire.detection_map(d) for d in body.detections],
            "hops": [[hop.node, hop.received_ns, hop.sent_ns] for hop in body.hops],
            "attributes": dict(body.attributes),
            "payload": bytes(body.payload).hex(),
        }
        | ({"shm": [body.shm.ring, body.shm.index, body.shm.generation]} if body.shm else {})
    )


SHARED = replace(DOOR, codec=Codec.RAW, payload=b"", shm=Slot("framemesh-0123456789abcdef", 2, 14))


@given(st.integers(0, 63), st.integers(1, wire.MAX_INT // 2), st.sampled_from((1, 3)))
def test_pixels_in_shared_memory_come_back(index: int, half: int, channels: int) -> None:
    frame = replace(SHARED, channels=channels, shm=Slot("framemesh-0123456789abcdef", index, 2 * half))
    got = wire.decode(wire.encode(message(frame, view=View.SHM)))
    assert isinstance(got.body, Frame)
    assert (got.body.shm, got.body.channels, len(got.body.payload)) == (frame.shm, channels, 0)


@pytest.mark.parametrize(
    ("frame", "view", "why"),
    [
        (SHARED, View.FRAME, "on a topic of the view frame"),
        (replace(SHARED, payload=b"x"), View.SHM, "leave the payload empty"),
        (replace(SHARED, codec=Codec.JPEG), View.SHM, "are raw"),
        (replace(SHARED, codec=Codec.NONE), View.SHM, "are raw"),
        (replace(SHARED, channels=4), View.SHM, "raw payload"),
        (replace(SHARED, width=0), View.SHM, "an empty image"),
        (replace(SHARED, shm=Slot("../etc/passwd", 2, 14)), View.SHM, "names no ring"),
        (replace(SHARED, shm=Slot("framemesh-0123456789abcdef", 64, 14)), View.SHM, "slot is 64"),
        (replace(SHARED, shm=Slot("framemesh-0123456789abcdef", 2, 13)), View.SHM, "generation 13"),
        (replace(SHARED, shm=Slot("framemesh-0123456789abcdef", 2, 0)), View.SHM, "generation 0"),
    ],
)
def test_pixels_in_shared_memory_that_are_off_are_not_sent(frame: Frame, view: View, why: str) -> None:
    with pytest.raises(WireError, match=why):
        wire.encode(message(frame, view=view))


def test_the_vectors_cover_each_codec_and_the_end() -> None:
    found = [json.loads(path.read_text()).get("message", {}) for path in VECTORS.glob("*.json")]
    assert {m.get("codec") for m in found} >= {codec.value for codec in Codec}
    assert any("end" in m for m in found)
    assert any("partitions" in m for m in found)


def test_a_changed_frame_is_encoded_as_changed() -> None:
    frame = replace(jpeg_frame(), stage="motion")
    assert wire.encode(message(frame))[0] == b"frame/motion/door/0/"
