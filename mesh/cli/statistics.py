"""`mesh stats`: the ledger of the whole mesh."""

from collections.abc import Mapping

from mesh.cli.log import set_up
from mesh.cli.options import AsJson, LogJson, LogLevel, RegistryUrl
from mesh.cli.output import print_json, print_tables
from mesh.cli.pointing import connect
from mesh.ledger import Summary


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
    else:
        print_tables(_tables(summary))


def _tables(summary: Summary) -> list[tuple[str, tuple[str, ...], list[tuple[object, ...]]]]:
    cameras: list[tuple[object, ...]] = []
    groups: list[tuple[object, ...]] = []
    for name, camera in summary["cameras"].items():
        cameras.append(
            (
                name,
                camera["captured"],
                _causes(camera["dropped"]),
                _stages(camera["recorded"]),
                _stages(camera["skipped"]),
                camera["duplicates"],
                camera["late"],
                camera["unaccounted"],
            )
        )
        for group_name, group in camera["groups"].items():
            groups.append(
                (
                    name,
                    f"{group_name} (gone)" if group["gone"] else group_name,
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
            )
    camera_columns = (
        "camera",
        "captured",
        "dropped",
        "recorded",
        "skipped",
        "duplicates",
        "late",
        "unaccounted",
    )
    fate = ("offered", "overlap", "processed", "dropped", "lost", "in flight", "duplicates")
    group_columns = ("camera", "group", "nodes", *fate, "results", "delivered", "waiting", "undelivered")
    return [("cameras", camera_columns, cameras), ("groups", group_columns, groups)]


def _stages(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{stage} {count}" for stage, count in counts.items()) or "-"


def _causes(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{cause} {count}" for cause, count in sorted(counts.items()) if count) or "0"
