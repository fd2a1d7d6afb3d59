"""Ages of frames in buckets: where they lie, what they tell, and how they are put together."""

import itertools
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.ages import BOOTS_KEPT, BOUNDS_S, Ages, AgeTally, added, bucket, percentile, since, trimmed

DOOR = ("raw", "door", 7)
HALF_OCTAVE = 2**0.5
SHORTEST_S, LONGEST_S = BOUNDS_S[0], BOUNDS_S[-1]
in_range = st.floats(SHORTEST_S, LONGEST_S)


def counted(*ages_s: float) -> tuple[int, ...]:
    tally = AgeTally()
    for age_s in ages_s:
        tally.add(DOOR, round(age_s * 1e9))
    return tally.of(DOOR).counts


def test_bounds_are_half_octaves_from_a_millisecond_to_a_minute() -> None:
    assert (SHORTEST_S, LONGEST_S) == (0.001, 65.536)
    steps = [high / low for low, high in itertools.pairwise(BOUNDS_S)]
    assert steps == [pytest.approx(HALF_OCTAVE, rel=1e-3)] * len(steps)


@pytest.mark.parametrize(
    ("age_s", "at"),
    [(-5.0, 0), (0.0, 0), (0.001, 0), (0.0010001, 1), (0.002, 2), (65.536, 32), (65.6, 33), (1e6, 33)],
)
def test_an_age_lies_in_the_first_bucket_whose_bound_is_not_below_it(age_s: float, at: int) -> None:
    assert bucket(round(age_s * 1e9)) == at


def test_a_tally_keeps_counts_and_their_sum_and_an_age_below_nothing_adds_none() -> None:
    tally = AgeTally()
    for age_ns in (-(10**18), 500_000, 1_500_000_000):
        tally.add(DOOR, age_ns)
    assert tally.of(DOOR) == Ages(counted(-1, 0.0005, 1.5), 1.5005)
    assert tally.of(("raw", "gate", 7)) == Ages()


def test_a_tally_keeps_the_newest_boots_of_each_stream() -> None:
    tally = AgeTally()
    for boot in (5, 3, 9, 1, 7, 8):
        tally.add(("raw", "door", boot), 10**6)
        tally.add(("raw", "gate", 1), 10**6)
    kept = [boot for boot in range(10) if tally.of(("raw", "door", boot)).counts]
    assert kept == [5, 7, 8, 9]
    assert len(kept) == BOOTS_KEPT
    assert tally.of(("raw", "gate", 1)).counts == (6,)


def test_threads_that_add_at_once_lose_nothing() -> None:
    tally = AgeTally()

    def add() -> None:
        for n in range(5000):
            tally.add(DOOR, n * 1000)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(tally.of(DOOR).counts) == 20_000


def test_counts_are_compared_and_added_whatever_their_lengths() -> None:
    assert trimmed([0, 2, 0, 0]) == (0, 2)
    assert since((1, 5, 2), (1, 3)) == (0, 2, 2)
    assert since((1, 5, 2), (1, 5, 2)) == ()
    assert since((1,), (4, 4)) == ()  # another run: never below nothing
    assert added([(1, 2), (), (0, 0, 4)]) == (1, 2, 4)


def test_nothing_has_no_percentile() -> None:
    assert percentile([], 50) is None
    assert percentile([((), 0.0), ((0, 0), 1.0)], 50) is None


@given(st.lists(in_range, min_size=1, max_size=50), st.floats(1, 100))
def test_a_percentile_lies_in_the_bucket_of_the_frame_that_has_it(
    ages_s: list[float], percent: float
) -> None:
    found = percentile([(counted(*ages_s), 0.0)], percent)
    rank = max(0, -(-len(ages_s) * percent // 100) - 1)
    true = sorted(ages_s)[int(rank)]
    assert found is not None
    # A bound is a whole number of nanoseconds; below the first one the bucket begins at 0.
    in_first = true <= 0.001 + 1e-9 and found <= 0.001
    assert true / HALF_OCTAVE * 0.999 <= found <= true * HALF_OCTAVE * 1.001 or in_first


def test_what_is_older_than_all_bounds_is_told_as_the_last_bound() -> None:
    assert percentile([(counted(100.0, 200.0), 0.0)], 99) == LONGEST_S


def test_a_clocks_shift_moves_ages_and_none_falls_below_nothing() -> None:
    counts = counted(*[0.1] * 10)
    plain = percentile([(counts, 0.0)], 50)
    assert plain is not None
    assert percentile([(counts, 0.25)], 50) == pytest.approx(plain + 0.25)
    assert percentile([(counts, -5.0)], 99) == 0.0


def test_counts_of_several_clocks_are_put_together_after_their_correction() -> None:
    near, far = counted(*[0.02] * 99), counted(*[10.0])
    both = percentile([(near, 0.0), (far, -9.98)], 50)  # its clock is that much behind
    assert both is not None
    assert both < 0.03
    apart = percentile([(near, 0.0), (far, 0.0)], 99.9)
    assert apart is not None
    assert apart > 8
