"""The command `mesh`, and how every failure leaves it: one line on stderr, and an exit code.

0 done; 1 it failed; 2 the command line or a configuration is wrong; 130 on Ctrl-C.
"""

import os
import sys
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from mesh.cli.log import say_error
from mesh.cli.stdout import let_go, take_over
from mesh.errors import MeshError
from mesh.site.leash import obey

EXIT_INTERRUPTED = 130
# What libraries read from the environment, unless the user says: read when they are loaded, later than here.
# RES_OPTIONS: how the C library looks up a host's name. Nobody can end that, and where the network is away it
# takes ten seconds for each server of names, by itself, for which no node could stop.
# OPENBLAS_NUM_THREADS: numpy's threads for linear algebra, of which nothing here makes use. To make them
# takes every process 0.24 s of CPU (two cores), a third of its start.
ENVIRONMENT = {"RES_OPTIONS": "timeout:2 attempts:1", "OPENBLAS_NUM_THREADS": "1"}

# Where each command is: a function, or an app with commands of its own. It is imported when it is called: a
# node is a process, and starts without what it has no use for.
COMMANDS = {
    "up": "site:up",
    "reload": "site:reload",
    "config": "site:app",
    "registry": "registry:registry",
    "node": "node:app",
    "camera": "cameras:app",
    "ctl": "control:app",
    "ls": "listing:ls",
    "stats": "statistics:stats",
    "top": "top:top",
    "trace": "trace:trace",
    "doctor": "doctor:doctor",
    "recordings": "recordings:app",
    "view": "viewing:view",
    "snapshot": "viewing:snapshot",
    "demo": "demo:demo",
    "bench": "bench:bench",
    "version": "main:version",
}


class Commands(TyperGroup):
    """The commands of `COMMANDS`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.commands = dict.fromkeys(COMMANDS)  # type: ignore[assignment]  # names, for who mistypes one

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return command(cmd_name) if cmd_name in COMMANDS else None


def command(name: str) -> Any:  # of click, or of typer's own copy of it
    """A command by its name, which is one of `COMMANDS`."""
    place, _, attribute = COMMANDS[name].partition(":")
    module = import_module(f"mesh.cli.{place}")
    found = getattr(module, attribute)
    if isinstance(found, typer.Typer):
        group = typer.main.get_group(found)
        group.name = name
        return group
    alone = typer.Typer(add_completion=False)
    alone.command(name, help=getattr(module, "HELP", None))(found)
    return typer.main.get_command(alone)


app = typer.Typer(
    name="mesh",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def mesh() -> None:
    """A broker-less mesh for camera frames."""


def version() -> None:
    """Print the version."""
    from mesh.presence import this_version

    typer.echo(f"mesh {this_version()}")


def main() -> None:
    """Run the command line and exit."""
    obey()
    take_over()
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        _run()
    except MeshError as error:
        say_error(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        sys.exit(1)  # the reader of a pipe left; there is nobody to tell
    finally:
        let_go()


def _run() -> None:
    """What a command said is written before it ends, so that a disk that is full is told."""
    try:
        app()
    except SystemExit:
        sys.stdout.flush()
        raise
