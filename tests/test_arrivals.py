"""Which frames of a partition have come: never one too many, and forgotten oldest first."""

from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.arrivals import STRETCHES_KEPT, Arrivals, Place


def add(arrivals: Arrivals, run: int, place: Place, step: int = 1) -> bool:
    """Whether a place is new."""
    if place > arrivals.newest:
        arrivals.extend(run, place, step)
        return True
    return arrivals.fill(run, place, step)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 40)), max_size=100), st.integers(1, 4))
@settings(max_examples=300, deadline=None)
def test_a_frame_has_come_once_any_publisher_brought_it(path: list[tuple[int, int]], step: int) -> None:
    arrivals, came = Arrivals(), set()
    for run, number in path:
        assert add(arrivals, run, (number * step, 0), step) is (number not in came)
        came.add(number)
    for first, last in ((0, 40), (-1, 10), (20, 21)):
        between = sum(first < number < last for number in came)
        assert arrivals.between(first * step, last * step, step) == between


def test_the_parts_of_a_frame_are_told_apart_though_two_publishers_bring_them_in_turn() -> None:
    arrivals = Arrivals()
    places = [(1, (60, 0)), (2, (61, 0)), (1, (60, 1)), (2, (61, 1)), (1, (60, 1024))]
    assert all(add(arrivals, run, place) for run, place in places)
    assert not any(add(arrivals, 3 - run, place) for run, place in places)


def test_what_is_forgotten_counts_as_new() -> None:
    arrivals = Arrivals()
    for seq in range(0, 2 * STRETCHES_KEPT + 2, 2):
        assert add(arrivals, 1, (seq, 0))
    assert not add(arrivals, 2, (2, 0))
    assert add(arrivals, 2, (0, 0))
    assert add(arrivals, 2, (0, 0)), "what is older than all that is kept is not kept"
    assert not add(arrivals, 2, (2, 0))
