import random

from mesh.backoff import Backoff
from mesh.site.restarts import FIRST_S, MOST_S, STEADY_S, Restarts


def restarts() -> Restarts:
    return Restarts(Backoff(FIRST_S, MOST_S, random.Random(1)))


def test_what_crashes_again_and_again_is_started_ever_more_rarely() -> None:
    one, now, waits = restarts(), 0.0, []
    for _ in range(12):
        wait = one.ended(False, 0.1, now)
        assert wait is not None
        assert not one.due(now + wait * 0.99)
        now += wait
        assert one.due(now)
        assert not one.due(now)  # once
        waits.append(wait)
    assert waits[0] <= FIRST_S
    assert all(MOST_S / 2 <= wait <= MOST_S for wait in waits[6:])
    assert one.failures == 12


def test_what_ran_for_long_is_started_soon() -> None:
    one = restarts()
    for _ in range(8):
        one.ended(False, 0.1, 0.0)
    wait = one.ended(False, STEADY_S, 0.0)
    assert wait is not None
    assert wait <= FIRST_S
    assert one.failures == 1


def test_what_was_right_to_end_is_not_started_again() -> None:
    one = restarts()
    one.ended(False, 0.1, 0.0)
    assert one.ended(True, 0.1, 0.0) is None
    assert not one.due(1e9)
