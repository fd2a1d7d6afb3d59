"""`mesh doctor`: what is wrong with this machine and the site that it belongs to, and what to do."""

import os
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from mesh.cli.log import set_up
from mesh.cli.options import AsJson, LogJson, LogLevel, RegistryUrl, state_folder
from mesh.cli.output import print_json
from mesh.client import registry_url
from mesh.doctor import Asked, Finding, Level, Pointed, examine, gather, verdict, worst

SHOWN_OK = 12  # of each check: a large site is not drowned in what is well; --json has it all
WORDS = {Level.FAILED: "FAILED"}
STYLES = {Level.OK: "green", Level.NOTE: "cyan", Level.WARNING: "yellow", Level.FAILED: "bold red"}


def doctor(
    registry: RegistryUrl = None,
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
    log_level: LogLevel = "error",
    log_json: LogJson = False,
) -> None:
    """Say what is wrong here and at the whole site, and what to do about it. It changes nothing.

    Checks versions, registry, nodes, the reachability of each advertised address, clocks, keys, disk,
    permissions, cameras and resources. 1 is the exit code when something has failed.
    """
    set_up(log_level, log_json)
    from nodes.capture.secrets import has_secret, read_secrets
    from nodes.capture.sources.container import ffmpeg_version

    url = registry_url(registry)
    pointed = Pointed(url, registry is not None, os.environ.get("MESH_REGISTRY", ""))
    spool = state_folder("spool")
    folders = [("spool", spool)] if spool is not None else []
    folders += [("recordings", path) for path in into or ()]
    asked = Asked(pointed, timeout, folders, tuple(secrets or ()), has_secret, read_secrets, ffmpeg_version())
    findings = examine(gather(asked))
    if as_json:
        print_json({"findings": [finding.value() for finding in findings], "worst": worst(findings).value})
    else:
        _print(findings)
    raise typer.Exit(1 if worst(findings) is Level.FAILED else 0)


def _print(findings: Sequence[Finding]) -> None:
    """Lines, in colour on a terminal: a level, the check, and what was found; below it what to do."""
    console = Console(highlight=False, soft_wrap=True)
    for line in _lines(findings):
        console.print(line)
    console.print(Text(verdict(findings), style=f"bold {STYLES[worst(findings)]}"))


def _lines(findings: Sequence[Finding]) -> Iterator[Text]:
    for check, group in groupby(findings, lambda finding: finding.check):
        told = list(group)
        well = [finding for finding in told if finding.level is Level.OK]
        for finding in told:
            if finding not in well[SHOWN_OK:]:
                yield from _told(finding)
        if more := len(well[SHOWN_OK:]):
            yield _line(Level.OK, check, f"and {more} more are well")


def _told(finding: Finding) -> Iterator[Text]:
    yield _line(finding.level, finding.check, f"{finding.subject}: {finding.found}")
    if finding.do:
        yield Text(f"{'':21}-> {finding.do}")


def _line(level: Level, check: str, text: str) -> Text:
    return Text.assemble((f"{WORDS.get(level, level.value):7}", STYLES[level]), f"  {check:11} {text}")
