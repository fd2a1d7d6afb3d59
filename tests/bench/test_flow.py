"""The window that keeps a sender close to its receiver, over a real pipe."""

import contextlib
import os
from collections.abc import Iterator

import pytest

from mesh.bench import flow
from mesh.bench.children import BenchError
from mesh.bench.flow import STEP, WARM_UP, WINDOW, Ahead, Flow, Taken


@pytest.fixture
def ends() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for fd in (reading, writing):
        with contextlib.suppress(OSError):  # the test closed it
            os.close(fd)


def test_a_sender_may_be_a_window_ahead_and_then_hears_what_was_taken(ends: tuple[int, int]) -> None:
    ahead, taken = Ahead(ends[0]), Taken(ends[1])
    for seq in range(WINDOW):
        ahead.wait(seq)
    assert not ahead.is_told(0)
    for seq in range(STEP + 1):
        taken.tell(seq)
    ahead.wait(WINDOW)
    ahead.wait(WINDOW + STEP)
    assert not ahead.is_told(0)  # two messages were enough for all of these, and both were read


def test_frames_that_nobody_takes_are_not_waited_for_for_ever(ends: tuple[int, int]) -> None:
    ahead = Ahead(ends[0])
    ahead.wait(WINDOW + 100)
    ahead.wait(WINDOW + 100 + WINDOW - 1)


def test_a_sender_is_told_when_its_receiver_has_left(ends: tuple[int, int]) -> None:
    os.close(ends[1])
    with pytest.raises(BenchError, match="has left"):
        Ahead(ends[0]).wait(WINDOW)


def test_a_receiver_may_still_have_frames_to_take_when_its_sender_has_left(ends: tuple[int, int]) -> None:
    arrived = Taken(ends[1])
    os.close(ends[0])
    for seq in range(2 * STEP):
        arrived.tell(seq)


def test_only_what_was_received_counts_and_the_rest_is_lost(ends: tuple[int, int]) -> None:
    arrived = [seq for seq in range(WARM_UP + 10) if seq != WARM_UP + 3]
    received = flow.receive_all(arrived, Taken(ends[1]))
    assert (received["received"], received["frames"]) == (WARM_UP + 9, 9)
    sent = {"sent": WARM_UP + 10, "frames": 10, "wall_s": 1.0, "cpu_s": 0.02}
    found = Flow.of(sent, received | {"wall_s": 0.5, "cpu_s": 0.027})
    assert found.lost == 1
    assert found.fps == pytest.approx(18)
    assert found.cpu_ms == pytest.approx(2 + 3)


def test_a_run_in_which_nothing_arrived_is_an_error() -> None:
    nothing = {"received": 3, "frames": 3 - WARM_UP, "wall_s": 1.0, "cpu_s": 0.0}
    with pytest.raises(BenchError, match="too few"):
        Flow.of({"sent": 99, "frames": 35, "wall_s": 1.0, "cpu_s": 0.1}, nothing)
