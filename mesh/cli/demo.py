"""`mesh demo`: run a whole mesh on this machine, and show what it does."""

import signal
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.live import Live

from mesh.cli.log import set_up
from mesh.cli.options import LogJson, LogLevel
from mesh.cli.output import is_terminal, print_tables, table
from mesh.demo.run import Outcome, Show, run_demo
from mesh.demo.watch import COLUMNS


def demo(
    seconds: Annotated[
        float | None, typer.Option(metavar="N", min=1, help="End after so long; else with Ctrl-C.")
    ] = None,
    video: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A video file as a third camera.")
    ] = None,
    into: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where recordings, stills and logs go; else demo/TIME.")
    ] = None,
    log_level: LogLevel = "warning",
    log_json: LogJson = False,
) -> None:
    """Run a registry, two synthetic cameras, a chain of two processors and a collector, as real processes."""
    set_up(log_level, log_json)
    signal.signal(signal.SIGTERM, _terminated)
    folder = into or Path("demo") / datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S")
    if is_terminal():
        with Live(auto_refresh=False) as live:
            outcome = run_demo(folder, seconds, video, _drawn(live))
    else:
        outcome = run_demo(folder, seconds, video, lambda rows: print_tables([("demo", COLUMNS, rows)]))
    for line in summary_lines(outcome, folder):
        typer.echo(line)
    raise typer.Exit(130 if outcome.interrupted else 0)


def _terminated(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)  # what was started is ended on the way out


def _drawn(live: Live) -> Show:
    return lambda rows: live.update(table("mesh demo (Ctrl-C ends it)", COLUMNS, rows), refresh=True)


def summary_lines(outcome: Outcome, folder: Path) -> list[str]:
    """What the demo says at its end."""
    lines = [""]
    for name in outcome.cameras:
        camera = outcome.summary["cameras"].get(name)
        if camera is None:
            lines.append(f"{name}: no frames were captured; see {folder / 'logs'}")
            continue
        lines.append(
            f"{name}: captured {camera['captured']}, recorded {sum(camera['recorded'].values())}, "
            f"unaccounted {camera['unaccounted']}"
        )
        for group, count in camera["groups"].items():
            dropped = ", ".join(f"{n} {cause}" for cause, n in count["dropped"].items()) or "0"
            lines.append(
                f"  {group}: processed {count['processed']} of {count['offered']}, "
                f"dropped {dropped}, lost {count['lost']}"
            )
        found = ", ".join(f"{n} {label}" for label, n in outcome.detections.get(name, {}).items())
        lines.append(f"  detections: {found or 'none'}")
        if name in outcome.recalls:
            recall = outcome.recalls[name]
            lines.append(
                f"  motion recall against the truth: {recall.share:.1%} ({recall.found} of {recall.objects})"
            )
    files = [file for recorded in outcome.recordings.values() for file in recorded]
    lines += ["", f"recordings: {folder / 'recordings'} ({len(files)} files)"]
    if files:
        lines.append(f"play one:   vlc {files[0]}    (or ffplay, mpv)")
    lines += [f"stills:     {' '.join(map(str, outcome.stills)) or 'none'}", f"logs:       {folder / 'logs'}"]
    return lines
