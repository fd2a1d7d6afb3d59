from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from mesh.placement import rendezvous

members = st.sets(st.text(min_size=1, max_size=8), min_size=1, max_size=8)
keys = st.text(max_size=8)


def test_nobody_owns_a_key_where_there_is_nobody() -> None:
    assert rendezvous("door", []) is None


@given(keys, members)
def test_every_member_computes_the_same_whatever_the_order(key: str, group: set[str]) -> None:
    assert rendezvous(key, sorted(group)) == rendezvous(key, sorted(group, reverse=True))


@given(st.lists(keys, max_size=30), members, st.data())
def test_only_the_keys_of_a_member_that_leaves_move(
    cameras: list[str], group: set[str], data: st.DataObject
) -> None:
    leaver = data.draw(st.sampled_from(sorted(group)))
    for camera in cameras:
        before = rendezvous(camera, group)
        if before != leaver:
            assert rendezvous(camera, group - {leaver}) == before


def test_keys_spread_over_the_members() -> None:
    shares = Counter(rendezvous(f"cam{n}", ["a", "b", "c", "d"]) for n in range(4000))
    assert all(850 < shares[member] < 1150 for member in "abcd")
