"""Placement: every member comes to the same answer, little moves, and nobody gets more than the bound."""

import math
import random
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.placement import SLACK, Item, Member, place
from mesh.placement.draws import draws, whole_weight

MEMBERS = st.lists(
    st.builds(
        Member,
        st.from_regex(r"[a-z][a-z0-9]{0,5}", fullmatch=True),
        st.sampled_from([1 / 16, 0.25, 0.5, 1.0, 1.0, 1.0, 1.4, 2.0, 16.0]),
        st.sampled_from([{}, {"site": "gate"}, {"site": "yard"}]),
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda member: member.id,
)


@st.composite
def fleets(draw: st.DrawFn) -> tuple[list[Item], list[Member]]:
    members = draw(MEMBERS)
    items = []
    for n in range(draw(st.integers(0, 40))):
        node = draw(st.sampled_from(["", "", "", "", members[0].id, "nobody"]))
        label = draw(st.sampled_from(["", "", "", "site=gate", "site=cellar"]))
        parts = draw(st.sampled_from([1, 1, 1, 4]))
        items += [Item(f"cam{n}/{p}", node, label, f"cam{n}") for p in range(parts)]
    return items, members


PINNED = [[13964536783872, 9005285421056], [2855425537024, 21877655984128]]


def alike(count: int) -> list[Member]:
    return [Member(f"node{n}") for n in range(count)]


def cameras(count: int) -> list[Item]:
    return [Item(f"cam{n}/0", spread=f"cam{n}") for n in range(count)]


def bound(items: int, weight: float, members: list[Member]) -> int:
    share = Fraction(items * whole_weight(weight), sum(whole_weight(m.weight) for m in members))
    return max(math.ceil(share), int((1 + SLACK) * float(share)))


def test_draws_are_these_on_every_machine() -> None:
    """Nodes of different machines have to agree: a change of these numbers is a change of the wire."""
    found = draws(["door/0", "gate/0"], ["a", "b"], [whole_weight(1.0), whole_weight(0.5)])
    assert found.tolist() == PINNED


@given(fleets(), st.randoms(use_true_random=False))
def test_the_order_of_what_is_given_does_not_matter(
    fleet: tuple[list[Item], list[Member]], rng: random.Random
) -> None:
    items, members = fleet
    found = place(items, members)
    assert place(rng.sample(items, len(items)), rng.sample(members, len(members))) == found


@given(fleets())
def test_what_somebody_may_have_is_placed_and_with_nobody_else(
    fleet: tuple[list[Item], list[Member]],
) -> None:
    items, members = fleet
    found = place(items, members)
    for item in items:
        if item.node:
            may = {m.id for m in members if m.id == item.node}
        else:
            name, _, value = item.label.partition("=")
            may = {m.id for m in members if not item.label or m.labels.get(name) == value}
        assert (found.get(item.key) in may) if may else item.key not in found


@given(st.integers(0, 200), MEMBERS)
def test_nobody_has_more_than_the_bound(count: int, members: list[Member]) -> None:
    loads = Counter(place(cameras(count), members).values())
    assert loads.total() == count
    for member in members:
        assert loads[member.id] <= bound(count, member.weight, members)


@given(st.integers(1, 150), st.integers(1, 8))
def test_who_leaves_moves_little_but_its_own(count: int, others: int) -> None:
    members = alike(others + 1)
    before, after = place(cameras(count), members), place(cameras(count), members[1:])
    own = sum(member == members[0].id for member in before.values())
    moved = sum(before[key] != after[key] for key in before)
    assert own <= moved <= own + max(4, count // 5)


@given(st.integers(1, 150), st.integers(1, 8))
def test_who_joins_moves_little_but_what_it_gets(count: int, others: int) -> None:
    members = alike(others + 1)
    before, after = place(cameras(count), members[1:]), place(cameras(count), members)
    got = sum(member == members[0].id for member in after.values())
    moved = sum(before[key] != after[key] for key in before)
    assert got <= moved <= got + max(4, count // 5)


@pytest.mark.parametrize(("count", "members"), [(360, 3), (1000, 10), (5000, 50)])
def test_over_many_items_next_to_nothing_else_moves(count: int, members: int) -> None:
    before = place(cameras(count), alike(members))
    after = place(cameras(count), alike(members + 1))
    got = sum(member == f"node{members}" for member in after.values())
    moved = sum(before[key] != after[key] for key in before)
    assert moved <= 1.25 * got


def test_an_item_more_moves_next_to_nothing() -> None:
    before = place(cameras(200), alike(7))
    for count in range(201, 230):
        after = place(cameras(count), alike(7))
        assert sum(before[key] != after[key] for key in before) <= 8
        before = after


def test_weights_are_kept() -> None:
    members = [Member("slow", 0.25), Member("plain", 1.0), Member("fast", 2.0)]
    loads = Counter(place(cameras(2600), members).values())
    for member in members:
        share = 2600 * member.weight / 3.25
        assert 0.85 * share <= loads[member.id] <= 1.1 * share + 1


def test_a_little_more_weight_moves_a_little() -> None:
    def with_weight(weight: float) -> dict[str, str]:
        return place(cameras(1000), [*alike(4), Member("other", weight)])

    before, after = with_weight(1.0), with_weight(1.1)
    won = sum(after[key] == "other" != before[key] for key in before)
    moved = sum(before[key] != after[key] for key in before)
    assert won > 0
    assert moved <= won + 10


def test_the_partitions_of_a_camera_are_spread() -> None:
    heavy = [Item(f"heavy/{p}", spread="heavy") for p in range(4)]
    for others in (0, 1, 30, 100):
        found = place([*heavy, *cameras(others)], alike(2))
        assert Counter(found[item.key] for item in heavy) == {"node0": 2, "node1": 2}


def test_pins_are_kept_whatever_the_bound_and_count_as_load() -> None:
    pinned = [Item(f"usb{n}/0", node="node0") for n in range(12)]
    found = place([*pinned, *cameras(12)], alike(3))
    assert {found[item.key] for item in pinned} == {"node0"}
    assert Counter(found.values()) == {"node0": 12, "node1": 6, "node2": 6}


def test_a_label_with_few_members_is_placed_beyond_their_share() -> None:
    members = [Member("gate", labels={"site": "gate"}), *alike(3)]
    near = [Item(f"near{n}/0", label="site=gate") for n in range(9)]
    found = place([*near, *cameras(3)], members)
    assert {found[item.key] for item in near} == {"gate"}
    assert "gate" not in {found[item.key] for item in cameras(3)}


def test_nothing_and_nobody() -> None:
    assert place([], alike(2)) == {}
    assert place(cameras(3), []) == {}
