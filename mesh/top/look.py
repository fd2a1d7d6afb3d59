"""One look at the registry: what stands there, what the nodes report, and the ledger of that."""

from collections.abc import Mapping
from dataclasses import dataclass

from mesh.client import Mesh
from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.ledger import Summary
from mesh.registry.records import CameraRecord, GroupRecord, NodeRecord, StatsRecord
from mesh.setups import waiting


@dataclass(frozen=True, slots=True)
class Look:
    """What there was `at` (monotonic) and `at_ns` (wall clock). `waiting`: cameras that are configured and
    that nobody captures, and why."""

    at: float
    at_ns: int
    nodes: tuple[NodeRecord, ...]
    cameras: tuple[CameraRecord, ...]
    waiting: Mapping[str, str]
    groups: tuple[GroupRecord, ...]
    reports: tuple[StatsRecord, ...]
    summary: Summary


def look(mesh: Mesh, clock: Clock = SYSTEM_CLOCK) -> Look:
    """Look now. Raises `RegistryUnavailable`."""
    reports = mesh.reports()
    summary = mesh.stats(reports)
    nodes, cameras = mesh.nodes(), mesh.cameras()
    return Look(
        at=clock.monotonic(),
        at_ns=clock.wall_ns(),
        nodes=tuple(nodes),
        cameras=tuple(cameras),
        waiting=waiting(mesh.setups(), cameras, nodes),
        groups=tuple(mesh.groups()),
        reports=tuple(reports),
        summary=summary,
    )
