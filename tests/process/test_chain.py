"""Processors in a row: what is dropped, split, refused."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from mesh.errors import DecodeError, ProcessorError
from mesh.frame import Detection, Frame
from nodes.process.chain import MAX_PARTS, Chain
from nodes.process.foresight import EVERY
from nodes.process.processors.catalog import ProcessorFactory, factory
from tests.process.support import frame

PICTURE = frame(np.full((48, 64, 3), 100, np.uint8), seq=5)


def chain(*functions: Callable[[Frame], Any]) -> Chain:
    return Chain([ProcessorFactory(each.__name__, partial(_the, each)) for each in functions])


def _the(function: Callable[[Frame], Any]) -> Callable[[Frame], Any]:
    return function


def same(frame: Frame) -> Frame:
    return frame


def nothing(frame: Frame) -> None:
    return None


def two(frame: Frame) -> list[Frame]:
    return [frame.annotate(side="left"), frame.annotate(side="right")]


def three(frame: Frame) -> tuple[Frame, ...]:
    return (frame, frame, frame)


def test_a_frame_goes_through_all_of_them() -> None:
    def mark(frame: Frame) -> Frame:
        return frame.annotate(Detection("mark", 1.0, (0, 0, 1, 1)))

    (out,) = chain(mark, same, mark).run(PICTURE)
    assert len(out.detections) == 2
    assert (out.identity, out.part) == (PICTURE.identity, 0)
    assert out.payload is PICTURE.payload


def test_no_processors_change_nothing() -> None:
    assert Chain([]).run(PICTURE) == [PICTURE]


def test_none_and_an_empty_list_drop_the_frame_and_skip_the_rest() -> None:
    called = []

    def after(frame: Frame) -> Frame:
        called.append(frame)
        return frame

    def empty(frame: Frame) -> list[Frame]:
        return []

    assert chain(nothing, after).run(PICTURE) == []
    assert chain(empty, after).run(PICTURE) == []
    assert not called


def test_siblings_are_numbered() -> None:
    assert [(f.part, f.attributes["side"]) for f in chain(two).run(PICTURE)] == [(0, "left"), (1, "right")]


def test_a_split_of_a_split_is_numbered_through() -> None:
    outs = chain(two, three).run(PICTURE)
    assert [f.part for f in outs] == [0, 1, 2, 3, 4, 5]
    assert [f.attributes["side"] for f in outs] == ["left"] * 3 + ["right"] * 3


def test_siblings_keep_their_number_when_one_is_dropped() -> None:
    def right_only(frame: Frame) -> Frame | None:
        return frame if frame.attributes["side"] == "right" else None

    assert [f.part for f in chain(two, right_only, same).run(PICTURE)] == [1]


def test_parts_of_an_earlier_node_stay_apart_when_split_again() -> None:
    siblings = [replace(PICTURE, part=part) for part in range(3)]
    assert [f.part for part in siblings for f in chain(same).run(part)] == [0, 1, 2]
    parts = [f.part for part in siblings for f in chain(two).run(part)]
    assert len(set(parts)) == 6


def looked_at(frame: Frame) -> Frame:
    return frame.annotate(small=frame.gray(32).shape, whole=frame.image.shape)


def test_one_decode_serves_all_processors_whatever_they_ask_for_first() -> None:
    """Once it is known what they ask for, the payload can be spoilt before the first of them looks."""
    jpeg = bytes(PICTURE.payload)
    payload, spoilt = bytearray(jpeg), [0, 0]

    def spoil(frame: Frame) -> Frame:
        spoilt[0] += 1
        if spoilt[0] % EVERY != 1:  # on which one they are watched
            payload[:] = bytes(len(payload))
            spoilt[1] += 1
        return frame

    row = chain(spoil, looked_at)
    for _ in range(2 * EVERY):
        payload[:] = jpeg
        (out,) = row.run(replace(PICTURE, payload=memoryview(payload), _pixels={}))
        assert out.attributes == {"small": (24, 32), "whole": (48, 64, 3)}
    assert spoilt == [2 * EVERY, 2 * EVERY - 2]


def test_one_look_alone_is_not_decoded_ahead() -> None:
    def small_only(frame: Frame) -> Frame:
        return frame.annotate(size=frame.gray(32).shape)

    row = chain(small_only)
    for _ in range(3):
        frame = replace(PICTURE, _pixels={})
        row.run(frame)
        assert [look.size for look in frame.looks] == [(32, 24)]


def test_pictures_that_become_smaller_are_decoded_ahead_as_they_are() -> None:
    row = chain(looked_at)
    row.run(replace(PICTURE, _pixels={}))
    small = frame(np.full((12, 16, 3), 100, np.uint8))
    (out,) = row.run(small)
    assert out.attributes == {"small": (12, 16), "whole": (12, 16, 3)}


def test_processors_that_only_look_leave_the_jpeg_as_it_came() -> None:
    row = Chain([factory("motion:warmup=1"), factory("codes"), factory("passthrough")])
    for _ in range(4):
        (out,) = row.run(replace(PICTURE, _pixels={}))
        assert out.payload is PICTURE.payload
        assert out.encoded() is out


def test_what_a_processor_raises_names_it() -> None:
    def fails(frame: Frame) -> Frame:
        raise ValueError("no such thing")

    with pytest.raises(ProcessorError, match=r"^fails: ValueError: no such thing$") as caught:
        chain(same, fails).run(PICTURE)
    assert isinstance(caught.value.__cause__, ValueError)


def test_an_image_that_does_not_decode_costs_that_frame_alone() -> None:
    motion = Chain([factory("motion")])
    with pytest.raises(ProcessorError, match=r"^motion: DecodeError: ") as caught:
        motion.run(replace(PICTURE, payload=b"not a jpeg", _pixels={}))
    assert isinstance(caught.value.__cause__, DecodeError)
    assert motion.run(PICTURE)


@pytest.mark.parametrize("result", ["text", 3, object(), {}, iter([])])
def test_a_result_that_is_no_frame(result: object) -> None:
    def odd(frame: Frame) -> object:
        return result

    with pytest.raises(
        ProcessorError, match=r"odd: returned an? .*: return a Frame, a list of frames, or None"
    ):
        chain(odd).run(PICTURE)


def test_a_list_with_something_else_in_it() -> None:
    def odd(frame: Frame) -> list[object]:
        return [frame, None]

    with pytest.raises(ProcessorError, match="odd: returned a list with a NoneType in it"):
        chain(odd).run(PICTURE)


@pytest.mark.parametrize("change", [{"camera": "other"}, {"boot": 2}, {"seq": 6}])
def test_identity_never_changes(change: dict[str, Any]) -> None:
    def thief(frame: Frame) -> Frame:
        return replace(frame, **change)

    with pytest.raises(ProcessorError, match="thief: changed a frame's identity"):
        chain(thief).run(PICTURE)


def test_too_many_parts() -> None:
    def flood(frame: Frame) -> list[Frame]:
        return [frame] * (MAX_PARTS + 1)

    with pytest.raises(ProcessorError, match="flood: made 1025 frames of one"):
        chain(flood).run(PICTURE)


class Closable:
    def __init__(self, closed: list[str], name: str, error: Exception | None = None) -> None:
        self.closed, self.name, self.error = closed, name, error

    def __call__(self, frame: Frame) -> Frame:
        return frame

    def close(self) -> None:
        self.closed.append(self.name)
        if self.error:
            raise self.error


def test_close_reaches_every_processor() -> None:
    closed: list[str] = []
    row = Chain(
        [
            ProcessorFactory("a", lambda: Closable(closed, "a")),
            ProcessorFactory("b", lambda: Closable(closed, "b", OSError("gone"))),
            ProcessorFactory("c", lambda: Closable(closed, "c")),
        ]
    )
    with pytest.raises(ProcessorError, match="b: close: OSError: gone"):
        row.close()
    assert closed == ["c", "b", "a"]
    row.close()


def test_one_that_cannot_be_made_closes_those_before_it() -> None:
    closed: list[str] = []

    def broken() -> Closable:
        raise RuntimeError("no memory left on the accelerator")

    with pytest.raises(ProcessorError, match="b: RuntimeError: no memory left"):
        Chain([ProcessorFactory("a", lambda: Closable(closed, "a")), ProcessorFactory("b", broken)])
    assert closed == ["a"]
