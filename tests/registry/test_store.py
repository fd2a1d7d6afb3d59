"""The store by itself: planning changes nothing, leases end by the time that is passed in."""

import pytest

from mesh.errors import LeaseExpired, RegistryError
from mesh.registry import Delete, Put
from mesh.registry.store import MAX_LEASES, Lease, Store


def put(store: Store, key: str, lease: int = 0) -> Put:
    change = store.plan_put(key, {}, lease=lease)
    store.apply((change,))
    return change


def test_planning_changes_nothing() -> None:
    store = Store(revision=7)
    change = store.plan_put("nodes/a", {"n": 1})
    assert change.entry.revision == 8
    assert (store.revision, store.list()) == (7, [])
    store.apply((change,))
    assert (store.revision, store.list()) == (8, [change.entry])
    assert store.plan_delete("nodes/a") == Delete("nodes/a", 9)
    assert store.get("nodes/a") == change.entry


def test_a_lease_ends_at_its_deadline_and_not_before() -> None:
    store = Store()
    store.grant(1, ttl=5, now=100.0)
    put(store, "nodes/a", lease=1)
    assert store.next_deadline() == 105.0
    assert store.expire(104.999) == ()
    assert store.renew(1, 104.0).deadline == 109.0
    assert store.expire(108.0) == ()
    assert store.expire(109.0) == (Delete("nodes/a", 2),)
    assert store.expire(200.0) == ()
    assert store.next_deadline() is None
    with pytest.raises(LeaseExpired):
        store.renew(1, 200.0)


def test_a_lease_that_is_being_renewed_is_not_ended() -> None:
    store = Store()
    for lease in (1, 2):
        store.grant(lease, ttl=5, now=100.0)
        put(store, f"nodes/{lease}", lease)
    assert store.expire(106.0, spare=(1,)) == (Delete("nodes/2", 3),)
    assert store.renew(1, 106.0).deadline == 111.0
    assert store.expire(110.9) == ()
    assert store.expire(111.0) == (Delete("nodes/1", 4),)


def test_time_in_which_the_keeper_was_held_up_is_no_leases_time() -> None:
    store = Store()
    store.grant(1, ttl=5, now=100.0)
    store.grant(2, ttl=5, now=103.0)
    store.forgive(20.0, now=124.0)
    assert {lease.id: lease.deadline for lease in store.leases} == {1: 125.0, 2: 128.0}
    store.forgive(20.0, now=124.0)  # never more than a whole lease
    assert {lease.deadline for lease in store.leases} == {129.0}
    store.forgive(1.0, now=100.0)  # and never less than it had
    assert {lease.deadline for lease in store.leases} == {129.0}
    assert not any(lease.over(124.0) for lease in store.leases)


def test_a_lease_that_was_loaded_from_before_a_reboot_ends_at_the_first_look() -> None:
    entries = (put(Store(leases=(Lease(1, 5, 1005.0),)), "nodes/a", lease=1).entry,)
    store = Store(revision=1, entries=entries, leases=(Lease(1, 5, 1005.0),))
    assert store.expire(3.0) == (Delete("nodes/a", 2),)


def test_a_lease_from_before_a_reboot_is_over() -> None:
    """The monotonic clock begins anew with the machine, so an old deadline lies too far ahead."""
    assert not Lease(1, ttl=5, deadline=1005.0).over(1000.0)
    assert Lease(1, ttl=5, deadline=1005.0).over(3.0)


def test_entries_of_ended_leases_go_in_the_order_in_which_they_were_written() -> None:
    store = Store()
    store.grant(1, 5, 0.0)
    store.grant(2, 5, 0.0)
    for key, lease in (("z/z", 1), ("a/a", 2), ("m/m", 1)):
        put(store, key, lease)
    assert [change.key for change in store.expire(5.0)] == ["z/z", "a/a", "m/m"]
    assert store.revision == 6


def test_a_value_is_not_shared_with_the_writer() -> None:
    store, value = Store(), {"list": [1]}
    store.apply((store.plan_put("nodes/a", value),))
    value["list"].append(2)
    entry = store.get("nodes/a")
    assert entry is not None
    assert entry.value == {"list": [1]}


def test_leases_are_bounded() -> None:
    store = Store(leases=(Lease(n, 5, 5.0) for n in range(1, MAX_LEASES + 1)))
    with pytest.raises(RegistryError, match="full"):
        store.grant(MAX_LEASES + 1, 5, 0.0)


def test_nesting_is_bounded() -> None:
    value: dict[str, object] = {}
    for _ in range(100):
        value = {"deeper": value}
    with pytest.raises(RegistryError, match="nested deeper"):
        Store().plan_put("nodes/a", value)
