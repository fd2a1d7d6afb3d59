"""The reorder buffer: nothing lost, nothing twice, in order unless the deadline passed, within its bounds."""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from mesh.recordings.resume import Resume
from nodes.collect.reorder import RUNS_KEPT, Bounds, Released, Reorder

PATIENT = Bounds(seconds=1e9, items=10_000, bytes=10**9)


def places(released: Iterable[Released[int]], *, late: bool | None = None) -> list[int]:
    return [each.item for each in released if late is None or each.late is late]


def offered(buffer: Reorder[int], *seqs: int, now: float = 0.0, run: int = 1) -> list[int]:
    """Offer results whose `n` is their `seq`, and release what may go."""
    for seq in seqs:
        buffer.offer(seq, (seq, 0), run, seq, 100, now)
    return places(buffer.release(now))


@given(st.permutations(range(40)))
def test_any_order_of_arrival_becomes_the_order_of_seq(order: list[int]) -> None:
    buffer: Reorder[int] = Reorder(PATIENT)
    released = [each for n in order for each in offered(buffer, n)]
    assert released == list(range(40))
    assert (buffer.items, buffer.bytes, buffer.due) == (0, 0, None)


@st.composite
def arrivals(draw: st.DrawFn) -> list[tuple[int, int, int, float]]:
    """(seq, run, n, seconds since the one before): results of two runs, in any order, some lost."""
    first = draw(st.integers(1, 30))
    results = [(seq, 1, seq) for seq in range(first)]
    results += [(seq, 2, seq - first) for seq in range(first, first + draw(st.integers(0, 30)))]
    kept = draw(st.permutations([each for each in results if draw(st.integers(0, 9))]))
    return [(*each, draw(st.sampled_from([0.0, 0.1, 1.5]))) for each in kept]


@given(arrivals(), st.integers(1, 20), st.integers(100, 2000))
def test_nothing_is_lost_or_doubled_and_the_bounds_hold(
    results: list[tuple[int, int, int, float]], items: int, size: int
) -> None:
    bounds = Bounds(2.0, items, size)
    buffer: Reorder[int] = Reorder(bounds)
    released: list[Released[int]] = []
    came: dict[int, float] = {}
    now = 0.0
    for seq, run, n, pause in results:
        now += pause
        came[seq] = now
        buffer.offer(seq, (seq, 0), run, n, 100, now)
        released += buffer.release(now)
        assert buffer.items <= items
        assert buffer.bytes <= size
        gone = set(places(released))
        assert all(now - at < bounds.seconds for each, at in came.items() if each not in gone)
    released += buffer.release_all()
    assert sorted(places(released)) == sorted(came)
    in_order = places(released, late=False)
    assert in_order == sorted(in_order)
    newest = -1
    for each in released:
        assert each.late is (each.item < newest)
        newest = max(newest, each.item)


@given(st.permutations(range(12)), st.sets(st.integers(0, 11)))
def test_what_was_refused_comes_again_and_keeps_its_place(order: list[int], refused: set[int]) -> None:
    buffer: Reorder[int] = Reorder(PATIENT)
    kept: list[int] = []
    coming = [(n, n in refused) for n in order]
    while coming:
        n, _ = coming.pop(0)
        buffer.offer(n, (n, 0), 1, n, 100, 0.0)
        for each in buffer.release(0.0):
            if each.item in refused:
                refused.discard(each.item)
                buffer.refused(each)
                coming.append((each.item, False))
            else:
                assert not each.late
                kept.append(each.item)
    assert kept == list(range(12))


def test_a_hole_is_waited_for_until_the_deadline_and_what_fills_it_then_is_late() -> None:
    buffer: Reorder[int] = Reorder()
    assert offered(buffer, 0, 2, 3, now=10.0) == [0]
    assert (buffer.items, buffer.due) == (2, 12.0)
    assert places(buffer.release(11.9)) == []
    assert places(buffer.release(12.0)) == [2, 3]
    buffer.offer(1, (1, 0), 1, 1, 100, 12.5)
    assert [(each.item, each.late) for each in buffer.release(12.5)] == [(1, True)]
    assert offered(buffer, 4, now=13.0) == [4]


def test_a_run_that_is_not_known_is_waited_for_from_its_beginning_once() -> None:
    buffer: Reorder[int] = Reorder()
    assert offered(buffer, 100, 101) == []
    assert offered(buffer, 99, now=1.0) == []
    assert places(buffer.release(2.0)) == [99, 100, 101]
    assert offered(buffer, 102, now=2.1) == [102]


def test_what_comes_in_order_goes_straight_through_and_leaves_what_offering_would() -> None:
    straight: Reorder[int] = Reorder()
    offering: Reorder[int] = Reorder()
    out: list[tuple[list[int], list[int]]] = []
    for n in [0, 1, 2, 4, 3, 3, 5, 9, 6, 7, 8, 10, 2]:
        released = straight.straight(n, (n, 0), 1, n)
        if released is None:
            straight.offer(n, (n, 0), 1, n, 100, 0.0)
        passed = [] if released is None else [released.item]
        out.append((passed + places(straight.release(0.0)), offered(offering, n)))
    assert all(ours == theirs for ours, theirs in out)
    assert straight.expected() == offering.expected() == {1: 11}
    assert straight.items == 0


def test_a_run_that_is_known_goes_on_where_it_was() -> None:
    buffer: Reorder[int] = Reorder(resume=Resume(((1, 100),)))
    assert offered(buffer, 101) == []
    assert offered(buffer, 100) == [100, 101]
    assert buffer.expected() == {1: 102}


def test_what_was_recorded_before_leaves_no_hole() -> None:
    buffer: Reorder[int] = Reorder()
    buffer.skip(1, 0, (0, 0), 0.0)
    assert offered(buffer, 2) == []
    buffer.skip(1, 1, (1, 0), 0.0)
    assert places(buffer.release(0.0)) == [2]


def test_an_end_waits_for_every_result_before_it() -> None:
    buffer: Reorder[int] = Reorder()
    buffer.offer_end(-1, 3, 1, 3, 0.0)
    assert offered(buffer, 1, 2) == []
    assert offered(buffer, 0) == [0, 1, 2, -1]


def test_several_frames_made_of_one_keep_their_order() -> None:
    buffer: Reorder[int] = Reorder()
    for n in (2, 1, 0):
        buffer.offer(n, (5, n), 1, n, 100, 0.0)
    assert places(buffer.release(0.0)) == [0, 1, 2]


def test_runs_and_holes_are_remembered_within_bounds() -> None:
    buffer: Reorder[int] = Reorder()
    for run in range(100):
        buffer.skip(run, 10**6 + run, (run, 0), 0.0)
    assert len(buffer.expected()) == RUNS_KEPT
    for n in range(1, 6_000):
        buffer.skip(99, 2 * n, (n, 0), 0.0)
    assert len(buffer._runs[99].beyond) <= 4096
