"""What a member makes of the registry's entries."""

from typing import Any

import pytest

from mesh.errors import ConfigError
from mesh.membership.group import Placement, Reader, check_alike, is_unlike, keys_of, listings, members_of
from mesh.placement import Member
from mesh.registry import Entry
from mesh.registry.records import GroupRecord, NodeKind, NodeRecord, NodeState


def node(name: str, group: str = "g", kind: NodeKind = NodeKind.PROCESS, **more: Any) -> NodeRecord:
    return NodeRecord(id=name, kind=kind, group=group, host="h", pid=1, **more)


def record(name: str, **more: Any) -> GroupRecord:
    return GroupRecord.model_validate({"group": "g", "node": name, "input": "raw", "stage": "motion"} | more)


def test_work_is_placed_on_members_that_live_and_do_not_drain() -> None:
    me = node("me", state=NodeState.DEGRADED)
    others = [
        node("works"),
        node("drains", state=NodeState.DRAINING),
        node("ended", state=NodeState.ENDED),
        node("elsewhere", group="h"),
        node("captures", kind=NodeKind.CAPTURE),
    ]
    assert [m.id for m in members_of("g", me, others, draining=False)] == ["me", "works"]
    assert [m.id for m in members_of("g", me, [*others, me], draining=True)] == ["works"]


def test_a_weight_follows_what_was_measured_unless_it_is_given() -> None:
    found = members_of("g", node("a", capacity=10.0), [node("b", capacity=40.0)], draining=False)
    assert found[1].weight == pytest.approx(4 * found[0].weight)
    given = members_of("g", node("a", capacity=10.0, weight=1.0), [node("b", weight=1.0)], draining=False)
    assert given[0].weight == given[1].weight


def test_entries_are_read_once_and_those_that_are_malformed_passed_over() -> None:
    reader = Reader(GroupRecord)
    whole, broken = Entry("groups/g/a", record("a").value(), 1), Entry("groups/g/b", {"node": 3}, 2)
    (first,) = reader.read({whole.key: whole, broken.key: broken})
    (again,) = reader.read({whole.key: whole})
    assert again is first
    assert first == record("a")
    assert reader.read({}) == []


def test_what_a_member_holds_survives_the_registry() -> None:
    kept = GroupRecord.of(
        Entry("k/a", record("a", version=7, holds={"door/0": (1, 2, 3), "hall/1": ()}).value(), 1)
    )
    listing = listings([kept])["a"]
    assert (listing.version, dict(listing.holds)) == (7, {"door/0": (1, 2, 3), "hall/1": ()})


def test_everything_is_placed_and_worked_out_anew_only_when_something_is_new() -> None:
    placement, keys = Placement(), keys_of({"hall": 1, "door": 2})
    assert keys == ["door/0", "door/1", "hall/0"]
    first = placement.owners([Member("a"), Member("b")], keys)
    assert set(first) == set(keys)
    assert placement.owners([Member("a"), Member("b")], list(keys)) is first
    assert set(placement.owners([Member("a")], keys).values()) == {"a"}
    assert set(placement.owners([], keys).values()) == {None}


def test_members_of_a_group_make_the_same_of_the_same() -> None:
    assert not is_unlike(record("b"), record("a"))
    assert not is_unlike(record("b"), record("b", stage="codes")), "an earlier process of that name"
    for other in (record("a", stage="codes"), record("a", input="motion")):
        assert is_unlike(record("b"), other)
        with pytest.raises(ConfigError, match=r"group 'g' makes stage .* give it another --group"):
            check_alike(record("b"), [other], [node("a")])


def test_who_has_only_announced_itself_refuses_nobody() -> None:
    check_alike(record("b"), [record("a", stage="codes")], [node("a", group=""), node("c")])
