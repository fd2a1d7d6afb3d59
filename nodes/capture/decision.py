"""Which cameras a member of the capture fleet starts and stops now. Pure.

Rules kept here: a camera is captured anew only where something changed that matters to its capture; one that
is here and is to be started anew is stopped first, and started once it has let go; one that has ended stays
with the node that has it for as long as that is there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mesh.registry.records import NodeRecord, NodeState
from mesh.registry.setups import CameraSetup
from mesh.setups import shares

NOTHING: Mapping[str, str] = {}


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
    ended: Mapping[str, str] = NOTHING,
) -> Plan:
    """What this node is to do, given who else is there and what is configured.

    here:   what it captures, by name, as it was started; what has been told to stop and has not yet is here
    ended:  the node that has each camera that ended by itself, as it is configured now
    """
    there = [me, *(node for node in nodes if node.id != me.id)]
    alive = {node.id for node in there if node.state is not NodeState.ENDED}
    stays = {name: node for name, node in ended.items() if node in alive and setups[name].enabled}
    placed = shares(setups.values(), there) | stays
    mine = {name for name, node in placed.items() if node == me.id}
    kept = {name for name in mine & here.keys() if setups[name].capture == here[name].capture}
    return Plan(frozenset(here.keys() - kept), tuple(setups[name] for name in sorted(mine - here.keys())))
