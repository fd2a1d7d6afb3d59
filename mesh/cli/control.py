"""`mesh ctl NODE|CAMERA …`: ask a running node, or a camera, to do something."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from mesh.cli.answers import UNSET, holds, plain, status_rows
from mesh.cli.log import set_up
from mesh.cli.options import AsJson, LogJson, LogLevel, RegistryUrl
from mesh.cli.output import print_json, print_tables
from mesh.cli.pointing import connect
from mesh.cli.viewing import save_bytes
from mesh.control import await_retired
from mesh.errors import ConfigError, TransportError
from mesh.orders import ANSWER_WITHIN_S, SNAPSHOT_WITHIN_S, Done, order, setup_of
from mesh.registry.records import NodeRecord

STDOUT = Path("-")


class NameFirst(TyperGroup):
    """Says how it is written when the operation comes before the name."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # of click, or of typer's own copy of it
        first, then = str(ctx.params.get("name")), args[0]
        if first in self.commands and then not in self.commands:
            raise ConfigError(f"the name comes first: write `mesh ctl {then} {first}`")
        return super().resolve_command(ctx, args)


app = typer.Typer(cls=NameFirst, no_args_is_help=True)

Timeout = Annotated[
    float, typer.Option(metavar="SECONDS", min=0.1, help="How long to wait for the node's answer.")
]
TimeoutOfEnd = Annotated[
    float,
    typer.Option(
        metavar="SECONDS", min=0.1, help="How long to wait until it has ended; 5 s at most for its answer."
    ),
]
Wait = Annotated[bool, typer.Option(help="Return when the node has ended.")]


@app.callback()
def ctl(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            metavar="NODE|CAMERA",
            help="A node or a camera, as in mesh ls; node:NAME or camera:NAME where it could be either.",
        ),
    ],
) -> None:
    """Ask a running node, or a camera of one, to do something. The node itself answers.

    The name comes first: mesh ctl door pause
    """
    context.obj = name


@app.command()
def status(
    context: typer.Context,
    as_json: AsJson = False,
    timeout: Timeout = ANSWER_WITHIN_S,
    registry: RegistryUrl = None,
    log_level: LogLevel = "warning",
    log_json: LogJson = False,
) -> None:
    """Have the node itself say how it, or its camera, is."""
    set_up(log_level, log_json)
    value = _ordered(registry, context.obj, "status", {}, timeout).answer.value
    if as_json:
        print_json(value)
    else:
        print_tables([(context.obj, ("what", "is"), status_rows(value))])


@app.command()
def pause(
    context: typer.Context,
    timeout: Timeout = ANSWER_WITHIN_S,
    registry: RegistryUrl = None,
    log_level: LogLevel = "warning",
    log_json: LogJson = False,
) -> None:
    """Have it rest until it is resumed.

    A camera is closed (a file is held where it is). That of a configured camera is kept in its configuration:
    it stays paused on whatever node it is. A capture node pauses the cameras that it has now, a process node
    takes up no frames, and a collect node records nothing: results wait at their senders.
    """
    set_up(log_level, log_json)
    _say(_rested(_ordered(registry, context.obj, "pause", {}, timeout), "paused"))


@app.command()
def resume(
    context: typer.Context,
    timeout: Timeout = ANSWER_WITHIN_S,
    registry: RegistryUrl = None,
    log_level: LogLevel = "warning",
    log_json: LogJson = False,
) -> None:
    """Have it go on after a pause."""
    set_up(log_level, log_json)
    _say(_rested(_ordered(registry, context.obj, "resume", {}, timeout), "resumed"))


@app.command()
def snapshot(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE.jpg|-", help="Where to save it; - is stdout.")],
    timeout: Timeout = SNAPSHOT_WITHIN_S,
    registry: RegistryUrl = None,
    log_level: LogLevel = "warning",
    log_json: LogJson = False,
) -> None:
    """Save a camera's next picture. One that is paused is opened for it, and closed again."""
    set_up(log_level, log_json)
    if file != STDOUT and file.suffix.lower() not in (".jpg", ".jpeg"):
        raise ConfigError(f"{file}: a picture's name ends in .jpg, or is - for stdout")
    answer = _ordered(registry, context.obj, "snapshot", {}, timeout).answer
    value, jpeg = answer.value, bytes(answer.payload)
    line = f"{value['width']}x{value['height']}, {len(jpeg)} bytes, of camera {value['camera']}"
    if file == STDOUT:
        sys.stdout.buffer.write(jpeg)
        sys.stdout.buffer.flush()
        sys.stderr.write(f"{line}\n")
        return
    save_bytes(file, jpeg)
    _say(f"{file}: {line}")


@app.command("set")
def set_(
    context: typer.Context,
    settings: Annotated[list[str], typer.Argument(metavar="NAME=VALUE…", help="Such as fps=5 quality=70.")],
    timeout: Timeout = ANSWER_WITHIN_S,
    registry: RegistryUrl = None,
    log_level: LogLevel = "warning",
    log_json: LogJson = False,
) -> None:
    """Change settings while it runs; a camera is not opened anew.

    Of a camera, or of all that a capture node has: fps (none: as the source gives them) and quality. Of a
    process node: quality and max_age (none: as usual).

    Nothing is kept of it: it holds until the node ends, and for a camera until another node has it or it is
    configured otherwise. `mesh camera set NAME --fps 5` is for good.
    """
    set_up(log_level, log_json)
    given = dict(map(_setting, settings))
    with connect(registry) as mesh:
        done = order(mesh.registry, context.obj, "set", given, timeout=timeout)
        setup = setup_of(mesh.registry, done.target)
    _say(f"{context.obj}: {plain(done.answer.value)}; {holds(done, setup, given)}")


@app.command()
def drain(
    context: typer.Context,
    wait: Wait = True,
    timeout: TimeoutOfEnd = 30.0,
    registry: RegistryUrl = None,
    log_level: LogLevel = "warning",
    log_json: LogJson = False,
) -> None:
    """Have a node take in no more, hand over, finish, deliver, and end."""
    set_up(log_level, log_json)
    _end(registry, context.obj, "drain", ("drains", "has drained", "is draining"), timeout, wait)


@app.command()
def stop(
    context: typer.Context,
    wait: Wait = True,
    timeout: TimeoutOfEnd = 30.0,
    registry: RegistryUrl = None,
    log_level: LogLevel = "warning",
    log_json: LogJson = False,
) -> None:
    """Have a node end at once.

    Nothing is handed over, and no delivery waited for. What a process node has not delivered goes to its
    spool.
    """
    set_up(log_level, log_json)
    _end(registry, context.obj, "stop", ("stops", "has stopped", "is stopping"), timeout, wait)


def _ordered(
    registry: str | None, name: str, operation: str, arguments: Mapping[str, Any], timeout: float
) -> Done:
    with connect(registry) as mesh:
        return order(mesh.registry, name, operation, arguments, timeout=timeout)


def _end(
    registry: str | None, name: str, operation: str, told: tuple[str, str, str], timeout: float, wait: bool
) -> None:
    does, done, doing = told
    with connect(registry) as mesh:
        ordered = order(mesh.registry, name, operation, timeout=min(timeout, ANSWER_WITHIN_S))
        node: NodeRecord | None = ordered.target.node
        if wait and node is not None and not await_retired(mesh.registry, node, timeout):
            raise TransportError(
                f"node {node.id!r} {does}, but has not said within {timeout:g} s that it ended"
            )
    _say(f"{ordered.node} {done if wait else doing}")


def _rested(done: Done, became: str) -> str:
    """What to say of a pause, or of its end."""
    name = done.target.name
    if not done.target.camera:
        cameras = done.answer.value.get(became)
        return f"{name} is {became}" + (f": {', '.join(cameras)}" if cameras else "")
    if not done.node:
        return f"camera {name} is {became} in its configuration; nobody captures it now: {done.target.why}"
    return f"camera {name} is {became}" + (", and stays so on any node" if done.kept else "")


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ConfigError(f"{text!r} is not NAME=VALUE, such as fps=5")
    return name, _value(value)


def _value(text: str) -> int | float | str | None:
    """A number where it is one, None for `none`; the node says what it takes."""
    if text == UNSET:
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
