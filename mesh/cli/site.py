"""`mesh up`, `mesh reload` and `mesh config`: a whole site from one file."""

import os
import sys
from importlib.resources import files
from pathlib import Path
from typing import Annotated, TextIO, cast

import typer

from mesh.cli.checks import LocalChecks, NodeChecks
from mesh.cli.log import set_up
from mesh.cli.options import LogJson, LogLevel
from mesh.cli.output import print_tables
from mesh.cli.pointing import DEFAULT_FILE
from mesh.control import ask_at
from mesh.errors import ConfigError, MeshError, StorageError
from mesh.site.here import parts_here
from mesh.site.local import wrong_here
from mesh.site.output import Lines, Output
from mesh.site.parts import Plan, plan
from mesh.site.problems import SiteError, printable
from mesh.site.reading import Site, read_site
from mesh.site.running import Running, running
from mesh.site.up import RELOAD, Up

ANSWER_WITHIN_S = 30.0  # of two reloads, each with processors that take their time to be loaded

app = typer.Typer(help="Write a site's file, and check it.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(metavar="FILE", help="The site's file.")]
State = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Where the registry's configuration, spools and the like are kept; else .mesh beside the file.",
    ),
]
Only = Annotated[
    list[str] | None,
    typer.Option(
        metavar="WHAT",
        help="Run a part of the site: KIND (registry, capture, process, collect), KIND@DEVICE, @DEVICE, or "
        "one process by name; once for each.",
    ),
]


def up(
    file: File = DEFAULT_FILE,
    only: Only = None,
    state: State = None,
    log_level: LogLevel = "info",
    log_json: LogJson = False,
) -> None:
    """Run a whole site from one file: registry, capture, processors, collectors; until Ctrl-C or SIGTERM.

    What dies is started again. SIGHUP, or `mesh reload`, has the file read again: what differs is changed,
    and all else goes on.
    """
    set_up(log_level, log_json)
    stream = sys.stderr or open(os.devnull, "w")  # noqa: SIM115 - it is this process's for good
    output = Output(stream, as_json=log_json)
    chosen = tuple(only or ())
    more = ("--log-level", log_level, *(("--log-json",) if log_json else ()))
    path = _absolute(file)  # also when the working directory is made anew
    site = Up(
        lambda: read_site(path, NodeChecks()), state_of(file, state), chosen, output, LocalChecks(), more=more
    )
    set_up(log_level, log_json, cast(TextIO, Lines(output, "up")))
    try:
        code = site.run()
    finally:
        set_up(log_level, log_json)
    raise typer.Exit(code)


def reload(
    file: File = DEFAULT_FILE,
    state: State = None,
    log_level: LogLevel = "warning",
    log_json: LogJson = False,
) -> None:
    """Have a site that runs here read its file again, and change what differs."""
    set_up(log_level, log_json)
    folder = state_of(file, state)
    found = list(running(folder, file))
    if not found:
        read_site(file, NodeChecks())
        raise MeshError(f"no `mesh up {file}` runs on this machine: start it, or say --state as it was told")
    failures = [failure for each in found if (failure := _reloaded(each, folder)) is not None]
    for failure in failures[:-1]:
        typer.echo(f"mesh: {failure}", err=True)
    if failures:
        raise failures[-1]


def _reloaded(site: Running, state: Path) -> MeshError | None:
    """Have one read its file again, and say what it changes; why it does not."""
    reply = ask_at(site.endpoint, RELOAD, timeout=ANSWER_WITHIN_S)
    if reply is None:
        if site.pid not in {each.pid for each in running(state, Path(site.file))}:
            return MeshError(f"{site} has ended meanwhile: start it again")
        return MeshError(
            f"{site} did not answer within {ANSWER_WITHIN_S:g} s; see what it says, and what runs"
        )
    if not reply.ok:
        return ConfigError(f"{reply.value}; all goes on as it was ({site})")
    if reply.value.get("stopping"):
        return MeshError(f"{site} is stopping: start it again once it has ended")
    typer.echo(f"{site}: {reply.value['changes']}")
    return None


@app.command("check")
def check(
    file: File = DEFAULT_FILE,
    only: Only = None,
    state: State = None,
    log_level: LogLevel = "warning",
    log_json: LogJson = False,
) -> None:
    """Say everything that is wrong with a site's file, by line and key; else what `mesh up` would run.

    What is right, and could not run on this machine (a file of secrets that is not there, say), is a warning,
    as the file may be another machine's; `mesh reload` refuses it.
    """
    set_up(log_level, log_json)
    try:
        site = read_site(file, NodeChecks())
        made = plan(site, state_of(file, state), tuple(only or ()))
    except SiteError as error:
        for problem in error.problems[:-1]:
            typer.echo(f"mesh: {problem}", err=True)
        raise SiteError(error.problems[-1:]) from None
    here = site.told(wrong_here(site, parts_here(made), LocalChecks()))
    for told in (*site.doubts, *(f"on this machine: {each}" for each in here)):
        typer.echo(f"mesh: warning: {told}", err=True)
    but = ", but could not run here as it is" if here else ""
    typer.echo(f"{printable(str(file))} is right{but}: {_counted(site, made)}")
    rows = [
        (p.name, p.device or "here", printable(" ".join(["mesh", *p.arguments]))) for p in made.parts.values()
    ]
    print_tables([("processes", ("process", "device", "command"), rows)])


@app.command("init")
def init(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Where to write it; else to stdout.")
    ] = None,
) -> None:
    """Write a commented example of a site's file, which runs as it is: `mesh config init > mesh.toml`."""
    text = files("mesh.site").joinpath("example.toml").read_text(encoding="utf-8")
    if file is None:
        sys.stdout.write(text)
        return
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except FileExistsError:
        raise ConfigError(f"{file} is there already: nothing was written") from None
    except OSError as error:
        raise StorageError(f"cannot write {file}: {error.strerror}") from error
    name = printable(str(file))
    typer.echo(f"{name} is written: edit it, then `mesh up {name}`")


def state_of(file: Path, state: Path | None) -> Path:
    """Where `mesh up` keeps its own: beside the file, for each file apart."""
    own = ".mesh" if file.stem == DEFAULT_FILE.stem else f".mesh-{file.stem}"
    return _absolute(state or _absolute(file).parent / own)


def _absolute(path: Path) -> Path:
    try:
        return path.absolute()
    except OSError as error:
        raise ConfigError(
            f"the working directory is gone: change to another one ({error.strerror})"
        ) from error


def _counted(site: Site, made: Plan) -> str:
    counts = {
        "camera": len(site.cameras),
        "process": len(made.parts),
        "device": max(1, len(site.file.devices)),
    }
    plurals = {"camera": "cameras", "process": "processes", "device": "devices"}
    return ", ".join(f"{count} {word if count == 1 else plurals[word]}" for word, count in counts.items())
