"""The processes that follow from a site's file: which, on which device, started how. Pure.

Rules kept here: two plans that are alike in a part have that part alone go on; who is upstream stops first.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mesh.errors import ConfigError
from mesh.registry.setups import CameraSetup
from mesh.site.reading import Site
from mesh.site.sections import NodeSection, ProcessSection, SiteFile, bracketed, inside
from mesh.site.together import node_names

REGISTRY = "registry"
KINDS = (REGISTRY, "capture", "process", "collect")
REGISTRY_WAIT_S = 60
LEAST_PATIENCE_S = 20.0  # a node drains for ten seconds unless it is told otherwise
AFTER_DRAIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Part:
    """One process: `mesh ARGUMENTS…` on a device. Parts of a lower `depth` stop before those of a higher; one
    that was asked to end is killed after `patience_s`."""

    name: str
    kind: str
    device: str
    depth: int
    arguments: tuple[str, ...]
    patience_s: float = LEAST_PATIENCE_S

    def argument(self, option: str) -> str:
        """What an option that it has is set to."""
        return self.arguments[self.arguments.index(option) + 1]


@dataclass(frozen=True, slots=True)
class Plan:
    """What runs here. `cameras` are kept in the registry as they are here; None: by another device."""

    registry: str
    parts: Mapping[str, Part]
    cameras: tuple[CameraSetup, ...] | None


@dataclass(frozen=True, slots=True)
class Difference:
    """From one plan to the next: parts to stop, to start and to start anew, and whether cameras differ."""

    stop: tuple[str, ...]
    start: tuple[str, ...]
    restart: tuple[str, ...]
    cameras: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.stop or self.start or self.restart or self.cameras)

    def __str__(self) -> str:
        told = {"stop": self.stop, "start": self.start, "restart": self.restart, "cameras": self.cameras}
        return "; ".join(f"{what} {', '.join(names)}" for what, names in told.items() if names) or "nothing"


def plan(site: Site, state: Path, only: Sequence[str] = (), more: Sequence[str] = ()) -> Plan:
    """What runs here: of the whole site what `only` names (KIND, KIND@DEVICE, @DEVICE or a part's name), or
    everything. Raises `ConfigError`.

    state:  the folder for what the mesh itself keeps
    more:   arguments for every process
    """
    file = site.file
    every = [replace(part, arguments=(*part.arguments, *more)) for part in _parts(site, state)]
    keeper = file.device_of(file.registry.device)
    chosen = _chosen(file, every, keeper, only) if only else {part.name for part in every}
    keeps = not only or any(_names(one, REGISTRY, keeper) for one in only)
    parts = {part.name: part for part in every if part.name in chosen}
    return Plan(file.registry_url, parts, site.cameras if keeps else None)


def difference(before: Plan, after: Plan, idle: Collection[str] = ()) -> Difference:
    """What is to be done when `after` follows on `before`, of which the parts named `idle` do not run."""
    old, new = before.parts, after.parts
    kept = (old.keys() & new.keys()) - set(idle)
    former, now = _by_name(before.cameras), _by_name(after.cameras)
    return Difference(
        stop=tuple(sorted(old.keys() - new.keys())),
        start=tuple(sorted(new.keys() - kept - (old.keys() - set(idle)))),
        restart=tuple(sorted(name for name in kept if old[name] != new[name])),
        cameras=tuple(sorted(n for n in former.keys() | now.keys() if former.get(n) != now.get(n))),
    )


def _by_name(cameras: Iterable[CameraSetup] | None) -> dict[str, CameraSetup]:
    return {camera.name: camera for camera in cameras or ()}


def _chosen(file: SiteFile, every: Sequence[Part], keeper: str, only: Sequence[str]) -> set[str]:
    chosen: set[str] = set()
    for one in only:
        what, at, device = one.partition("@")
        if at and device not in file.devices:
            there = ", ".join(sorted(file.devices)) or "none in this file"
            raise ConfigError(f"--only {one!r}: there is no device {device!r}: there are {there}")
        found = {part.name for part in every if _names(one, part.kind, part.device) or part.name == what}
        if not found and not _names(one, REGISTRY, keeper):
            there = ", ".join(sorted({f"{part.kind}@{part.device}" if at else part.kind for part in every}))
            raise ConfigError(f"--only {one!r}: nothing of the site is that: there are {there}")
        chosen |= found
    return chosen


def _names(one: str, kind: str, device: str) -> bool:
    """Whether a word of `--only` names a kind on a device."""
    what, at, where = one.partition("@")
    return what in (("", kind) if at else (kind,)) and where in (("", device) if not at else (device,))


def _parts(site: Site, state: Path) -> list[Part]:
    file = site.file
    parts = [_registry(file, state)] if file.registry.url is None else []
    depths = _depths(file, site.stages)
    last = max(depths.values(), default=0) + 1
    for (kind, table), section in file.nodes().items():
        depth = {"capture": 0, "process": depths.get(table, 0), "collect": last}[kind]
        for number, name in enumerate(node_names(kind, table, getattr(section, "count", 1))):
            device = file.device_of(section.device)
            arguments = (*_command(site, kind, section, state, number), *_common(file, device, section, name))
            patience_s = max(LEAST_PATIENCE_S, (section.drain or 0.0) + AFTER_DRAIN_S)
            parts.append(Part(name, kind, device, depth, arguments, patience_s))
    return parts


def _registry(file: SiteFile, state: Path) -> Part:
    name = file.device_of(file.registry.device)
    bind = f"tcp://{bracketed(file.device(name).address)}:{file.registry.port}"
    more = ["--metrics", file.registry.metrics] if file.registry.metrics is not None else []
    more += ["--insecure"] if file.site.insecure else []
    arguments = ("registry", "--bind", bind, "--state", str(state / REGISTRY), *more)
    return Part(REGISTRY, REGISTRY, name, _NEVER, arguments)


_NEVER = 1 << 20  # the registry stops last: the others leave it


def _command(site: Site, kind: str, section: NodeSection, state: Path, number: int) -> list[str]:
    """What a node is told of its kind's own; the `number`-th of several."""
    arguments = ["node", kind]
    options = dict(section.options)
    if isinstance(section, ProcessSection):
        arguments += [*section.processors, "--spool", str(state / "spool")]
    elif kind == "collect":
        arguments += ["--into", inside(site.folder, str(getattr(section, "into", "")))]
    if "secrets" in options:
        options["secrets"] = inside(site.folder, options["secrets"])
    if "metrics" in options:
        options["metrics"] = _listen(options["metrics"], number)
    for name, value in options.items():
        arguments += _option(name.replace("_", "-"), value)
    return arguments


def _option(name: str, value: object) -> list[str]:
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    if isinstance(value, list):
        return [word for each in value for word in (f"--{name}", str(each))]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return [f"--{name}", str(value)]


def _common(file: SiteFile, device_name: str, section: NodeSection, name: str) -> list[str]:
    """What every node of the site is told."""
    device = file.device(device_name)
    arguments = ["--name", name, "--registry", file.registry_url, "--registry-wait", str(REGISTRY_WAIT_S)]
    arguments += ["--bind", device.address]
    if device.advertise is not None:
        arguments += ["--advertise", device.advertise]
    if file.site.insecure:
        arguments.append("--insecure")
    return arguments + [word for label in labels_of(file, section).items() for word in _label(label)]


def _label(label: tuple[str, str]) -> tuple[str, str]:
    return "--label", "=".join(label)


def labels_of(file: SiteFile, section: NodeSection) -> dict[str, str]:
    """The labels of a table's nodes: by them cameras are pinned."""
    name = file.device_of(section.device)
    return {**({"device": name} if name else {}), **file.device(name).labels, **section.labels}


def _depths(file: SiteFile, stages: Mapping[str, str]) -> dict[str, int]:
    """How many nodes there are before each process node, itself counted; a circle of stages ends."""
    depths = dict.fromkeys(file.process, 1)
    for _ in file.process:
        for table, section in file.process.items():
            before = [depths[other] for other, stage in stages.items() if stage == section.input]
            depths[table] = min(max([0, *before]) + 1, len(file.process))
    return depths


def _listen(text: str, number: int) -> str:
    """[HOST:]PORT of the `number`-th of several nodes: each has the next port; 0 is any for all of them."""
    host, colon, port = text.rpartition(":")
    return f"{host}{colon}{int(port) + number}" if int(port) else text
