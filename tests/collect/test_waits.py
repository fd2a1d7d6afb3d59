"""For how long results are held back for what may never come, in virtual time; the model of `test_order`."""

import random
from collections import deque

import pytest

from tests.collect.test_order import Collector, Group, Sent, at, later


def test_a_partition_that_speaks_rarely_is_waited_for_ever_less_and_longer_again_when_it_pays() -> None:
    collector = Collector(2)
    now, waits = 0.0, []
    for number in range(8):
        at(collector, now, 100 * number, run=1, n=2 * number)
        assert at(collector, now, 100 * number + 10, run=1, n=2 * number + 1) == []
        waited = 0.0
        while not later(collector, now + waited):
            waited += 0.0625
        waits.append(waited)
        now += 60.0
        at(collector, now, 100 * number + 21, run=2, n=number)
    assert waits == [2.0, 1.0, 0.5, 0.25, 0.125, 0.125, 0.125, 0.125]
    for number in range(400, 412, 2):
        assert at(collector, now, 2 * number, run=1, n=number) is not None
    assert collector.buffer._progress.of(1).patience == 0.0625


def test_a_partition_of_a_lossless_stream_is_waited_for_longer_while_it_gets_on() -> None:
    collector = Collector(2, lossless=True)
    for n in range(1, 50):
        at(collector, 0.0, 2 * n, run=1, n=n - 1)
    for n in range(6):
        assert later(collector, 4.0 * n + 3.9) == []
        assert later(collector, 4.0 * n + 4.0) == []
        at(collector, 4.0 * n + 4.0, 2 * n + 1, run=2, n=n)
    assert collector.seqs == [*range(1, 13)]
    assert later(collector, 28.9) == []
    assert later(collector, 29.0) == [*range(14, 100, 2)]


def test_a_partition_of_a_lossless_stream_that_gets_on_is_waited_for_up_to_its_deadline() -> None:
    collector = Collector(2, lossless=True)
    for n in range(1, 50):
        at(collector, 0.0, 2 * n, run=1, n=n - 1)
    for n in range(7):
        at(collector, 4.0 * n + 4.0, 2 * n + 1, run=2, n=n)
    assert later(collector, 29.9) == []
    assert later(collector, 30.0) == [*range(16, 100, 2)]


def test_a_hole_between_two_members_of_a_lossless_stream_is_waited_for_while_it_fills() -> None:
    collector = Collector(1, lossless=True)
    assert at(collector, 0.0, 40, run=1, n=0) == [40]
    assert at(collector, 6.0, 100, run=2, n=0) == []
    assert at(collector, 6.5, 110, run=2, n=1) == []
    assert at(collector, 10.0, 60, run=1, n=1) == [60]
    assert later(collector, 14.9) == []
    assert later(collector, 15.0) == [100, 110]
    assert at(collector, 15.1, 130, run=2, n=2) == [130]


def test_a_hole_in_a_member_s_numbers_of_a_lossless_stream_is_waited_for_up_to_its_deadline() -> None:
    collector = Collector(1, lossless=True)
    assert at(collector, 0.0, 0, run=1, n=0) == [0]
    assert at(collector, 1.0, 50, run=1, n=2) == []
    for n in range(3, 10):  # it goes on: what is missing is on its way
        assert at(collector, 4.0 * n - 8.0, 50 + n, run=1, n=n) == []
    assert later(collector, 30.9) == []
    assert later(collector, 31.0)[0] == 50


def test_a_hole_in_the_numbers_of_a_member_that_is_silent_is_not_waited_for_that_long() -> None:
    collector = Collector(1, lossless=True)
    assert at(collector, 0.0, 0, run=1, n=0) == [0]
    assert at(collector, 1.0, 50, run=1, n=2) == []
    assert later(collector, 5.9) == []
    assert later(collector, 6.0) == [50]


def test_a_late_result_shows_that_its_partition_is_to_be_waited_for_longer() -> None:
    collector = Collector(2)
    for number in range(4):
        at(collector, 60.0 * number, 100 * number, run=1, n=number)
        later(collector, 60.0 * number + 2.0)
        at(collector, 60.0 * number + 3.0, 100 * number + 1, run=2, n=number)
    patience = collector.buffer._progress.of(1).patience
    at(collector, 300.0, 1000, run=1, n=4)
    later(collector, 302.0)
    at(collector, 302.1, 901, run=2, n=4)
    assert collector.out[-1].late
    assert collector.buffer._progress.of(1).patience == patience


def held_s(collector: Collector, arrivals: list[Sent]) -> list[float]:
    """For how long each result was held, when the collector looks every 0.05 s."""
    waits, now, coming = [], 0.0, deque(arrivals)
    while coming or collector.buffer.items:
        before = len(collector.out)
        while coming and coming[0].at <= now:
            collector.take(coming.popleft(), now)
        collector.out += collector.buffer.release(now)
        gone = [each.item for each in collector.out[before:] if not each.item.end]
        waits += [now - collector.came[sent.seq] for sent in gone]
        now += 0.05
    return waits


@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize(("partitions", "passed_on"), [(1, 0.02), (2, 0.1), (4, 0.1), (4, 0.02), (8, 0.3)])
def test_a_stage_that_passes_little_on_is_hardly_held_back(
    partitions: int, passed_on: float, lossless: bool
) -> None:
    group = Group(random.Random(5), partitions, 4, lag=0.05, fps=20.0, passed_on=passed_on, moves=0.0)
    collector = Collector(partitions, lossless=lossless)
    waits = held_s(collector, group.run(6000))
    assert collector.seqs == sorted(collector.came)
    assert sum(waits) / len(waits) < (0.5 if lossless else 0.25)
    assert max(waits) < 5.1
