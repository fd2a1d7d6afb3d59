"""Which recordings a command is for: the options that the verbs of `mesh recordings` share."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from mesh.clock import SYSTEM_CLOCK
from mesh.errors import ConfigError
from mesh.names import check_name
from mesh.recordings.catalog import Catalog
from mesh.recordings.query import FAR_NS, Query
from mesh.recordings.times import parse_range, parse_time, show_time

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The folder that a collector records to.")]
Cameras = Annotated[
    list[str] | None, typer.Option("--camera", metavar="NAME", help="Of this camera; once for each.")
]
Stages = Annotated[
    list[str] | None, typer.Option("--stage", metavar="STAGE", help="Of this stage; once for each.")
]
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="TIME",
        help="From then on: today, yesterday, -2h, 10:00, 2026-11-30T10:00; UTC, or with Z or +01:00.",
    ),
]
To = Annotated[
    str | None, typer.Option("--to", metavar="TIME", help="Until before then; a day is its beginning.")
]
Labels = Annotated[
    list[str] | None,
    typer.Option("--label", metavar="LABEL", help="In which this was seen; once for each of several."),
]
By = Annotated[
    list[str] | None, typer.Option("--by", metavar="PROCESSOR", help="Seen by this one; once for each.")
]
MinScore = Annotated[
    float | None, typer.Option("--min-score", min=0, max=1, help="Seen with this score at its best, or more.")
]


def query(
    camera: list[str] | None,
    stage: list[str] | None,
    begin: str | None,
    end: str | None,
    label: list[str] | None = None,
    by: list[str] | None = None,
    min_score: float | None = None,
    at: str | None = None,
) -> Query:
    """What the options ask for. Raises `ConfigError`."""
    now_ns = SYSTEM_CLOCK.wall_ns()
    if at is not None and (begin is not None or end is not None):
        raise ConfigError("--at is a moment of its own: leave out --from and --to")
    from_ns, to_ns = parse_range(begin, end, now_ns)
    if at is not None:
        from_ns = min(parse_time(at, now_ns), FAR_NS - 1)
        to_ns = from_ns + 1
    return Query(
        cameras=tuple(check_name("camera", name) for name in camera or ()),
        stages=tuple(check_name("stage", name) for name in stage or ()),
        from_ns=from_ns,
        to_ns=to_ns,
        labels=tuple(label or ()),
        by=tuple(by or ()),
        min_score=min_score,
    )


@contextmanager
def catalog_of(folder: Path, asked: Query, *, files: bool = True) -> Iterator[Catalog]:
    """A folder's catalog. Raises `ConfigError` where it does not know a camera that is asked for."""
    with Catalog(folder, asked, files=files) as catalog:
        catalog.check_cameras(asked.cameras)
        yield catalog


def when(first_ns: int, last_ns: int) -> dict[str, object]:
    """A stretch of time, as `--json` tells it."""
    return {
        "from": show_time(first_ns),
        "to": show_time(last_ns),
        "from_ns": first_ns,
        "to_ns": last_ns,
        "seconds": (last_ns - first_ns) / 1e9,
    }
