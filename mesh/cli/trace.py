"""`mesh trace`: where a camera's frames spend their time, and where they are lost."""

from typing import Annotated, Any

import typer

from mesh.cli.log import set_up
from mesh.cli.options import AsJson, LogJson, LogLevel, RegistryUrl
from mesh.cli.output import print_json, print_tables
from mesh.cli.pointing import connect
from mesh.ledger import CameraSummary
from mesh.trace import Spread, Traced


def trace(
    camera: Annotated[str, typer.Argument(metavar="CAMERA")],
    seconds: Annotated[float, typer.Option(metavar="SECONDS", min=0.1, help="How long to watch.")] = 5.0,
    registry: RegistryUrl = None,
    as_json: AsJson = False,
    log_level: LogLevel = "warning",
    log_json: LogJson = False,
) -> None:
    """Show where a camera's frames spend their time, hop by hop, and where they are dropped or lost.

    Times between two machines are corrected by their clocks' offsets, and are given with that uncertainty.
    """
    set_up(log_level, log_json)
    with connect(registry) as mesh:
        traced = mesh.trace(camera, seconds)
        losses = mesh.stats()["cameras"].get(camera)
    if as_json:
        print_json(as_value(camera, seconds, traced, losses))
    else:
        print_tables(_tables(traced, losses))


def as_value(camera: str, seconds: float, traced: Traced, losses: CameraSummary | None) -> dict[str, Any]:
    """What `mesh trace --json` prints."""
    return {
        "camera": camera,
        "seconds": seconds,
        "legs": [
            {"from": leg.origin or None, "to": leg.to, **_numbers(found)}
            for leg, found in traced.legs.items()
        ],
        "ages": [
            {"stage": stage, "from": first, "to": last, **_numbers(found)}
            for (stage, first, last), found in traced.ages.items()
        ],
        "groups": {
            name: {key: group[key] for key in ("stage", "offered", "dropped", "lost")}
            for name, group in (losses["groups"] if losses else {}).items()
        },
    }


def _numbers(found: Spread) -> dict[str, Any]:
    return {
        "n": found.n,
        "p50_ms": found.p50_ms,
        "p95_ms": found.p95_ms,
        "p99_ms": found.p99_ms,
        "error_ms": found.error_ms,
    }


def _tables(
    traced: Traced, losses: CameraSummary | None
) -> list[tuple[str, tuple[str, ...], list[tuple[object, ...]]]]:
    spread = ("n", "p50 ms", "p95 ms", "p99 ms", "± ms")
    legs = [(str(leg), *_shown(found)) for leg, found in traced.legs.items()]
    ages = [(stage, last, *_shown(found)) for (stage, _, last), found in traced.ages.items()]
    groups: list[tuple[object, ...]] = [
        (name, group["stage"], group["offered"], _causes(group["dropped"]), group["lost"])
        for name, group in (losses["groups"] if losses else {}).items()
    ]
    return [
        ("hops", ("hop", *spread), legs),
        ("age since capture", ("stage", "leaving", *spread), ages),
        ("lost", ("group", "of stage", "offered", "dropped", "lost on the link"), groups),
    ]


def _shown(found: Spread) -> tuple[object, ...]:
    times = (f"{time:.2f}" for time in (found.p50_ms, found.p95_ms, found.p99_ms))
    return found.n, *times, "?" if found.error_ms is None else f"{found.error_ms:.2f}"


def _causes(counts: dict[str, int]) -> str:
    return ", ".join(f"{cause} {count}" for cause, count in sorted(counts.items()) if count) or "0"
