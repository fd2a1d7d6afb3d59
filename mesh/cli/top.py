"""`mesh top`: what goes on in a mesh, as it goes on."""

import logging
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from mesh.cli.log import set_up
from mesh.cli.options import AsJson, LogJson, LogLevel, RegistryUrl
from mesh.cli.output import print_json, print_tables
from mesh.cli.pointing import connect
from mesh.errors import ConfigError
from mesh.scope import Scope


def top(
    registry: RegistryUrl = None,
    interval: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, help="From one look to the next.")
    ] = 1.0,
    sort: Annotated[
        str, typer.Option(metavar="COLUMN", help="Sort tables that have it by this column.")
    ] = "",
    text: Annotated[
        str, typer.Option("--filter", metavar="TEXT", help="Show only rows that have this in a column.")
    ] = "",
    once: Annotated[bool, typer.Option("--once", help="Print one look, and end.")] = False,
    as_json: AsJson = False,
    log_level: LogLevel = "warning",
    log_json: LogJson = False,
) -> None:
    """Watch nodes, cameras and groups: frames per second, ages, drops by cause, CPU, memory, who has what.

    ? shows the keys. --once prints tables, --once --json an object for scripts.
    """
    from mesh.top.columns import check_column

    sort = check_column(sort) if sort else ""
    if once:
        set_up(log_level, log_json)
        _print_once(registry, interval, sort, text, as_json)
        return
    if as_json:
        raise ConfigError("--json goes with --once")
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise ConfigError("mesh top needs a terminal: give --once for one look, with --json for a script")
    logging.getLogger().addHandler(logging.NullHandler())  # what is logged would be written into the picture
    from mesh.top.screen import run

    with connect(registry, timeout=2.0) as mesh:
        raise typer.Exit(run(mesh, interval_s=interval, sort=sort, text=text))


def _print_once(registry: str | None, interval: float, sort: str, text: str, as_json: bool) -> None:
    from mesh.top.columns import TABLES, text_tables
    from mesh.top.watching import two_looks

    with connect(registry) as mesh, Scope("top") as scope:
        board = two_looks(mesh, scope, interval)
    if not as_json:
        print_tables(text_tables(board, sort, text))
        return
    tables = {table.name: list(map(asdict, table.ordered(board, sort, text=text))) for table in TABLES}
    print_json({"at_ns": board.at_ns, **tables})
