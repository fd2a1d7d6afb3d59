import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.capture.pace import Decimator, Pacer


def test_without_a_rate_every_picture_is_taken() -> None:
    decimator = Decimator(None)
    assert all(decimator.takes(at / 30) for at in range(30))


@pytest.mark.parametrize(("source", "wanted"), [(30, 10), (30, 15), (25, 10), (30, 7), (10, 30), (60, 59)])
def test_pictures_are_thinned_out_evenly(source: int, wanted: int) -> None:
    decimator = Decimator(wanted)
    taken = [at for at in range(source * 10) if decimator.takes(at / source)]
    assert abs(len(taken) - min(source, wanted) * 10) <= 1
    gaps = {b - a for a, b in itertools.pairwise(taken[1:])}
    assert max(gaps) - min(gaps) <= 1


def test_jitter_costs_no_pictures_of_a_source_that_has_just_the_rate() -> None:
    decimator, rng = Decimator(30), random.Random(1)
    assert sum(decimator.takes(at / 30 + rng.uniform(0, 0.013)) for at in range(300)) >= 299


def test_a_silence_is_not_made_up_for_by_a_burst() -> None:
    decimator = Decimator(10)
    assert decimator.takes(0.0)
    assert [decimator.takes(60 + tenth / 30) for tenth in range(6)].count(True) <= 3


def test_a_source_whose_clock_begins_anew_is_taken_on() -> None:
    decimator = Decimator(10)
    assert decimator.takes(1000.0)
    assert decimator.takes(0.0)


def test_pictures_leave_at_their_own_pace() -> None:
    pacer = Pacer()
    assert pacer.wait(5.0, now=100.0) == 0
    assert pacer.wait(5.5, now=100.1) == pytest.approx(0.4)
    assert pacer.wait(6.0, now=101.2) == 0, "late, but within the slack"
    assert pacer.wait(6.5, now=101.3) == pytest.approx(0.2)


def test_one_that_fell_far_behind_begins_anew_instead_of_racing() -> None:
    pacer = Pacer(slack=1.0)
    pacer.wait(0.0, now=0.0)
    assert pacer.wait(1.0, now=10.0) == 0
    assert pacer.wait(2.0, now=10.0) == pytest.approx(1.0)


@given(st.lists(st.floats(0, 10), min_size=1, max_size=30), st.floats(0.1, 100))
def test_a_wait_is_never_negative(times: list[float], fps: float) -> None:
    pacer, decimator = Pacer(), Decimator(fps)
    for at in times:
        decimator.takes(at)
        assert pacer.wait(at, now=at / 2) >= 0


def test_a_pace_may_be_faster_or_slower_than_the_times() -> None:
    for speed, wait in ((4.0, 0.5), (0.5, 4.0)):
        pacer = Pacer(speed=speed)
        assert pacer.wait(10.0, now=100.0) == 0.0
        assert pacer.wait(12.0, now=100.0) == wait
        assert pacer.wait(12.0, now=100.0 + wait) == 0.0
