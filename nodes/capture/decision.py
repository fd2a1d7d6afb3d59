"""Which cameras a member of the capture fleet starts and stops now. Pure.

Rules kept here: a camera is captured anew only where something changed that matters to its capture; one that
is here and is to be started anew is stopped first, and started once it has let go.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mesh.registry.records import NodeRecord
from mesh.registry.setups import CameraSetup
from mesh.setups import shares


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do: cameras to stop, by name, and cameras to start."""

    stop: frozenset[str]
    start: tuple[CameraSetup, ...]


def decide(
    me: NodeRecord,
    nodes: Iterable[NodeRecord],
    setups: Mapping[str, CameraSetup],
    here: Mapping[str, CameraSetup],
) -> Plan:
    """What this node is to do, given who else is there and what is configured.

    here:  what it captures, by name, as it was started; what has been told to stop and has not yet is here
    """
    others = (node for node in nodes if node.id != me.id)
    mine = {name for name, node in shares(setups.values(), (me, *others)).items() if node == me.id}
    kept = {name for name in mine & here.keys() if setups[name].capture == here[name].capture}
    return Plan(frozenset(here.keys() - kept), tuple(setups[name] for name in sorted(mine - here.keys())))
