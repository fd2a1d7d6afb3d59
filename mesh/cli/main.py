"""The command `mesh`, and how every failure leaves it: one line on stderr, and an exit code.

0 done; 1 it failed; 2 the command line or a configuration is wrong; 130 on Ctrl-C.
"""

import sys

import typer

from mesh.cli import (
    bench,
    cameras,
    control,
    demo,
    doctor,
    listing,
    node,
    recordings,
    registry,
    site,
    statistics,
    top,
    trace,
    viewing,
)
from mesh.cli.leash import obey
from mesh.cli.log import say_error
from mesh.errors import MeshError
from mesh.presence import this_version

EXIT_INTERRUPTED = 130

app = typer.Typer(
    name="mesh",
    help="A broker-less mesh for camera frames.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("up")(site.up)
app.command("reload")(site.reload)
app.add_typer(site.app, name="config")
app.command("registry")(registry.registry)
app.add_typer(node.app, name="node")
app.add_typer(cameras.app, name="camera")
app.add_typer(control.app, name="ctl")
app.command("ls")(listing.ls)
app.command("stats")(statistics.stats)
app.command("top")(top.top)
app.command("trace")(trace.trace)
app.command("doctor")(doctor.doctor)
app.add_typer(recordings.app, name="recordings")
app.command("view")(viewing.view)
app.command("snapshot")(viewing.snapshot)
app.command("demo")(demo.demo)
app.command("bench", help=bench.HELP)(bench.bench)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(f"mesh {this_version()}")


def main() -> None:
    """Run the command line and exit."""
    obey()
    try:
        app()
    except MeshError as error:
        say_error(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of a pipe left; there is nobody to tell
        sys.exit(1)
