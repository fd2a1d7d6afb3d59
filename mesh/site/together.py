"""What the tables of a site's file say together: devices, names, stages and folders that must agree. Pure."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from mesh.names import NAME
from mesh.site.problems import Problem, Where
from mesh.site.sections import SiteFile


def of_devices(file: SiteFile) -> Iterator[Problem]:
    """Devices that are named and not there."""
    named: dict[Where, str | None] = {("registry", "device"): file.registry.device}
    named |= {(kind, name, "device"): section.device for (kind, name), section in file.nodes().items()}
    named |= {("cameras", name, "device"): values.get("device") for name, values in file.cameras.items()}
    there = sorted(file.devices)
    for where, device in named.items():
        if isinstance(device, str) and device not in file.devices:
            what = f"there are {', '.join(there)}" if there else f"write [devices.{device}], too"
            yield Problem(where, f"there is no device {device!r}: {what}")


def together(file: SiteFile, stages: Mapping[str, str]) -> list[Problem]:
    """What is wrong though each table is right. `stages` are those of the process nodes, by table."""
    return [*_of_names(file), *_of_cameras(file), *_of_inputs(file, stages), *_of_folders(file)]


def _of_names(file: SiteFile) -> Iterator[Problem]:
    """Nodes of one name, or of one that is too long."""
    seen: dict[str, Where] = {}
    for (kind, name), section in file.nodes().items():
        for node in node_names(kind, name, getattr(section, "count", 1)):
            if node in seen:
                yield Problem(
                    (kind, name), f"its node {node} is one of {'.'.join(seen[node])}, too: rename one"
                )
            if not NAME.match(node):
                yield Problem((kind, name), f"its node would be called {node}: 63 letters are the most")
            seen[node] = kind, name


def _of_cameras(file: SiteFile) -> Iterator[Problem]:
    """Cameras that nobody could capture."""
    if file.cameras and not file.capture:
        yield Problem(("cameras",), "nobody captures them: write [capture.NAME]")
        return
    capturing = {file.device_of(section.device) for section in file.capture.values()}
    for name, values in file.cameras.items():
        if (device := values.get("device")) is not None and device not in capturing:
            yield Problem(("cameras", name, "device"), f"no [capture.…] is on device {device!r}")


def _of_inputs(file: SiteFile, stages: Mapping[str, str]) -> Iterator[Problem]:
    """Stages that nobody makes."""
    made = {"raw", *stages.values()}
    wanted = [(("process", name, "input"), [section.input]) for name, section in file.process.items()]
    wanted += [(("collect", name, "input"), section.input) for name, section in file.collect.items()]
    for where, inputs in wanted:
        for stage in inputs:
            if stage not in made:
                yield Problem(where, f"nobody makes the stage {stage!r}: there are {', '.join(sorted(made))}")


def _of_folders(file: SiteFile) -> Iterator[Problem]:
    """Collectors of one device that would record into one folder."""
    seen: dict[tuple[str, Path], str] = {}
    for name, section in file.collect.items():
        place = file.device_of(section.device), Path(section.into)
        if place in seen:
            yield Problem(("collect", name, "into"), f"collect.{seen[place]} records there already")
        seen[place] = name


def node_names(kind: str, name: str, count: int) -> list[str]:
    """The nodes of a table. The first of several is called as the only one would be."""
    return [f"{kind}-{name}", *(f"{kind}-{name}-{number}" for number in range(2, count + 1))]
