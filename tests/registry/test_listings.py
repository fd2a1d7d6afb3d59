"""Listings that are packed once say what the store holds."""

from hypothesis import given
from hypothesis import strategies as st

from mesh.registry.listings import MOST, Listings
from mesh.registry.store import Store
from mesh.registry.wire import Reply, decode_entry, decode_reply, encode_reply

KEYS = st.sampled_from(["nodes/a", "nodes/ab", "nodes/b", "config/cameras/door", "config/site"])
PREFIXES = ["", "nodes/", "nodes/a", "config/", "config/cameras/", "streams/", "con"]
LEASE = 1


@given(st.lists(st.tuples(KEYS, st.sampled_from(["put", "lease", "delete", "end"]), st.booleans())))
def test_a_listing_is_what_the_store_holds(steps: list[tuple[str, str, bool]]) -> None:
    store = Store()
    listings = Listings(store)
    for number, (key, what, asked) in enumerate(steps):
        if what == "end":
            store.revoke(LEASE)
        elif what == "delete":
            store.apply(filter(None, [store.plan_delete(key)]))
        elif what == "put" or not store.is_configuration(key):
            store.grant(LEASE, 5.0, 0.0)
            store.apply([store.plan_put(key, {"n": number}, lease=LEASE * (what == "lease"))])
        for prefix in PREFIXES if asked else ():
            reply = decode_reply(encode_reply(Reply(1, 2, "ok", listings.of(prefix))))
            assert [decode_entry(entry) for entry in reply.body] == store.list(prefix)


def test_a_listing_is_put_together_again_only_when_its_table_changed() -> None:
    store = Store()
    listings = Listings(store)
    store.apply([store.plan_put("nodes/a", {})])
    first = listings.of("nodes/")
    store.apply([store.plan_put("stats/a", {})])
    assert listings.of("nodes/") is first
    store.apply([store.plan_put("nodes/b", {})])
    assert listings.of("nodes/") is not first


def test_what_is_kept_is_bounded() -> None:
    store = Store()
    listings = Listings(store)
    first = listings.of("nodes/0")
    for number in range(1, MOST + 1):
        listings.of(f"nodes/{number}")
    assert listings.of("nodes/0") is not first
