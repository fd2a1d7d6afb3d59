"""What a frame costs between `publish` and the hand-out, in calls: a guard that needs no clock.

A call is what the interpreter's profiler sees: of a Python function, or of one written in C. That is a coarse
measure of the CPU that a frame takes, and nearly the same on every machine and at every load. The limits are
generous: when one is passed, somebody has put work on every frame's way.
"""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import mesh
from mesh.frame import Hop, with_fields
from mesh.inbox import Inbox, Policy
from mesh.publication import Publication
from mesh.wire import decode, encode
from tests.support.frames import jpeg_frame, message
from tests.support.waiting import wait_for

FRAMES = 50
JPEG = jpeg_frame().jpeg


def calls_of(work: Callable[[], object]) -> int:
    """How many calls this thread makes for it."""
    calls = 0

    def count(frame: FrameType, event: str, arg: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls


def send_all(out: Publication) -> None:
    for _ in range(FRAMES):
        out.send(JPEG)


def test_publishing_a_frame_takes_few_calls() -> None:
    with (
        mesh.publish("tcp://127.0.0.1:*", "raw", "door") as out,
        mesh.subscribe(out.endpoint, "raw", "door", policy="fifo"),
    ):
        wait_for(lambda: out.listened_to)
        assert calls_of(lambda: send_all(out)) / FRAMES < 120  # 77; it was 184


def test_taking_a_frame_takes_few_calls() -> None:
    with (
        mesh.publish("tcp://127.0.0.1:*", "raw", "door") as out,
        mesh.subscribe(out.endpoint, "raw", "door", policy="fifo") as sub,
    ):
        wait_for(lambda: out.listened_to)
        send_all(out)
        wait_for(lambda: [count.in_flight for count in sub.counts()] == [FRAMES])
        assert calls_of(lambda: [sub.get(0) for _ in range(FRAMES)]) / FRAMES < 30  # 22; it was 36


def test_taking_in_a_frame_takes_few_calls() -> None:
    hop = Hop("capture-1", 1, 2)
    parts = [encode(message(with_fields(jpeg_frame(seq), hops=(hop,)))) for seq in range(FRAMES)]
    inbox = Inbox(Policy.FIFO)
    calls = calls_of(lambda: inbox.offer_all([decode(each) for each in parts]))
    assert calls / FRAMES < 90  # 67; it was 107


def test_a_copy_of_a_frame_takes_few_calls() -> None:
    frame = jpeg_frame()
    assert calls_of(lambda: frame.annotate(weather="rain")) < 12  # 6; it was 26
