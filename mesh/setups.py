"""Cameras as configuration: writing it, who is to capture what, and what nobody captures.

Rules kept here: every write is conditional on what was read before, so that two people do not overwrite each
other; whose camera it is, every member of the capture fleet computes alike from the same records.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mesh.errors import ConfigError, Conflict, RegistryError
from mesh.names import check_name
from mesh.placement import Item, Member, place
from mesh.registry import Entry, Registry
from mesh.registry.records import CameraRecord, NodeKind, NodeRecord, NodeState
from mesh.registry.setups import PREFIX, CameraSetup

FLEET = "capture"  # the group of the capture nodes that were not told their cameras
NOT_MEMBERS = (NodeState.DRAINING, NodeState.ENDED)


class NoSetup(ConfigError):
    """No camera of that name is configured."""


def setups(registry: Registry) -> list[CameraSetup]:
    """Every configured camera, by name; malformed entries are passed over. `RegistryUnavailable`."""
    return [setup for setup in map(read, registry.list(PREFIX)) if setup is not None]


def read(entry: Entry) -> CameraSetup | None:
    """The setup that an entry holds; None when it holds something else."""
    try:
        return CameraSetup.of(entry)
    except RegistryError:
        return None


def find(registry: Registry, name: str) -> tuple[CameraSetup, int]:
    """A configured camera, and the revision that a change of it expects. Raises `NoSetup`, and
    `RegistryError` for an entry that is malformed."""
    entry = registry.get(f"{PREFIX}{check_name('camera', name)}")
    if entry is None:
        known = ", ".join(setup.name for setup in setups(registry)) or "none"
        raise NoSetup(f"no camera {name!r} is configured; configured are: {known}")
    return CameraSetup.of(entry), entry.revision


def add(registry: Registry, setup: CameraSetup) -> None:
    """Configure a new camera. Raises `ConfigError` when there is one of that name."""
    try:
        registry.put(setup.key, setup.value(), expect=0)
    except Conflict as error:
        raise ConfigError(
            f"a camera {setup.name!r} is configured already: change it with `mesh camera set {setup.name} …`"
        ) from error


def change(registry: Registry, setup: CameraSetup, revision: int) -> None:
    """Write a setup over the one that was read at `revision`. Raises `Conflict`."""
    with _told(setup.name):
        registry.put(setup.key, setup.value(), expect=revision)


def remove(registry: Registry, name: str, revision: int) -> None:
    """Forget a camera as it was read at `revision`. Raises `Conflict`."""
    with _told(name):
        registry.delete(f"{PREFIX}{name}", expect=revision)


def put(registry: Registry, setup: CameraSetup, *, dry_run: bool = False) -> str:
    """Have a camera configured just so; "added", "changed" or "same". Raises `Conflict`.

    Whether it is paused stays as it is: that is no configuration's to say.
    """
    entry = registry.get(setup.key)
    stands = read(entry) if entry is not None else None
    setup = setup.model_copy(update={"paused": stands is not None and stands.paused})
    if stands == setup:
        return "same"
    if not dry_run:
        change(registry, setup, entry.revision if entry is not None else 0)
    return "added" if entry is None else "changed"


def changed(setup: CameraSetup, values: Mapping[str, Any]) -> CameraSetup:
    """A setup with other values; None for one that is to be as usual. Raises `ConfigError`."""
    kept = {name: value for name, value in setup.value().items() if name not in values}
    return CameraSetup.made(
        setup.name, kept | {name: value for name, value in values.items() if value is not None}
    )


def shares(setups: Iterable[CameraSetup], nodes: Iterable[NodeRecord]) -> dict[str, str]:
    """Which node is to capture each camera, by the camera's name; those that no node may take are absent."""
    items = [Item(setup.name, setup.node, setup.label) for setup in setups if setup.enabled]
    members = [Member(node.id, node.weight or 1.0, node.labels) for node in nodes if is_member(node)]
    return place(items, members)


def is_member(node: NodeRecord) -> bool:
    """Whether a node takes its share of the configured cameras."""
    return node.kind is NodeKind.CAPTURE and node.group == FLEET and node.state not in NOT_MEMBERS


def waiting(
    setups: Iterable[CameraSetup], cameras: Iterable[CameraRecord], nodes: Iterable[NodeRecord]
) -> dict[str, str]:
    """The configured cameras that nobody captures, and why."""
    setups, nodes = list(setups), list(nodes)
    captured = {camera.name for camera in cameras}
    placed = shares(setups, nodes)
    return {
        setup.name: _why(setup, placed.get(setup.name), any(map(is_member, nodes)))
        for setup in setups
        if setup.name not in captured
    }


def _why(setup: CameraSetup, node: str | None, has_members: bool) -> str:
    if not setup.enabled:
        return "disabled"
    if node is not None:
        return f"node {node} is to take it"
    if not has_members:
        return "no capture node runs that takes configured cameras: start `mesh node capture`"
    pin = f"node {setup.node}" if setup.node else f"a node with the label {setup.label}"
    return f"it is pinned to {pin}, and no such capture node runs"


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Say in a line what a bare `Conflict` means."""
    try:
        yield
    except Conflict as error:
        raise Conflict(
            f"camera {name!r} was changed by somebody else meanwhile; nothing was written: try again"
        ) from error
