"""`mesh bench`: what the mesh costs, beside the floor, measured in the same run."""

import math
import signal
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mesh.bench.against import RIVALS, rivals
from mesh.bench.catalog import ALL, CATALOG, chosen, measured
from mesh.bench.children import BenchError
from mesh.bench.machine import this_machine
from mesh.bench.page import page
from mesh.bench.report import COLUMNS, Report, Row, cells, remark, shown_spread
from mesh.bench.setup import MAX_RUNS, MAX_SECONDS, SIZES, Setup, read_sizes, shown_sizes
from mesh.cli.log import set_up
from mesh.cli.options import AsJson, LogJson, LogLevel
from mesh.cli.output import is_terminal, print_json
from mesh.errors import ConfigError, StorageError

PIPED_WIDTH = 1_000  # no column is folded where nobody looks at it

HELP = "\n\n".join(
    [
        "Measure what the mesh costs, beside the floor of the same work, by turns in the same run.",
        *(f"{name}: {bench.what}" for name, bench in CATALOG.items()),
    ]
)


def bench(
    name: Annotated[str, typer.Argument(metavar="BENCH", help=f"One of: {', '.join((*CATALOG, ALL))}.")],
    seconds: Annotated[float, typer.Option(metavar="S", help="How long each measurement takes.")] = 2.0,
    runs: Annotated[int, typer.Option(metavar="N", help="Figures are medians of so many.")] = 5,
    sizes: Annotated[
        str, typer.Option(metavar="LIST", help="Of the pictures; what needs one size takes the first.")
    ] = shown_sizes(SIZES),
    video: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A video's pictures; else synthetic ones.")
    ] = None,
    against: Annotated[
        str,
        typer.Option(metavar="LIST", help=f"Set transport beside {', '.join(RIVALS)} (commas between)."),
    ] = "",
    into: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Record below this; else a temporary folder.")
    ] = None,
    cameras: Annotated[
        int | None, typer.Option(min=1, max=1000, help="For cameras: so many, instead of the usual cases.")
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(min=0.1, max=1000, help="For cameras: their pace; else the highest is found."),
    ] = None,
    nodes: Annotated[
        int | None, typer.Option(min=1, max=2000, help="For fleet: so many, of five cameras each; else 1000.")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the report as a page, for all benches.")
    ] = None,
    as_json: AsJson = False,
    log_level: LogLevel = "warning",
    log_json: LogJson = False,
) -> None:
    """Measure what the mesh costs, beside the floor of the same work, by turns in the same run."""
    set_up(log_level, log_json)
    signal.signal(signal.SIGTERM, _terminated)
    setup = _setup(seconds, runs, sizes, video, against)
    setup = replace(setup, into=str(_folder(into)) if into else "", cameras=cameras, fps=fps, nodes=nodes)
    names = chosen(name, setup.against)
    _check_page(name, markdown)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    report = Report(this_machine(), started=started, pictures=setup.video or "synthetic")
    for one in names:
        for row in measured(one, setup):
            report = report.with_row(row)
            _tell(row)
    if markdown is not None:
        _write(markdown, page(report))
    if as_json:
        print_json(report.as_value())
    else:
        _print_table(report)
    if failed := [row for row in report.rows if row.failed]:
        raise BenchError("; ".join(f"{row.work}: {row.failed}" for row in failed))


def _setup(seconds: float, runs: int, sizes: str, video: Path | None, against: str) -> Setup:
    if not (math.isfinite(seconds) and 0 < seconds <= MAX_SECONDS):
        raise ConfigError(f"--seconds {seconds:g}: give more than 0, and {MAX_SECONDS:g} at most")
    if not 1 <= runs <= MAX_RUNS:
        raise ConfigError(f"--runs {runs}: give 1 to {MAX_RUNS}")
    if video is not None and not video.is_file():
        raise ConfigError(f"--video {video}: no such file")
    file = str(video) if video else ""
    return Setup(seconds, runs, read_sizes(sizes), file, rivals(against) if against else ())


def _folder(into: Path) -> Path:
    if not into.is_dir():
        raise ConfigError(f"--into {into}: no such folder")
    return into.absolute()


def _check_page(name: str, markdown: Path | None) -> None:
    """Refuse what could not be written after minutes of measuring."""
    if markdown is None:
        return
    if name != ALL:
        raise ConfigError(f"--markdown is the page of all benches: mesh bench {ALL} --markdown {markdown}")
    if not markdown.parent.is_dir():
        raise ConfigError(f"--markdown {markdown}: there is no folder {markdown.parent}")


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"cannot write {file}: {error.strerror}") from error


def _terminated(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)  # what was started is ended on the way out


def _tell(row: Row) -> None:
    """Show on stderr that a row is done: a whole run takes minutes."""
    found = f"{shown_spread(row.ours)} {row.unit}" if row.ours else remark(row)
    sys.stderr.write(f"{row.work}: {row.case}: {found}\n")


def _print_table(report: Report) -> None:
    console = Console() if is_terminal() else Console(width=PIPED_WIDTH)
    machine = ", ".join(f"{name} {value}" for name, value in report.machine.items())
    console.print(machine, highlight=False)
    table = Table(title="mesh bench", title_justify="left", header_style="bold")
    for column in COLUMNS:
        table.add_column(column, overflow="fold")
    for row in report.rows:
        table.add_row(*map(Text, cells(row)))  # as Text, a bracket is a bracket
    console.print(table, highlight=False)
    for command in dict.fromkeys(row.command for row in report.rows):
        console.print(f"again: {command}", highlight=False, markup=False, soft_wrap=True)
