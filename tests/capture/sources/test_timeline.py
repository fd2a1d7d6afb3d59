"""Presentation times, by arithmetic alone."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from nodes.capture.sources.timeline import Timeline

MS = 1_000_000


def test_times_begin_at_nothing_and_keep_gaps() -> None:
    timeline = Timeline(Fraction(1, 1000), fps=10)
    assert [timeline.stamp(pts) for pts in (5000, 5100, 5700)] == [0, 100 * MS, 700 * MS]


def test_pictures_without_a_time_follow_one_another() -> None:
    timeline = Timeline(None, fps=0)
    assert [timeline.stamp(None) for _ in range(3)] == [0, 40 * MS, 80 * MS]


def test_a_new_round_goes_on() -> None:
    timeline = Timeline(Fraction(1, 1000), fps=10)
    first = [timeline.stamp(pts) for pts in (0, 100)]
    assert timeline.begin_again()
    assert first + [timeline.stamp(pts) for pts in (0, 100)] == [k * 100 * MS for k in range(4)]
    assert timeline.begin_again()
    assert not timeline.begin_again()


def test_a_live_stream_keeps_what_it_says() -> None:
    timeline = Timeline(Fraction(1, 1000), fps=10, live=True)
    assert [timeline.stamp(pts) for pts in (None, 50, 40, None)] == [None, 0, -10 * MS, None]


@given(st.lists(st.none() | st.integers(-(2**40), 2**40), max_size=50), st.sampled_from([0.0, 29.97, 1000.0]))
def test_a_files_times_only_rise(stamps: list[int | None], fps: float) -> None:
    timeline = Timeline(Fraction(1, 90000), fps)
    times = [timeline.stamp(pts) or 0 for pts in stamps]
    assert all(time >= 0 for time in times)
    assert times == sorted(set(times))
