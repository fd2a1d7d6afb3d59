"""`mesh stats`: the ledger of the whole mesh.

A terminal gets tables that fit it, with a line of words for what a column would be too wide for; a pipe gets
a line for each camera and each group with everything in it, for `grep` and `cut`.
"""

from collections.abc import Iterator, Mapping

from mesh.cli.log import set_up
from mesh.cli.options import AsJson, LogJson, LogLevel, RegistryUrl
from mesh.cli.output import Rows, is_terminal, print_json, print_tables
from mesh.cli.pointing import connect
from mesh.ledger import CameraSummary, GroupSummary, Summary


def stats(
    registry: RegistryUrl = None,
    as_json: AsJson = False,
    log_level: LogLevel = "warning",
    log_json: LogJson = False,
) -> None:
    """Account for every frame: captured, processed, dropped (and why), lost, in flight, recorded, skipped."""
    set_up(log_level, log_json)
    with connect(registry) as mesh:
        summary = mesh.stats()
    if as_json:
        print_json(summary)
    elif is_terminal():
        print_tables(drawn(summary), narrow=True)
    else:
        print_tables(plain(summary))


CAMERAS = (
    *("camera", "captured", "dropped", "recorded", "skipped"),
    *("duplicates", "late", "unaccounted"),
)
GROUPS = (
    *("camera", "group", "nodes", "offered", "overlap", "processed", "dropped", "lost", "in flight"),
    *("duplicates", "results", "delivered", "waiting", "undelivered"),
)
DRAWN = (
    *("camera", "group", "offered", "processed", "dropped", "lost", "in flight"),
    *("results", "delivered", "waiting"),
)


def plain(summary: Summary) -> list[Rows]:
    """All of it, a row for each camera and each group."""
    cameras = [_of_camera(name, camera, _causes(camera["dropped"])) for name, camera in _cameras(summary)]
    groups = [
        (
            camera,
            _name(name, group),
            len(group["members"]),
            group["offered"],
            group["overlap"],
            group["processed"],
            _causes(group["dropped"]),
            group["lost"],
            group["in_flight"],
            group["duplicates"],
            group["results"],
            group["delivered"],
            group["waiting"],
            _causes(group["undelivered"]),
        )
        for camera, name, group in _groups(summary)
    ]
    return [("cameras", CAMERAS, cameras), ("groups", GROUPS, groups)]


def drawn(summary: Summary) -> list[Rows]:
    """The same in less width: numbers, and below them what else there is to say, where there is something."""
    cameras = [_of_camera(name, camera, _sum(camera["dropped"])) for name, camera in _cameras(summary)]
    groups = [
        (
            camera,
            _name(name, group),
            group["offered"],
            group["processed"],
            _sum(group["dropped"]),
            group["lost"],
            group["in_flight"],
            group["results"],
            group["delivered"],
            group["waiting"],
        )
        for camera, name, group in _groups(summary)
    ]
    words = [(camera, name, told) for camera, name, told in _words(summary) if told]
    tables: list[Rows] = [("cameras", CAMERAS, cameras), ("groups", DRAWN, groups)]
    return [*tables, ("of these", ("camera", "group", "frames and results"), words)] if words else tables


def _cameras(summary: Summary) -> Iterator[tuple[str, CameraSummary]]:
    yield from summary["cameras"].items()


def _groups(summary: Summary) -> Iterator[tuple[str, str, GroupSummary]]:
    for camera, count in _cameras(summary):
        for name, group in count["groups"].items():
            yield camera, name, group


def _words(summary: Summary) -> Iterator[tuple[str, str, str]]:
    """Camera, group and what of their frames was dropped or given up, why, and what came twice."""
    for name, camera in _cameras(summary):
        yield name, "-", _told({"dropped": camera["dropped"]})
        for group_name, group in camera["groups"].items():
            causes = {"dropped": group["dropped"], "undelivered": group["undelivered"]}
            yield name, group_name, _told(causes, overlap=group["overlap"], duplicates=group["duplicates"])


def _told(causes: Mapping[str, Mapping[str, int]], **counts: int) -> str:
    parts = [f"{what}: {_causes(found)}" for what, found in causes.items() if _sum(found)]
    return "; ".join([*parts, *(f"{what} {count}" for what, count in counts.items() if count)])


def _of_camera(name: str, camera: CameraSummary, dropped: object) -> tuple[object, ...]:
    recorded, skipped = _stages(camera["recorded"]), _stages(camera["skipped"])
    counts = (camera["duplicates"], camera["late"], camera["unaccounted"])
    return (name, camera["captured"], dropped, recorded, skipped, *counts)


def _name(name: str, group: GroupSummary) -> str:
    return f"{name} (gone)" if group["gone"] else name


def _sum(counts: Mapping[str, int]) -> int:
    return sum(counts.values())


def _stages(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{stage} {count}" for stage, count in counts.items()) or "-"


def _causes(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{cause} {count}" for cause, count in sorted(counts.items()) if count) or "0"
