"""What stands in the registry, read at once: the records of a site, and the entries that are none. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from mesh.errors import RegistryError
from mesh.ledger import Summary, summarise
from mesh.ledger.members import Life, life
from mesh.registry import Entry
from mesh.registry.records import (
    CameraRecord,
    GroupRecord,
    NodeRecord,
    NodeState,
    Record,
    StatsRecord,
    StreamRecord,
)
from mesh.registry.setups import PREFIX, CameraSetup

R = TypeVar("R", bound=Record)

KINDS: Mapping[str, type[Record]] = {
    "nodes/": NodeRecord,
    "cameras/": CameraRecord,
    "streams/": StreamRecord,
    "groups/": GroupRecord,
    "stats/": StatsRecord,
    PREFIX: CameraSetup,
}


@dataclass(frozen=True, slots=True)
class Malformed:
    """An entry that is not the record that its key promises. `leased`: it goes with who wrote it."""

    key: str
    why: str
    leased: bool


@dataclass(frozen=True, slots=True)
class Site:
    """Everything that the registry held, as records. `forgot_ns`: as for `mesh.ledger.summarise`."""

    nodes: tuple[NodeRecord, ...] = ()
    cameras: tuple[CameraRecord, ...] = ()
    streams: tuple[StreamRecord, ...] = ()
    stats: tuple[StatsRecord, ...] = ()
    setups: tuple[CameraSetup, ...] = ()
    malformed: tuple[Malformed, ...] = ()
    read_ns: int = 0  # when, by the registry's clock
    forgot_ns: int = 0
    ledger: Summary = field(default_factory=lambda: summarise(()))

    @property
    def live(self) -> tuple[NodeRecord, ...]:
        """The nodes that have not ended."""
        return tuple(node for node in self.nodes if node.state is not NodeState.ENDED)

    @property
    def dead(self) -> tuple[StatsRecord, ...]:
        """The last reports of nodes that went without a word, and do not run again under their names."""
        running = {node.id for node in self.live}
        newest = {report.node: report for report in sorted(self.stats, key=lambda report: report.run)}
        return tuple(
            report
            for name, report in sorted(newest.items())
            if name not in running and life(report, self.nodes) is Life.DIED
        )


def read_site(entries: Iterable[Entry], *, read_ns: int = 0, forgot_ns: int = 0) -> Site:
    """The site that these entries are; those of tables that are not known are passed over."""
    records: list[Record] = []
    malformed: list[Malformed] = []
    for entry in entries:
        kind = next((kind for prefix, kind in KINDS.items() if entry.key.startswith(prefix)), None)
        if kind is None:
            continue
        try:
            records.append(kind.of(entry))
        except RegistryError as error:
            malformed.append(Malformed(entry.key, str(error), entry.lease != 0))
    nodes, stats = _of(NodeRecord, records), _of(StatsRecord, records)
    return Site(
        nodes,
        _of(CameraRecord, records),
        _of(StreamRecord, records),
        stats,
        _of(CameraSetup, records),
        tuple(malformed),
        read_ns,
        forgot_ns,
        summarise(stats, nodes, forgot_ns=forgot_ns),
    )


def _of(kind: type[R], records: Iterable[Record]) -> tuple[R, ...]:
    return tuple(record for record in records if isinstance(record, kind))
