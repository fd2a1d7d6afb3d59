"""Which collectors there are to deliver to: those that live, as a registry lists them. Pure."""

from collections.abc import Iterable

from mesh.delivery import Collector
from mesh.errors import RegistryError
from mesh.place import this_place
from mesh.registry import Entry
from mesh.registry.records import NodeKind, NodeRecord, NodeState

SOCKETS = {"pull", "pub"}


def collectors_of(entries: Iterable[Entry]) -> list[Collector]:
    """Malformed entries are passed over."""
    collectors = []
    for entry in entries:
        try:
            record = NodeRecord.of(entry)
        except RegistryError:
            continue
        lives = record.kind is NodeKind.COLLECT and record.state is not NodeState.ENDED
        if lives and record.endpoints.keys() >= SOCKETS:
            pull, pub = (record.reach(role, this_place()) for role in ("pull", "pub"))
            collectors.append(Collector(record.id, pull, pub))
    return collectors
