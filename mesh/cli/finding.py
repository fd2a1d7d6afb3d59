"""`mesh recordings list|events|gaps|info|stats`: what was recorded, what was seen, and what is missing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from mesh.cli.choosing import By, Cameras, Folder, From, Labels, MinScore, Stages, To, catalog_of, query, when
from mesh.cli.log import set_up
from mesh.cli.options import AsJson, LogJson, LogLevel
from mesh.cli.output import print_json, print_tables
from mesh.clock import SYSTEM_CLOCK
from mesh.recordings.catalog import Catalog
from mesh.recordings.daily import daily
from mesh.recordings.folder import Locked, lock_reason
from mesh.recordings.index import SegmentRow
from mesh.recordings.overview import Overview, overview
from mesh.recordings.query import Occurrence
from mesh.recordings.times import show_day, show_time

MB, GB = 1e6, 1e9


def list_(
    folder: Folder,
    camera: Cameras = None,
    stage: Stages = None,
    begin: From = None,
    end: To = None,
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="Those that were being recorded at this moment.")
    ] = None,
    label: Labels = None,
    min_score: MinScore = None,
    by: By = None,
    as_json: AsJson = False,
    log_level: LogLevel = "warning",
    log_json: LogJson = False,
) -> None:
    """List recorded files, each camera's in order of time; those in which something was seen with --label."""
    set_up(log_level, log_json)
    asked = query(camera, stage, begin, end, label, by, min_score, at)
    with catalog_of(folder, asked) as catalog:
        rows = catalog.segments(asked)
    locked = Locked(folder)
    if as_json:
        print_json({"segments": [segment_value(folder, row, row.path in locked) for row in rows]})
        return
    columns = ("camera", "stage", "from", "to", "seconds", "frames", "MB", "state", "path")
    lines = [
        (
            row.camera,
            row.stage,
            show_time(row.first_ns),
            show_time(row.last_ns),
            (row.last_ns - row.first_ns) / 1e9,
            row.frames,
            row.bytes / MB,
            ",".join(states(row, row.path in locked)) or "-",
            row.path,
        )
        for row in rows
    ]
    print_tables([("segment", columns, lines)], nothing=f"no recording found in {folder}")


def events(
    folder: Folder,
    camera: Cameras = None,
    stage: Stages = None,
    begin: From = None,
    end: To = None,
    label: Labels = None,
    min_score: MinScore = None,
    by: By = None,
    as_json: AsJson = False,
    log_level: LogLevel = "warning",
    log_json: LogJson = False,
) -> None:
    """List what was seen, in order of time: an event lasts until nothing of its label was seen for 5 s."""
    set_up(log_level, log_json)
    asked = query(camera, stage, begin, end, label, by, min_score)
    with catalog_of(folder, asked) as catalog:
        found = catalog.events(asked)
    if as_json:
        print_json({"events": [event_value(each) for each in found]})
        return
    columns = ("camera", "stage", "label", "by", "from", "to", "seconds", "frames", "best score")
    lines = [
        (
            each.camera,
            each.stage,
            each.label,
            each.by or "-",
            show_time(each.first_ns),
            show_time(each.last_ns),
            (each.last_ns - each.first_ns) / 1e9,
            each.frames,
            "-" if each.best is None else f"{each.best:.2f}",
        )
        for each in found
    ]
    print_tables([("event", columns, lines)], nothing=f"no event found in {folder}")


def gaps(
    folder: Folder,
    camera: Cameras = None,
    stage: Stages = None,
    begin: From = None,
    end: To = None,
    least: Annotated[
        float, typer.Option("--min", metavar="SECONDS", min=0, help="Gaps of at least so many seconds.")
    ] = 0,
    as_json: AsJson = False,
    log_level: LogLevel = "warning",
    log_json: LogJson = False,
) -> None:
    """List when nothing was recorded of a camera between two of its frames, for more than 5 s (of slow
    cameras, three of their intervals). What came before the first frame and after the last one is no gap."""
    set_up(log_level, log_json)
    asked = query(camera, stage, begin, end)
    with catalog_of(folder, asked) as catalog:
        found = catalog.gaps(asked, round(least * 1e9))
    if as_json:
        values = [
            {"camera": each.camera, "stage": each.stage, **when(each.first_ns, each.last_ns)}
            for each in found
        ]
        print_json({"gaps": values})
        return
    lines = [
        (
            each.camera,
            each.stage,
            show_time(each.first_ns),
            show_time(each.last_ns),
            (each.last_ns - each.first_ns) / 1e9,
        )
        for each in found
    ]
    print_tables(
        [("gap", ("camera", "stage", "from", "to", "seconds"), lines)], nothing=f"no gap found in {folder}"
    )


def info(
    folder: Folder, as_json: AsJson = False, log_level: LogLevel = "warning", log_json: LogJson = False
) -> None:
    """Tell of the folder as a whole: what there is of each camera, room on the disk, who records there."""
    set_up(log_level, log_json)
    with Catalog(folder) as catalog:
        found = overview(catalog)
    if as_json:
        print_json(overview_value(folder, found))
        return
    columns = ("camera", "stage", "from", "to", "segments", "frames", "MB", "open")
    lines = [
        (
            each.camera,
            each.stage,
            show_time(each.first_ns),
            show_time(each.last_ns),
            each.segments,
            each.frames,
            each.bytes / MB,
            each.open,
        )
        for each in found.totals
    ]
    print_tables([("recorded", columns, lines), ("folder", ("what", "is"), _facts(folder, found))])


def stats(
    folder: Folder,
    camera: Cameras = None,
    stage: Stages = None,
    begin: From = None,
    end: To = None,
    as_json: AsJson = False,
    log_level: LogLevel = "warning",
    log_json: LogJson = False,
) -> None:
    """Add up each camera's days (UTC): frames, time recorded, bytes, and what was seen."""
    set_up(log_level, log_json)
    asked = query(camera, stage, begin, end)
    with catalog_of(folder, asked) as catalog:
        rows, seen = catalog.segments(asked), catalog.events(asked)
        days = daily(rows, catalog.recorded(asked), seen, asked, SYSTEM_CLOCK.wall_ns())
    if as_json:
        values = [
            {
                "camera": each.camera,
                "stage": each.stage,
                "day": show_day(each.at_ns),
                "segments": each.segments,
                "frames": each.frames,
                "bytes": each.bytes,
                "seconds": each.seconds,
                "coverage": each.coverage,
                "events": dict(each.events),
            }
            for each in days
        ]
        print_json({"days": values})
        return
    columns = ("camera", "stage", "day", "segments", "frames", "MB", "seconds", "coverage %", "events")
    lines = [
        (
            each.camera,
            each.stage,
            show_day(each.at_ns),
            each.segments,
            each.frames,
            each.bytes / MB,
            each.seconds,
            each.coverage,
            ", ".join(f"{label} {n}" for label, n in sorted(each.events.items())) or "-",
        )
        for each in days
    ]
    print_tables([("day", columns, lines)], nothing=f"no recording found in {folder}")


def states(row: SegmentRow, is_locked: bool) -> list[str]:
    """Words for how a file stands."""
    found = {"open": row.open, "locked": is_locked, "late": row.late > 0}
    return [word for word, holds in found.items() if holds]


def segment_value(folder: Path, row: SegmentRow, is_locked: bool) -> dict[str, Any]:
    return {
        "camera": row.camera,
        "stage": row.stage,
        "boot": row.boot,
        **when(row.first_ns, row.last_ns),
        "frames": row.frames,
        "late": row.late,
        "bytes": row.bytes,
        "state": states(row, is_locked),
        "lock": lock_reason(folder / row.path) if is_locked else None,
        "path": row.path,
    }


def event_value(each: Occurrence) -> dict[str, Any]:
    return {
        "camera": each.camera,
        "stage": each.stage,
        "label": each.label,
        "by": each.by,
        **when(each.first_ns, each.last_ns),
        "frames": each.frames,
        "best": each.best,
    }


def overview_value(folder: Path, found: Overview) -> dict[str, Any]:
    """What `mesh recordings info --json` prints."""
    return {
        "path": str(folder),
        "streams": [
            {
                "camera": each.camera,
                "stage": each.stage,
                **when(each.first_ns, each.last_ns),
                "segments": each.segments,
                "frames": each.frames,
                "bytes": each.bytes,
                "open": each.open,
            }
            for each in found.totals
        ],
        "bytes": found.bytes,
        "bytes_per_day": found.bytes_per_day,
        "free_bytes": found.free_bytes,
        "days_until_full": found.days_until_full,
        "locked": found.locked,
        "put_aside": found.put_aside,
        "index_version": found.version,
        "recorded_by": {"pid": found.holder.pid} if found.holder is not None else None,
    }


def _facts(folder: Path, found: Overview) -> Sequence[tuple[str, str]]:
    rate, full = found.bytes_per_day, found.days_until_full
    return (
        ("path", str(folder)),
        ("size", f"{found.bytes / GB:.3f} GB"),
        ("a day", f"{rate / GB:.3f} GB" if rate is not None else "not known yet"),
        ("free", f"{found.free_bytes / GB:.3f} GB"),
        ("full in", f"{full:.1f} days" if full is not None else "not known"),
        ("locked", f"{found.locked} files"),
        ("put aside", f"{found.put_aside} files"),
        ("index", f"version {found.version}" if found.version is not None else "none that can be used"),
        ("recorded by", str(found.holder) if found.holder is not None else "nobody now"),
    )
