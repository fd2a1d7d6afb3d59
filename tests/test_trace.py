"""Where frames spend their time: percentiles, hops and clocks, on frames whose way is made up."""

from dataclasses import replace

import pytest

from mesh.frame import Frame, Hop
from mesh.trace import Leg, NodeClock, Spread, Trace, between, percentile, spread
from tests.support.frames import jpeg_frame

MS = 1_000_000


def went(seq: int, *hops: tuple[str, int, int], stage: str = "raw") -> Frame:
    """A frame that was captured at 0 and passed nodes; times in milliseconds."""
    made = tuple(Hop(node, received * MS, sent * MS) for node, received, sent in hops)
    return replace(jpeg_frame(seq), captured_ns=0, hops=made, stage=stage).without_image()


def test_percentiles_are_by_nearest_rank() -> None:
    ordered = list(range(1, 101))
    assert [percentile(ordered, p) for p in (0, 50, 95, 99, 100)] == [1, 50, 95, 99, 100]
    assert [percentile([7], p) for p in (1, 50, 99)] == [7, 7, 7]
    assert percentile([1, 2], 50) == 1
    assert percentile([1, 2], 51) == 2


def test_a_spread_is_in_milliseconds_and_says_how_uncertain_it_is() -> None:
    durations = [n * MS for n in range(100, 0, -1)]
    assert spread(durations) == Spread(100, 50.0, 95.0, 99.0, 0.0)
    assert spread(durations, -10 * MS, 2 * MS) == Spread(100, 40.0, 85.0, 89.0, 2.0)
    assert spread([5 * MS], 0, None).error_ms is None


@pytest.mark.parametrize(
    ("origin", "to", "expected"),
    [
        (NodeClock(5, 1, "a"), NodeClock(2, 3, "b"), (3, 4)),
        (NodeClock(5, 1), NodeClock(2, 3), (3, 4)),
        (NodeClock(5, 1, "a"), NodeClock(900, 3, "a"), (0, 0)),  # one machine has one clock
        (NodeClock(), NodeClock(2, 3, "b"), (0, None)),
        (NodeClock(5, 1, "a"), NodeClock(machine="b"), (0, None)),
    ],
)
def test_two_clocks_are_brought_together(
    origin: NodeClock, to: NodeClock, expected: tuple[int, int | None]
) -> None:
    assert between(origin, to) == expected


def test_every_leg_of_a_chain_in_the_order_of_the_way() -> None:
    trace = Trace()
    for seq in range(10):
        t = 100 * seq
        capture = ("cap", t, t + 2)
        motion = ("zmotion", t + 5, t + 25)
        collect = ("acollect", t + 26, t + 27)
        trace.add(went(seq, capture))
        trace.add(went(seq, capture, motion, stage="motion"))
        trace.add(went(seq, capture, motion, collect, stage="motion"))
    found = trace.traced({})
    assert [str(leg) for leg in found.legs] == [
        "in cap",
        "cap -> zmotion",
        "in zmotion",
        "zmotion -> acollect",
        "in acollect",
    ]
    assert [s.p50_ms for s in found.legs.values()] == [2.0, 3.0, 20.0, 1.0, 1.0]
    assert {s.n for s in found.legs.values()} == {10}, "a frame that was seen at three stages counts once"
    assert [s.error_ms for s in found.legs.values()] == [0.0, None, 0.0, None, 0.0]
    assert set(found.ages) == {
        ("raw", "cap", "cap"),
        ("motion", "cap", "zmotion"),
        ("motion", "cap", "acollect"),
    }
    assert found.ages["raw", "cap", "cap"].p50_ms == 402.0
    assert dict(trace.frames) == {"raw": 10, "motion": 20}


def test_links_and_ages_are_corrected_by_the_clocks_and_the_rest_is_not() -> None:
    trace = Trace()
    trace.add(went(0, ("cap", 0, 1), ("far", 3001, 3011), stage="motion"))  # far is 3 s less 4 ms ahead
    clocks = {"cap": NodeClock(0, MS, "a"), "far": NodeClock(2996 * MS, 2 * MS, "b")}
    found = trace.traced(clocks)
    assert found.legs[Leg("cap", "far")] == Spread(1, 4.0, 4.0, 4.0, 3.0)
    assert found.legs[Leg("", "far")] == Spread(1, 10.0, 10.0, 10.0, 0.0)
    assert found.ages["motion", "cap", "far"] == Spread(1, 15.0, 15.0, 15.0, 3.0)


def test_frames_without_hops_and_a_trace_of_nothing_say_nothing() -> None:
    trace = Trace()
    trace.add(went(0))
    found = trace.traced({})
    assert (dict(found.legs), dict(found.ages), dict(trace.frames)) == ({}, {}, {})
