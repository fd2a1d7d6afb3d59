"""How far a node's wall clock is from the registry's: the estimate, and that sessions make it."""

import random

import pytest

from mesh.registry import Session, open_registry
from mesh.registry.offset import KEPT, Offset, OffsetEstimate, Sample, sample
from tests.registry.helpers import until
from tests.support.clock import ManualClock

MS = 1_000_000
EPOCH = 1_700_000_000_000_000_000


def ask(offset_ns: int, there_s: float, back_s: float, at: float) -> Sample:
    """A question that takes `there_s` to a registry whose clock is `offset_ns` behind, and `back_s` back."""
    asked_ns = EPOCH + int(at * 1e9)
    return sample(asked_ns, asked_ns + int(there_s * 1e9) - offset_ns, at, at + there_s + back_s)


def test_nothing_is_known_before_the_first_answer() -> None:
    assert OffsetEstimate().best(0.0) is None


def test_ways_of_the_same_length_give_the_offset_itself() -> None:
    estimate = OffsetEstimate()
    estimate.add(ask(7 * MS, 0.002, 0.002, 10.0))
    best = estimate.best(10.004)
    assert best is not None
    assert best.offset_ns == pytest.approx(7 * MS, abs=1_000)
    assert best.error_ns == pytest.approx(2 * MS, abs=1_000)


def test_the_error_bounds_the_truth_whichever_way_took_longer() -> None:
    generator, offset_ns = random.Random(1), -3 * MS
    for _ in range(200):
        estimate = OffsetEstimate()
        for n in range(10):
            estimate.add(ask(offset_ns, generator.expovariate(200), generator.expovariate(200), float(n)))
        best = estimate.best(10.0)
        assert best is not None
        assert abs(best.offset_ns - offset_ns) <= best.error_ns + 1_000


def test_the_shortest_round_trip_wins_until_its_age_has_made_it_vague() -> None:
    estimate = OffsetEstimate()
    estimate.add(Sample(1, 1_000.0, 0.0))
    estimate.add(Sample(2, 20_000.0, 1.0))
    assert estimate.best(1.0) == Offset(1, 16_000)  # 15 microseconds of drift a second
    estimate.add(Sample(3, 2_000.0, 2.0))
    assert estimate.best(2.0) == Offset(3, 2_000)


def test_only_the_latest_are_kept() -> None:
    estimate = OffsetEstimate()
    estimate.add(Sample(1, 0.0, 0.0))
    for n in range(KEPT):
        estimate.add(Sample(2, 50_000.0, 0.01 * n))
    best = estimate.best(0.1)
    assert best is not None
    assert best.offset_ns == 2


def test_a_clock_that_was_set_is_followed_at_once() -> None:
    estimate = OffsetEstimate()
    estimate.add(Sample(0, 1_000.0, 0.0))
    estimate.add(Sample(1000 * MS, 5 * MS, 1.0))
    best = estimate.best(1.0)
    assert best is not None
    assert (best.offset_ns, best.error_ns) == (1000 * MS, 5 * MS)


def test_a_session_measures_with_each_renewal() -> None:
    theirs, ours = ManualClock(), ManualClock()
    ours.set_wall_ns(theirs.wall_ns() + 250 * MS)
    with open_registry("memory:offset", clock=theirs) as registry, Session(registry, clock=ours) as session:
        first = until_known(session)
        assert first.offset_ns == pytest.approx(250 * MS, abs=1_000)
        assert first.error_ns == 0
        ours.set_wall_ns(theirs.wall_ns() - 3_600_000 * MS)
        ours.advance_until(lambda: until_known(session).offset_ns < -3_000_000 * MS)


def until_known(session: Session) -> Offset:
    until(lambda: session.clock_offset, "a measure")
    assert session.clock_offset is not None
    return session.clock_offset
