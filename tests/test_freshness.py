"""Simulated streams: a camera with a clock of its own, a way that takes time, a receiver that may stop."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.freshness import DARK_S, Freshness

MAX_AGE_S = 1.0
WALL_S = 1_700_000_000
RECOVERS_S = 60.0


@dataclass(frozen=True, slots=True)
class Arrival:
    """One frame: seconds of true time at which it was taken and came, and the camera's clock's error then."""

    taken: float
    came: float
    error: float = 0.0

    @property
    def captured_ns(self) -> int:
        return int((WALL_S + self.taken + self.error) * 1e9)

    @property
    def wall_ns(self) -> int:
        return int((WALL_S + self.came) * 1e9)


def verdicts(freshness: Freshness, arrivals: Iterable[Arrival]) -> Iterator[tuple[Arrival, bool]]:
    """Each frame as it comes, and whether it is stale when it is taken at once."""
    for one in arrivals:
        freshness.arrived(one.captured_ns, one.wall_ns, one.came)
        yield one, freshness.is_stale(one.captured_ns, one.wall_ns)


def live(
    start: float, seconds: float, *, fps: float = 25.0, way: float = 0.002, error: float = 0.0
) -> Iterator[Arrival]:
    for number in range(int(seconds * fps)):
        taken = start + number / fps
        yield Arrival(taken, taken + way, error)


def drained(start: float, stopped_s: float, *, fps: float = 25.0, error: float = 0.0) -> Iterator[Arrival]:
    """What piled up while the receiver stood still, a tenth of a millisecond a frame."""
    for number in range(int(stopped_s * fps)):
        yield Arrival(start + number / fps, start + stopped_s + number * 1e-4, error)


errors = st.sampled_from([0.0, 0.5, -0.5, 2.0, -2.0, 3600.0, -3600.0, 1e9, -1e9])


@given(errors, st.floats(0, 20), st.lists(st.floats(0, 0.9), min_size=1, max_size=200))
def test_a_live_stream_is_never_stale_however_far_the_clocks_are_apart_and_however_long_its_way(
    error: float, way: float, jitters: list[float]
) -> None:
    freshness = Freshness(MAX_AGE_S)
    arrivals = [Arrival(n / 10, n / 10 + way + jitter, error) for n, jitter in enumerate(jitters)]
    settled = 0 <= way - error <= MAX_AGE_S  # the clocks may agree: then ages are what they say
    for one, stale in verdicts(freshness, sorted(arrivals, key=lambda a: a.came)):
        assert not stale or (settled and one.came - one.taken - error > MAX_AGE_S)


@given(errors, st.floats(0.1, 200), st.floats(2, 1000), st.sampled_from([1.0, 5.0, 25.0]))
def test_nothing_older_than_the_limit_is_fresh_after_a_stop_and_what_is_live_is(
    error: float, before_s: float, stopped_s: float, fps: float
) -> None:
    freshness = Freshness(MAX_AGE_S)
    warm = list(live(0, max(before_s, 2 / fps), fps=fps, error=error))
    assert not any(stale for _, stale in verdicts(freshness, warm))
    start = warm[-1].taken + 1 / fps
    for one, stale in verdicts(freshness, drained(start, stopped_s, fps=fps, error=error)):
        if one.came - one.taken > MAX_AGE_S + 0.002:
            assert stale, f"a frame {one.came - one.taken:.3f} s old was fresh"
    after = list(live(start + stopped_s + 1, 5, fps=fps, error=error))
    assert not any(stale for _, stale in verdicts(freshness, after))


@given(errors, st.integers(2, 6), st.floats(2, 100))
def test_one_stop_after_the_other_makes_no_backlog_normal(error: float, stops: int, stopped_s: float) -> None:
    freshness = Freshness(MAX_AGE_S)
    list(verdicts(freshness, live(0, 5, error=error)))
    start = 5.0
    for _ in range(stops):
        for one, stale in verdicts(freshness, drained(start, stopped_s, error=error)):
            assert stale or one.came - one.taken <= MAX_AGE_S + 0.002
        start += stopped_s
        list(verdicts(freshness, live(start + 0.5, 0.5, error=error)))
        start += 1.0


@given(errors, st.lists(st.tuples(errors, st.floats(0.1, 90)), min_size=1, max_size=4), st.integers(1, 30))
def test_a_clock_that_is_set_however_often_blacks_out_no_stream_for_a_minute(
    error: float, steps: list[tuple[float, float]], fps: int
) -> None:
    freshness = Freshness(MAX_AGE_S)
    list(verdicts(freshness, live(0, 10, error=error)))
    start = 10.0
    for error, seconds in steps:
        list(verdicts(freshness, live(start, seconds, fps=fps, error=error)))
        start += seconds
    fresh_at, darkest = start, 0.0
    for one, stale in verdicts(freshness, live(start, RECOVERS_S, fps=fps, error=error)):
        fresh_at = fresh_at if stale else one.came
        darkest = max(darkest, one.came - fresh_at)
    assert darkest <= 3 * DARK_S + 3 / fps


def test_stops_that_interrupt_the_draining_make_no_backlog_normal() -> None:
    freshness = Freshness(MAX_AGE_S)
    list(verdicts(freshness, live(0, 5)))
    waiting = [5 + n / 25 for n in range(25 * 300)]  # when each was taken
    for stop in range(1, 6):
        came = 5 + 60.0 * stop
        begun, waiting = waiting[:10], waiting[10:]
        assert all(stale for _, stale in verdicts(freshness, [Arrival(taken, came) for taken in begun]))
    rest = [Arrival(taken, 305) for taken in waiting]
    assert all(stale == (one.came - one.taken > MAX_AGE_S) for one, stale in verdicts(freshness, rest))


def test_a_stop_as_a_clock_was_set_makes_no_backlog_normal() -> None:
    freshness = Freshness(MAX_AGE_S)
    list(verdicts(freshness, live(0, 5)))
    list(verdicts(freshness, live(5, 2 * DARK_S, error=-3600)))
    backlog = list(verdicts(freshness, drained(5 + 2 * DARK_S, 10, error=-3600)))
    assert all(stale for one, stale in backlog if one.came - one.taken > MAX_AGE_S + 0.002)


def test_ages_are_what_clocks_say_that_may_agree() -> None:
    freshness = Freshness(MAX_AGE_S)
    list(verdicts(freshness, live(0, 5, way=0.6)))
    told = [stale for _, stale in verdicts(freshness, [Arrival(5, 5.99), Arrival(5.1, 6.2)])]
    assert told == [False, True]


def test_a_backlog_that_is_drained_slowly_stays_stale() -> None:
    """At 1.2 times the pace at which it is made it takes 50 s to catch up with ten."""
    freshness = Freshness(MAX_AGE_S)
    list(verdicts(freshness, live(0, 5)))
    slowly = [Arrival(5 + n / 25, 15 + n / 25 / 1.2) for n in range(1500)]
    told = list(verdicts(freshness, slowly))
    assert all(stale == (one.came - one.taken > MAX_AGE_S) for one, stale in told)
    assert {stale for _, stale in told} == {True, False}


def test_a_way_that_has_become_long_is_the_new_normal_until_it_is_short_again() -> None:
    freshness = Freshness(MAX_AGE_S)
    list(verdicts(freshness, live(0, 5)))
    longer = [stale for _, stale in verdicts(freshness, live(5, 20, way=4.0))]
    assert longer == sorted(longer, reverse=True)
    assert longer[0]
    assert not longer[-1]
    assert not any(stale for _, stale in verdicts(freshness, live(30, 5)))
    (aged,) = [stale for _, stale in verdicts(freshness, [Arrival(35, 36.5)])]
    assert aged


def test_clocks_that_drift_apart_stay_known() -> None:
    """A camera that is slow by one part in two thousand, from an hour behind, over half a day."""
    freshness = Freshness(MAX_AGE_S)
    drifting = (Arrival(t, t + 0.01, -3600 - t / 2000) for t in range(0, 43_200, 2))
    assert not any(stale for _, stale in verdicts(freshness, drifting))


def test_what_waits_here_grows_old() -> None:
    for error in (0.0, -3600.0, 3600.0):
        freshness = Freshness(0.005)
        one = Arrival(0, 0.001, error)
        freshness.arrived(one.captured_ns, one.wall_ns, one.came)
        assert not freshness.is_stale(one.captured_ns, one.wall_ns + 3_000_000)
        assert freshness.is_stale(one.captured_ns, one.wall_ns + 6_000_000)


@pytest.mark.parametrize("max_age_s", [0.005, 1.0, 1e9])
def test_a_repr_says_the_limit(max_age_s: float) -> None:
    assert f"max_age={max_age_s:g} s" in repr(Freshness(max_age_s))
