"""A collect node whose socket anybody may push to: no message ends it, and every one is acknowledged."""

from pathlib import Path
from typing import Any

import msgpack
import zmq

from mesh.frame import Frame
from mesh.registry.records import StatsRecord
from mesh.wire import MAX_HEADER, MAX_INT, Envelope, ack_topic, decode_ack, encode, encode_envelope
from tests.collect.support import make
from tests.e2e.site import Site
from tests.support.frames import message

Parts = tuple[bytes, ...]


def packed(frame: Frame, **changes: Any) -> Parts:
    """A message whose header has other fields than `encode` would give it."""
    topic, header, payload = encode(message(frame))
    return topic, bytes(msgpack.packb(msgpack.unpackb(header) | changes)), bytes(payload)


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def brimful(frame: Frame) -> Parts:
    """A message whose header is as long as it may be, so that one more hop is too much."""
    least = len(encode(message(frame.annotate(text="x" * 60_000)))[1]) - 60_000
    parts = packed(frame, attributes={"text": "x" * (MAX_HEADER - least)})
    assert len(parts[1]) == MAX_HEADER
    return parts


def pushes() -> list[Parts]:
    """Each of a camera of its own."""
    refused: list[dict[str, Any]] = [
        {"attributes": {"a": nested(900)}},
        {"n": 2**63 - 1},
        {"seq": 2**62},
        {"end": 2**64 - 1},
    ]
    parts = [packed(make(0, camera=f"bad{i}", stage="motion"), **odd) for i, odd in enumerate(refused)]
    greatest = dict.fromkeys(("run", "n", "boot", "seq", "captured_ns", "pts_ns", "part"), MAX_INT)
    parts.append(packed(make(0, camera="greatest", stage="motion"), **greatest))
    parts.append(brimful(make(0, camera="brimful", stage="motion")))
    parts.append(packed(make(0, camera="door", stage="motion")))
    return parts


def republish_refused(site: Site) -> int:
    records = [StatsRecord.of(entry) for entry in site.mesh.registry.list("stats/")]
    return sum(record.counters.get("republish_refused", 0) for record in records)


def heard(acks: "zmq.Socket[bytes]") -> set[int]:
    """The numbers that are acknowledged, until nothing comes for a moment."""
    found: set[int] = set()
    while acks.poll(500):
        parts = acks.recv_multipart()
        if parts[0] == ack_topic("foreign"):
            found |= set(decode_ack(parts).numbers)
    return found


def test_no_message_that_is_pushed_ends_the_node(tmp_path: Path) -> None:
    with Site(tmp_path) as site, zmq.Context() as context:
        process = site.collect()
        (node,) = site.wait_for(
            lambda: [node for node in site.mesh.nodes() if "pull" in node.endpoints],
            "a node that takes results",
        )
        with context.socket(zmq.PUSH) as foreign, context.socket(zmq.SUB) as acks:
            foreign.setsockopt(zmq.LINGER, 0)
            foreign.connect(node.endpoints["pull"])
            acks.subscribe("frame/motion/")  # who listens makes the node publish what it records again
            acks.subscribe(ack_topic("foreign"))
            acks.connect(node.endpoints["pub"])
            missing = dict(enumerate(pushes()))

            def all_are_acknowledged() -> bool:
                for number, parts in missing.items():
                    foreign.send_multipart([encode_envelope(Envelope("foreign", 5, number)), *parts])
                for number in heard(acks) & missing.keys():
                    del missing[number]
                return not missing

            site.wait_for(all_are_acknowledged, "each of them is acknowledged")
        site.wait_for(lambda: republish_refused(site) == 1, "the count of what could not be published again")
        assert process.alive, process.log
        assert process.stop() == 0, process.log
        assert [len(site.lines(camera, "motion")) for camera in ("greatest", "brimful", "door")] == [1, 1, 1]
