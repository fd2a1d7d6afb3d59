"""Asking nodes and cameras by their names: who answers for a name, and what is kept of what was asked.

Rules kept here: a name that could be a node's and a camera's is refused, never guessed; whoever is not there
is told of in a line that says why, or names what there is; a configured camera that is paused stays so, on
whatever node it is then, and one that is not captured now can be paused all the same.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mesh.control import Answer, ControlRefused, fetch
from mesh.errors import ConfigError, Conflict, MeshError
from mesh.place import this_place
from mesh.registry import Registry
from mesh.registry.records import (
    CameraRecord,
    CameraState,
    NodeRecord,
    NodeState,
    StatsRecord,
    listed,
)
from mesh.registry.setups import PREFIX, CameraSetup
from mesh.setups import change, find, read, setups, waiting

ANSWER_WITHIN_S = 5.0
SNAPSHOT_WITHIN_S = 15.0  # a camera that is paused is opened for it
NODE, CAMERA = "node", "camera"
KEPT = {"pause": True, "resume": False}  # what the configuration says of a camera afterwards
OF_NODES = ("drain", "stop")
OVER = (CameraState.ENDED, CameraState.FAILED)
TRIES = 3  # to write a configuration that others write, too


@dataclass(frozen=True, slots=True)
class Target:
    """What a name stands for: a node, or a `camera` and the `node` that has it.

    why:  why no node has it, where that is so
    """

    name: str
    camera: bool
    node: NodeRecord | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """What became of an order. `node` is who answered; empty where nobody had to be asked.

    kept:  whether it stands in the camera's configuration now, so that it outlives the node
    """

    target: Target
    node: str
    answer: Answer
    kept: bool = False


def resolve(registry: Registry, name: str) -> Target:
    """What `name` stands for: a node's id, a camera's name, or either with `node:` or `camera:` before it.

    Raises `MeshError` that says what became of it, or names what there is, and `ConfigError` for a name that
    is both.
    """
    kind, colon, bare = name.partition(":")
    if colon and kind not in (NODE, CAMERA):
        raise ConfigError(f"{name!r} is no name: use NAME, node:NAME or camera:NAME")
    if colon and kind == NODE:
        return Target(bare, False, running_node(registry, bare))
    nodes = {node.id: node for node in listed(registry, NodeRecord, "nodes/")}
    cameras = {camera.name: camera for camera in listed(registry, CameraRecord, "cameras/")}
    wanted = bare if colon else name
    known = wanted in cameras or registry.get(f"{PREFIX}{wanted}") is not None
    lives = wanted in nodes and nodes[wanted].state is not NodeState.ENDED
    if known and lives and not colon:
        raise ConfigError(f"{name!r} is a node and a camera: say node:{name} or camera:{name}")
    if known:
        return _camera(registry, wanted, nodes, cameras)
    if colon:
        raise MeshError(f"no camera named {wanted!r}: {_named(_cameras_known(registry, cameras))}")
    return Target(name, False, running_node(registry, name, _cameras_known(registry, cameras)))


def order(
    registry: Registry,
    name: str,
    operation: str,
    arguments: Mapping[str, Any] | None = None,
    *,
    timeout: float | None = None,
) -> Done:
    """Have the node or camera of that name do something.

    Raises `ConfigError`, `ControlRefused` when it refuses, and `TransportError` when there is no answer
    within `timeout` seconds (by itself 5, and 15 for a snapshot).
    """
    target = resolve(registry, name)
    if target.camera and operation in OF_NODES:
        raise ConfigError(
            f"camera {target.name!r} cannot {operation}: `mesh ctl {target.name} pause` leaves it alone, and "
            f"`mesh camera disable {target.name}` has nobody capture it"
        )
    if timeout is None:
        timeout = SNAPSHOT_WITHIN_S if operation == "snapshot" else ANSWER_WITHIN_S
    if target.node is None:
        return _order_later(registry, target, operation)
    given = {**(arguments or {}), **({CAMERA: target.name} if target.camera else {})}
    answer = fetch(target.node, operation, given, here=this_place(), timeout=timeout)
    kept = target.camera and operation in KEPT and _keep_too(registry, target.name, operation)
    return Done(target, target.node.id, answer, kept)


def setup_of(registry: Registry, target: Target) -> CameraSetup | None:
    """How a camera is configured; None for one that is not, or whose entry is malformed, and for a node."""
    entry = registry.get(f"{PREFIX}{target.name}") if target.camera else None
    return read(entry) if entry is not None else None


def running_node(registry: Registry, name: str, cameras: Iterable[str] | None = None) -> NodeRecord:
    """The record of a node that has not ended. Raises `MeshError` that says what became of it, or names those
    there are, and the `cameras` that the name could have meant, too."""
    nodes = {node.id: node for node in listed(registry, NodeRecord, "nodes/")}
    if name in nodes and nodes[name].state is not NodeState.ENDED:
        return nodes[name]
    if name in nodes:
        raise MeshError(f"node {name!r} has ended")
    if any(stats.node == name for stats in listed(registry, StatsRecord, f"stats/{name}/")):
        raise MeshError(f"node {name!r} is not heard of any more: it was killed, hangs, or lost the registry")
    there = [node.id for node in nodes.values() if node.state is not NodeState.ENDED]
    if cameras is None:
        raise MeshError(f"no node named {name!r}: {_named(there)}")
    also = ", ".join(sorted(cameras)) or "none"
    raise MeshError(f"no node or camera named {name!r}: {_named(there)}; cameras: {also}")


def _camera(
    registry: Registry, name: str, nodes: Mapping[str, NodeRecord], cameras: Mapping[str, CameraRecord]
) -> Target:
    """A camera that is captured, was, or is configured."""
    record = cameras.get(name)
    node = nodes.get(record.node) if record is not None else None
    if node is not None and node.state is not NodeState.ENDED:
        return Target(name, True, node)
    if record is not None and record.state in OVER:
        return Target(name, True, None, f"it has {record.state}" + (f": {record.why}" if record.why else ""))
    if record is not None:
        return Target(name, True, None, f"node {record.node!r}, which had it, is gone")
    why = waiting(setups(registry), cameras.values(), nodes.values())
    return Target(name, True, None, why.get(name, "its configuration is malformed"))


def _order_later(registry: Registry, target: Target, operation: str) -> Done:
    """What can be asked of a camera that nobody captures: to be paused, or not, once somebody does."""
    if operation in KEPT and _keep(registry, target.name, operation):
        return Done(target, "", Answer({CAMERA: target.name, "why": target.why}), True)
    raise ControlRefused(f"nobody captures camera {target.name!r}: {target.why}")


def _keep_too(registry: Registry, name: str, operation: str) -> bool:
    """Write down what a node has just done. Raises `MeshError` that says that it has."""
    try:
        return _keep(registry, name, operation)
    except MeshError as error:
        raise MeshError(
            f"camera {name!r} is {operation}d on the node that has it, but that was not written down, and "
            f"does not hold elsewhere: {error}"
        ) from error


def _keep(registry: Registry, name: str, operation: str) -> bool:
    """Write down whether a camera is paused; False when it is not configured. Raises `MeshError`."""
    paused = KEPT[operation]
    for left in reversed(range(TRIES)):
        if registry.get(f"{PREFIX}{name}") is None:
            return False
        setup, revision = find(registry, name)
        if setup.paused == paused:
            return True
        try:
            change(registry, setup.model_copy(update={"paused": paused}), revision)
            return True
        except Conflict:  # somebody else wrote meanwhile: look again
            if not left:
                raise
    return False


def _cameras_known(registry: Registry, cameras: Mapping[str, CameraRecord]) -> list[str]:
    return sorted({*cameras, *(setup.name for setup in setups(registry))})


def _named(names: Iterable[str]) -> str:
    found = ", ".join(sorted(names))
    return f"there are {found}" if found else "there is none"
