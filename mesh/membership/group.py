"""What a member sees of its group, made of the registry's entries. Pure.

Rules kept here: a member counts itself, whatever the registry says, until it drains; all others count while
they are listed and do not drain. Entries that are malformed are passed over. An entry is read once.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from mesh.errors import ConfigError, RegistryError
from mesh.membership.ownership import Key, Listing, key_of, parts_of
from mesh.placement import Item, Member, place, weights
from mesh.registry import Entry
from mesh.registry.records import GroupRecord, NodeRecord, NodeState, Record

R = TypeVar("R", bound=Record)

OUT = (NodeState.DRAINING, NodeState.ENDED)


class Reader(Generic[R]):
    """Reads entries of one kind; what has not changed since the last time is not read again."""

    def __init__(self, kind: type[R]) -> None:
        self._kind = kind
        self._known: dict[str, tuple[Entry, R | None]] = {}

    def read(self, entries: Mapping[str, Entry]) -> list[R]:
        known = self._known
        self._known = {
            key: known[key] if key in known and known[key][0] is entry else (entry, self._of(entry))
            for key, entry in entries.items()
        }
        return [record for _, record in self._known.values() if record is not None]

    def _of(self, entry: Entry) -> R | None:
        try:
            return self._kind.of(entry)
        except RegistryError:
            return None


@dataclass(slots=True)
class Placement:
    """Where everything is placed. It is worked out anew only when the members or the keys are others."""

    _of: tuple[list[Member], list[Key]] = field(default_factory=lambda: ([], []))
    _owners: dict[Key, str | None] = field(default_factory=dict)

    def owners(self, members: list[Member], keys: list[Key]) -> Mapping[Key, str | None]:
        if (members, keys) != self._of:
            placed = place([Item(key, spread=parts_of(key)[0]) for key in keys], members)
            self._of, self._owners = (members, keys), {key: placed.get(key) for key in keys}
        return self._owners


def members_of(group: str, me: NodeRecord, nodes: Iterable[NodeRecord], *, draining: bool) -> list[Member]:
    """Those on whom work may be placed, by name, with their weights."""
    others = [n for n in nodes if n.group == group and n.kind is me.kind and n.id != me.id]
    able = [n for n in others if n.state not in OUT] + ([] if draining else [me])
    shares = weights({n.id: n.capacity for n in able}, {n.id: n.weight for n in able})
    return [Member(n.id, shares[n.id], n.labels) for n in sorted(able, key=lambda n: n.id)]


def living(nodes: Iterable[NodeRecord]) -> dict[str, str]:
    """The group of each node that has not ended, by name."""
    return {node.id: node.group for node in nodes if node.state is not NodeState.ENDED}


def keys_of(partitions: Mapping[str, int]) -> list[Key]:
    """The keys of cameras with so many partitions each, in order."""
    return [key_of(camera, number) for camera in sorted(partitions) for number in range(partitions[camera])]


def listings(records: Iterable[GroupRecord]) -> dict[str, Listing]:
    return {record.node: Listing(record.version, record.holds) for record in records}


def is_unlike(mine: GroupRecord, other: GroupRecord) -> bool:
    """Whether another node makes something else than this one, which members of a group may not."""
    return other.node != mine.node and (other.input, other.stage) != (mine.input, mine.stage)


def check_alike(mine: GroupRecord, unlike: Iterable[GroupRecord], nodes: Iterable[NodeRecord]) -> None:
    """Raises `ConfigError` when one of those who make something else is in the group. Who has only announced
    itself may yet be refused: `nodes` tell."""
    inside = {node.id for node in nodes if node.group == mine.group}
    for other in unlike:
        if other.node in inside:
            raise ConfigError(
                f"group {mine.group!r} makes stage {other.stage!r} of {other.input!r} (node {other.node!r}), "
                f"this node {mine.stage!r} of {mine.input!r}: give it another --group"
            )
