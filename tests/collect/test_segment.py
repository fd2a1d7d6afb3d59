"""The decisions about segments, without disks; and a frame's line."""

import json
import math
from dataclasses import replace

import pytest

from mesh.errors import WireError
from mesh.frame import Detection, Hop
from mesh.recordings.lines import line, next_pts_ms
from nodes.collect.segment import Item, SegmentLimits, SegmentState, needs_new_segment
from tests.collect.support import START_NS, make

STATE = SegmentState(boot=7, width=96, height=64, first_ns=START_NS, bytes=50_000)


@pytest.mark.parametrize(
    ("changes", "limits", "new"),
    [
        ({}, SegmentLimits(), False),
        ({"captured_ns": START_NS + 59_999_999_999}, SegmentLimits(60), False),
        ({"captured_ns": START_NS + 60_000_000_000}, SegmentLimits(60), True),
        ({"captured_ns": START_NS + 500_000_000}, SegmentLimits(0.5), True),
        ({"captured_ns": START_NS - 3_000_000_000}, SegmentLimits(60), False),
        ({"captured_ns": START_NS - 3_600_000_000_000}, SegmentLimits(60), True),
        ({"payload": bytes(10_000)}, SegmentLimits(60, 60_000), False),
        ({"payload": bytes(10_001)}, SegmentLimits(60, 60_000), True),
        ({"payload": bytes(10_001)}, SegmentLimits(60, None), False),
        ({"boot": 8}, SegmentLimits(), True),
        ({"width": 97}, SegmentLimits(), True),
        ({"height": 65}, SegmentLimits(), True),
        ({"seq": 99, "camera": "other"}, SegmentLimits(), False),
    ],
)
def test_when_a_new_segment_begins(changes: dict[str, object], limits: SegmentLimits, new: bool) -> None:
    frame = make(captured_ns=START_NS)
    item = Item(replace(frame, **changes))  # type: ignore[arg-type]
    assert needs_new_segment(STATE, item, limits) is new


@pytest.mark.parametrize(
    ("begun_late", "late", "after_s", "new"),
    [(False, True, -90, False), (True, True, 10, False), (True, True, 90, True), (True, False, 10, True)],
)
def test_late_frames_and_segments(begun_late: bool, late: bool, after_s: int, new: bool) -> None:
    frame = make(captured_ns=START_NS + after_s * 1_000_000_000)
    assert needs_new_segment(STATE._replace(late=begun_late), Item(frame, late), SegmentLimits()) is new


@pytest.mark.parametrize(
    ("after_ns", "last_ms", "pts_ms"),
    [
        (0, None, 0),
        (40_000_000, 0, 40),
        (40_999_999, 0, 40),
        (40_500_000, 40, 41),  # the same millisecond
        (-5_000_000, 80, 81),  # the clock was set back
        (-5_000_000, None, 0),
        (90_000_000, 81, 90),  # and has caught up
    ],
)
def test_frame_times_rise_strictly(after_ns: int, last_ms: int | None, pts_ms: int) -> None:
    assert next_pts_ms(START_NS, START_NS + after_ns, last_ms) == pts_ms


def test_a_line() -> None:
    found = Detection("person", 0.75, (1, 2.5, 3, 4), by="motion", attributes={"id": 3})
    frame = make(2, detections=(found,), hops=(Hop("cap-1", 10, 20), Hop("proc-1", 30, 40)))
    text = line(frame, 80)
    assert text.endswith(b"}\n")
    assert text.count(b"\n") == 1
    assert json.loads(text) == {
        "camera": "front",
        "boot": 7,
        "seq": 2,
        "stage": "raw",
        "captured_ns": START_NS + 80_000_000,
        "pts_ms": 80,
        "detections": [
            {"label": "person", "score": 0.75, "box": [1, 2.5, 3, 4], "by": "motion", "attributes": {"id": 3}}
        ],
        "hops": [["cap-1", 10, 20], ["proc-1", 30, 40]],
    }


def test_a_line_holds_more_where_there_is_more() -> None:
    entry = json.loads(line(make(part=2, pts_ns=1_500_000, attributes={"text": "Tür\n2"}), 0))
    assert (entry["part"], entry["source_pts_ms"], entry["attributes"]) == (2, 1.5, {"text": "Tür\n2"})


def test_what_json_has_no_word_for() -> None:
    attributes = {"raw": b"\x00\xff", "bad": [math.nan, math.inf, 1.5], "deep": {b"k": (1, 2)}}
    entry = json.loads(line(make(attributes=attributes), 0))
    assert entry["attributes"] == {"raw": "AP8=", "bad": [None, None, 1.5], "deep": {"aw==": [1, 2]}}


def test_annotations_that_are_no_plain_values_are_refused() -> None:
    with pytest.raises(WireError, match="cannot be written as JSON"):
        line(make(attributes={"odd": object()}), 0)
