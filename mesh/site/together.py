"""What the tables of a site's file say together: devices, names, stages and folders that must agree. Pure."""

import os
from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from mesh.choice import choice_of, entry_of
from mesh.names import NAME
from mesh.site.problems import Problem, Where
from mesh.site.sections import EVERY, MOST_PORT, SiteFile


def of_devices(file: SiteFile) -> Iterator[Problem]:
    """Devices that are named and not there."""
    named: dict[Where, str | None] = {("registry", "device"): file.registry.device}
    named |= {(kind, name, "device"): section.device for (kind, name), section in file.nodes().items()}
    named |= {("cameras", name, "device"): values.get("device") for name, values in file.cameras.items()}
    there = sorted(file.devices)
    for where, device in named.items():
        if isinstance(device, str) and NAME.match(device) and device not in file.devices:
            what = f"there are {', '.join(there)}" if there else f"write [devices.{device}], too"
            yield Problem(where, f"there is no device {device!r}: {what}")


def together(file: SiteFile, stages: Mapping[str, str]) -> list[Problem]:
    """What is wrong though each table is right. `stages` are those of the process nodes, by table."""
    found = [*_of_registry(file), *_of_names(file), *_of_cameras(file), *_of_stages(file, stages)]
    return [*found, *_of_groups(file, stages), *_of_folders(file), *_of_ports(file)]


def _of_registry(file: SiteFile) -> Iterator[Problem]:
    """A registry that others could not find, or that is said twice."""
    if file.registry.url is None:
        keeper = file.device_of(file.registry.device)
        device = file.device(keeper)
        if device.address in EVERY and device.advertise is None:
            what = "the registry is here, and others have to know its address: write advertise = …, too"
            yield Problem(("devices", keeper, "address"), what)
        return
    if "name" not in file.site.model_fields_set:
        yield Problem(("registry", "url"), "several sites may use that registry: write name = … under [site]")
    for key in sorted({"port", "metrics"} & file.registry.model_fields_set):
        yield Problem(("registry", key), "the url says where the registry is: leave this out")


def _of_groups(file: SiteFile, stages: Mapping[str, str]) -> Iterator[Problem]:
    """Nodes that would share work that is not the same, and those that would publish one stage otherwise."""
    makers: dict[str, tuple[str, list[str]]] = {}
    for name, section in file.process.items():
        other, processors = makers.setdefault(stages[name], (name, section.processors))
        if processors != section.processors:
            what = (
                f"process.{other} makes the stage {stages[name]}, too, with other processors: "
                "write another stage = …"
            )
            yield Problem(("process", name, "processors"), what)
    seen: dict[str, tuple[str, str, str]] = {}
    for name, section in file.process.items():
        group = section.group or stages[name]
        other, takes, makes = seen.setdefault(group, (name, section.input, stages[name]))
        if (takes, makes) != (section.input, stages[name]):
            what = (
                f"process.{other} is of the group {group}, too, and makes {makes} of {takes}: write group = …"
            )
            yield Problem(("process", name), what)


def _of_ports(file: SiteFile) -> Iterator[Problem]:
    """Metrics of one device on one port."""
    seen: dict[tuple[str, int], str] = {}
    for (kind, name), section in file.nodes().items():
        first = int(section.metrics.rpartition(":")[2]) if section.metrics is not None else 0
        for port in range(first, first + getattr(section, "count", 1)) if first else ():
            place = file.device_of(section.device), port
            if port > MOST_PORT:
                yield Problem((kind, name, "metrics"), f"there is no port {port} for the last of its nodes")
                break
            if place in seen:
                what = f"port {port} is that of {seen[place]}: each of several nodes takes the next one"
                yield Problem((kind, name, "metrics"), what)
                break
            seen[place] = f"{kind}.{name}"


def _of_names(file: SiteFile) -> Iterator[Problem]:
    """Nodes of one name, or of one that is too long."""
    seen: dict[str, tuple[str, str]] = {}
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


def _of_stages(file: SiteFile, stages: Mapping[str, str]) -> Iterator[Problem]:
    """Stages that nobody makes, and those that are taken in twice."""
    made = {"raw", *stages.values()}
    for name, section in file.collect.items():
        for number, stage in enumerate(section.input):
            if stage in section.input[:number]:
                yield Problem(("collect", name, "input", number), "a stage stands there twice")
    for where, stage in _wanted(file):
        if stage not in made:
            yield Problem(where, f"nobody makes the stage {stage!r}: there are {', '.join(sorted(made))}")


def _wanted(file: SiteFile) -> Iterator[tuple[Where, str]]:
    """Every stage that is named to be taken in or recorded, and where."""
    for name, process in file.process.items():
        yield ("process", name, "input"), process.input
    for name, collect in file.collect.items():
        for number, stage in enumerate(collect.input):
            yield ("collect", name, "input", number), stage
        for number, (_, choice) in enumerate(map(entry_of, collect.record)):
            if choice.stage:
                yield ("collect", name, "record", number), choice.stage
    for name, values in file.cameras.items():
        if (text := values.get("record")) and (stage := choice_of(text).stage):
            yield ("cameras", name, "record"), stage


def doubts(file: SiteFile) -> Iterator[Problem]:
    """Cameras that are named and not in the file: they may be configured elsewhere, or in another file."""
    for name, section in file.collect.items():
        named = {"record": [entry_of(text)[0] for text in section.record]}
        named["keep"] = [text.partition("=")[0] for text in section.keep]
        for key, cameras in named.items():
            for number, camera in enumerate(cameras):
                if camera and camera not in file.cameras:
                    close = get_close_matches(camera, file.cameras, 1)
                    hint = f": did you mean {close[0]}?" if close else "; is it configured elsewhere?"
                    what = f"there is no camera {camera!r} in this file{hint}"
                    yield Problem(("collect", name, key, number), what)


def _of_folders(file: SiteFile) -> Iterator[Problem]:
    """Collectors of one device that would record into one folder."""
    seen: dict[tuple[str, str], str] = {}
    for name, section in file.collect.items():
        place = file.device_of(section.device), os.path.normpath(section.into)
        if place in seen:
            yield Problem(("collect", name, "into"), f"collect.{seen[place]} records there already")
        seen[place] = name


def node_names(kind: str, name: str, count: int) -> list[str]:
    """The nodes of a table. The first of several is called as the only one would be."""
    return [f"{kind}-{name}", *(f"{kind}-{name}-{number}" for number in range(2, count + 1))]
