"""`mesh recordings verify|rebuild|lock|unlock|delete`: recordings looked after."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from mesh.cli.choosing import By, Cameras, Folder, From, Labels, MinScore, Stages, To, catalog_of, query
from mesh.cli.log import set_up
from mesh.cli.options import AsJson, LogJson, LogLevel
from mesh.cli.output import print_json, print_tables
from mesh.cli.progress import progress
from mesh.clock import SYSTEM_CLOCK
from mesh.errors import ConfigError, StorageError
from mesh.recordings.folder import LOCKED
from mesh.recordings.index import SegmentRow
from mesh.recordings.query import Query
from mesh.recordings.verify import Finding
from mesh.recordings.verify import verify as verified

GB = 1e9

Paths = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[PATH]…", help="Recorded files as `list` names them; or choose by options."),
]
All = Annotated[bool, typer.Option("--all", help="Everything in the folder.")]


def verify(
    folder: Folder,
    camera: Cameras = None,
    as_json: AsJson = False,
    log_level: LogLevel = "warning",
    log_json: LogJson = False,
) -> None:
    """Check every file against its lines and the index: pictures, times, counts. It changes nothing.

    A line for each problem; 1 is the exit code when there is any. Files that are not ours are noted.
    """
    set_up(log_level, log_json)
    with progress("verify") as tell:
        found = list(verified(folder, query(camera, None, None, None).cameras, tell))
    _say(found, as_json)
    problems = sum(each.is_problem for each in found)
    if problems:
        raise StorageError(f"{problems} problem{'s' * (problems > 1)} found in {folder}")
    if not as_json:
        typer.echo(f"nothing is wrong with the recordings in {folder}")


def rebuild(folder: Folder, log_level: LogLevel = "warning", log_json: LogJson = False) -> None:
    """Make the index again from the files alone. What is damaged is moved to DIR/quarantine, with the reason.

    Refused while a collector records there.
    """
    set_up(log_level, log_json)
    from nodes.collect.rebuild import rebuild

    with progress("rebuild") as tell:
        done = rebuild(folder, tell)
    files = f"{done.aside} file{'s were' if done.aside > 1 else ' was'}"
    aside = f"; {files} put aside in {folder}/quarantine" if done.aside else ""
    typer.echo(f"the index of {folder} has {done.segments} recordings with {done.frames} frames{aside}")


def lock(
    folder: Folder,
    paths: Paths = None,
    camera: Cameras = None,
    stage: Stages = None,
    begin: From = None,
    end: To = None,
    label: Labels = None,
    min_score: MinScore = None,
    by: By = None,
    every: All = False,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; `list --json` shows it.")] = "",
    log_level: LogLevel = "warning",
    log_json: LogJson = False,
) -> None:
    """Lock recordings: retention keeps them, and `delete` refuses them, until `unlock`."""
    set_up(log_level, log_json)
    from nodes.collect import locking

    rows = _chosen(folder, paths, query(camera, stage, begin, end, label, by, min_score), every)
    done = locking.lock(folder, [row.path for row in rows], reason, SYSTEM_CLOCK.wall_ns())
    gone = f", {done.gone} had gone" if done.gone else ""
    typer.echo(f"{done.done} locked, {done.before} were locked before{gone}")


def unlock(
    folder: Folder,
    paths: Paths = None,
    camera: Cameras = None,
    stage: Stages = None,
    begin: From = None,
    end: To = None,
    label: Labels = None,
    min_score: MinScore = None,
    by: By = None,
    every: All = False,
    log_level: LogLevel = "warning",
    log_json: LogJson = False,
) -> None:
    """Unlock recordings: they go when they are too old."""
    set_up(log_level, log_json)
    from nodes.collect import locking

    rows = _chosen(folder, paths, query(camera, stage, begin, end, label, by, min_score), every)
    done = locking.unlock(folder, [row.path for row in rows])
    typer.echo(f"{done.done} unlocked, {done.before} were not locked")


def delete(
    folder: Folder,
    paths: Paths = None,
    camera: Cameras = None,
    stage: Stages = None,
    begin: From = None,
    end: To = None,
    label: Labels = None,
    min_score: MinScore = None,
    by: By = None,
    every: All = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    log_level: LogLevel = "warning",
    log_json: LogJson = False,
) -> None:
    """Delete recordings for good: whole files. Locked ones stay, and so do those that still grow.

    It may be done while a collector records there. One that is named by its path and cannot go is an error,
    and nothing is deleted then.
    """
    set_up(log_level, log_json)
    from nodes.collect import deleting

    rows = _chosen(folder, paths, query(camera, stage, begin, end, label, by, min_score), every)
    going = [row for row in rows if deleting.is_free(folder, row)]
    if paths and len(going) < len(rows):
        raise StorageError(_why_not(folder, next(row for row in rows if row not in going)))
    if going and not (yes or _is_sure(going)):
        raise StorageError("nothing was deleted")
    done = deleting.delete(folder, going)
    stay = len(rows) - done.segments
    stayed = f"; {stay} stay: they are locked, or still grow" if stay else ""
    typer.echo(f"{done.segments} deleted, {done.bytes / GB:.3f} GB{stayed}")


def _say(found: Sequence[Finding], as_json: bool) -> None:
    if as_json:
        kinds = {"problems": True, "notes": False}
        print_json(
            {
                name: [{"path": each.path, "text": each.text} for each in found if each.is_problem is kind]
                for name, kind in kinds.items()
            }
        )
        return
    tables = [
        (title, ("path", "what"), [(each.path, each.text) for each in found if each.is_problem is kind])
        for title, kind in (("problem", True), ("note", False))
    ]
    print_tables(each for each in tables if each[2])


def _chosen(folder: Path, paths: Sequence[Path] | None, asked: Query, every: bool) -> list[SegmentRow]:
    """The recordings that are meant. Raises `ConfigError` where nothing says which."""
    if bool(paths) + (asked != Query()) + every != 1:
        raise ConfigError("say which: paths, or options such as --camera and --to, or --all alone")
    with catalog_of(folder, asked, files=False) as catalog:
        if not paths:
            return catalog.segments(asked)
        named = [(path, catalog.segment(_below(folder, path))) for path in paths]
    for path, known in named:
        if known is None:
            raise ConfigError(f"{path} is no recording in {folder}: see mesh recordings list {folder}")
    return [known.row for _, known in named if known is not None]


def _below(folder: Path, path: Path) -> str:
    """A path, given from the folder or from where the command runs, as the index has it."""
    video = path.with_suffix(".mkv")
    root = folder.resolve()
    there = (each.resolve() for each in (folder / video, video) if each.exists())
    return str(next((each.relative_to(root) for each in there if each.is_relative_to(root)), video))


def _why_not(folder: Path, row: SegmentRow) -> str:
    if (folder / row.path).with_suffix(LOCKED).exists():
        return f"{row.path} is locked: mesh recordings unlock {folder} {row.path}"
    return f"{row.path} is still open: it can go once its collector has ended it"


def _is_sure(going: Sequence[SegmentRow]) -> bool:
    """Raises `ConfigError` where there is nobody to ask."""
    if not sys.stdin.isatty():
        raise ConfigError("there is no terminal to ask at: say --yes")
    size = sum(row.bytes for row in going) / GB
    try:
        return typer.confirm(f"Delete {len(going)} recordings ({size:.3f} GB) for good?", err=True)
    except typer.Abort:
        raise KeyboardInterrupt from None
