"""`mesh doctor`: what is wrong with this machine and the site that it belongs to, and what to do."""

import os
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mesh.cli.checks import NodeChecks
from mesh.cli.log import set_up
from mesh.cli.options import AsJson, LogJson, LogLevel, state_folder
from mesh.cli.output import is_terminal, print_json
from mesh.cli.pointing import DEFAULT_FILE, is_there
from mesh.cli.site import State, state_of
from mesh.client import registry_url
from mesh.control import ask_at
from mesh.doctor import (
    Asked,
    Finding,
    Level,
    Part,
    Pointed,
    Process,
    UpSeen,
    Written,
    examine,
    gather,
    verdict,
    worst,
)
from mesh.errors import ConfigError, MeshError
from mesh.site.parts import plan
from mesh.site.problems import SiteError
from mesh.site.reading import Site, read_site
from mesh.site.running import Running, running
from mesh.site.up import STATUS

SHOWN_OK = 12  # of each check: a large site is not drowned in what is well; --json has it all
STYLES = {"ok": "green", "note": "cyan", "warning": "yellow", "FAILED": "bold red"}
SCHEMES = ("tcp://", "etcd://", "file:", "memory:")


def doctor(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="The site's file; else mesh.toml, if it is there.")
    ] = None,
    registry: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="The registry; else the file's, else MESH_REGISTRY, else tcp://127.0.0.1:7700.",
        ),
    ] = None,
    as_json: AsJson = False,
    timeout: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=0.1, help="How long to wait for each thing that may not answer."),
    ] = 3.0,
    into: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="A folder for recordings on this machine; once for each."),
    ] = None,
    secrets: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="A file of cameras' passwords on this machine; once for each."),
    ] = None,
    state: State = None,
    log_level: LogLevel = "error",
    log_json: LogJson = False,
) -> None:
    """Say what is wrong here and at the whole site, and what to do about it. It changes nothing.

    Checks the site's file, versions, registry, nodes, the reachability of each advertised address, clocks,
    keys, disk, permissions, cameras, the ledger, forwarding and resources. 1 is the exit code when something
    has failed.
    """
    set_up(log_level, log_json)
    from nodes.capture.sources.container import ffmpeg_version
    from nodes.secrets import has_secret, read_secrets

    if registry is not None and not registry.startswith(SCHEMES):
        raise ConfigError(f"--registry {registry!r} is no address: it begins with {', '.join(SCHEMES)}")
    written, site = _written(file, state, timeout)
    named = registry or (site.file.registry_url if site is not None else None)
    by = "--registry" if registry else str(written.path) if site is not None and written is not None else ""
    pointed = Pointed(registry_url(named), by, os.environ.get("MESH_REGISTRY", ""))
    spool = state_of(written.path, state) / "spool" if written is not None else state_folder("spool")
    folders = [("spool", spool)] if spool is not None else []
    folders += [("recordings", path) for path in into or ()]
    files = tuple(secrets or ())
    asked = Asked(pointed, timeout, folders, files, has_secret, read_secrets, ffmpeg_version(), written)
    findings = examine(gather(asked))
    if as_json:
        print_json({"findings": [finding.value() for finding in findings], "worst": worst(findings).value})
    else:
        _print(findings)
    raise typer.Exit(1 if worst(findings) is Level.FAILED else 0)


def _print(findings: Sequence[Finding]) -> None:
    """A line for each finding, and one for what to do about it; then the verdict. On a terminal in colour,
    and folded to its width."""
    if not is_terminal():
        for level, check, text in _rows(findings):
            sys.stdout.write(f"{level:8} {check:11} {text}\n")
        sys.stdout.write(f"{verdict(findings)}\n")
        return
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True, min_width=8)
    grid.add_column(no_wrap=True, min_width=11)
    grid.add_column(overflow="fold")
    for level, check, text in _rows(findings):
        grid.add_row(Text(level, STYLES.get(level, "")), check, Text(text))
    console = Console(highlight=False)
    console.print(grid)
    console.print(Text(verdict(findings), f"bold {STYLES[_word(worst(findings))]}"))


def _rows(findings: Sequence[Finding]) -> Iterator[tuple[str, str, str]]:
    """Level, check and text of each line; those of what to do have the text alone."""
    for check, group in groupby(findings, lambda finding: finding.check):
        well = 0
        for finding in group:
            well += finding.level is Level.OK
            if finding.level is not Level.OK or well <= SHOWN_OK:
                yield _word(finding.level), check, f"{finding.subject}: {finding.found}"
            if finding.do:
                yield "", "", f"-> {finding.do}"
        if well > SHOWN_OK:
            yield _word(Level.OK), check, f"and {well - SHOWN_OK} more"


def _word(level: Level) -> str:
    return "FAILED" if level is Level.FAILED else level.value


def _written(file: Path | None, state: Path | None, timeout: float) -> tuple[Written | None, Site | None]:
    """A site's file as `mesh doctor` looks at it: the one that was named, or the usual one if it is there."""
    from nodes.secrets import has_secret

    if file is None and not is_there(DEFAULT_FILE):
        return None, None
    path = file or DEFAULT_FILE
    site: Site | None = None
    problems: tuple[str, ...] = ()
    mode = stat.S_IMODE(path.stat().st_mode) if is_there(path) else 0o600
    try:
        site = read_site(path, NodeChecks())
    except SiteError as error:
        problems = error.problems
    passwords = site is not None and any(has_secret(camera.url) for camera in site.cameras)
    ups = tuple(_seen(each, timeout) for each in running(state_of(path, state), path))
    written = Written(path, problems, mode, passwords, ups)
    if site is None:
        return written, None
    planned = plan(site, state_of(path, state))
    parts = {name: Part(part.kind, part.device) for name, part in planned.parts.items()}
    return replace(written, registry=planned.registry, parts=parts), site


def _seen(each: Running, timeout: float) -> UpSeen:
    try:
        reply = ask_at(each.endpoint, STATUS, timeout=timeout)
    except MeshError:  # somebody else listens there
        reply = None
    if reply is None or not reply.ok:
        return UpSeen(str(each), each.pid, None)
    return UpSeen(str(each), each.pid, tuple(Process(**process) for process in reply.value["processes"]))
