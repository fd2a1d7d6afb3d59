"""Listings, packed once for all who ask.

When many clients start together, or come back to a server that started anew, each of them asks for the same
entries. Packing those for each anew was most of what the server did then, and held up their leases.

Rules kept here: an entry is packed once for each of its revisions, a listing put together once for each of
its table's; what is kept are the listings that were last asked for, `MOST` at most.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from mesh.registry.base import Entry
from mesh.registry.store import Store
from mesh.registry.wire import Packed, pack_array, pack_entry

MOST = 64  # prefixes


@dataclass(frozen=True, slots=True)
class _Listing:
    """A listing as it stood: `changed` is its table's revision, `entries` have theirs and are by key."""

    changed: int = -1
    entries: Mapping[str, tuple[int, bytes]] = field(default_factory=dict)
    whole: Packed = field(default_factory=Packed)


class Listings:
    """The listings of a store. Not thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: OrderedDict[str, _Listing] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Listings {list(self._kept)}>"

    def of(self, prefix: str) -> Packed:
        """The entries under a prefix, ordered by key, as an array."""
        kept, changed = self._kept.get(prefix, _Listing()), self._store.changed(prefix)
        if kept.changed != changed:
            kept = _listing(changed, self._store.list(prefix), kept.entries)
            self._kept[prefix] = kept
        self._kept.move_to_end(prefix)
        if len(self._kept) > MOST:
            self._kept.popitem(last=False)
        return kept.whole


def _listing(changed: int, entries: list[Entry], known: Mapping[str, tuple[int, bytes]]) -> _Listing:
    packed = {}
    for entry in entries:
        before = known.get(entry.key)
        same = before is not None and before[0] == entry.revision
        packed[entry.key] = before if before and same else (entry.revision, pack_entry(entry))
    return _Listing(changed, packed, pack_array([data for _, data in packed.values()]))
