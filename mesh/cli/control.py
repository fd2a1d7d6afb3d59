"""`mesh ctl NODE drain|status`: ask a running node to do something."""

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from mesh.cli.log import set_up
from mesh.cli.options import AsJson, LogJson, LogLevel, RegistryUrl
from mesh.cli.output import print_json, print_tables
from mesh.client import Mesh, connect
from mesh.control import ask, await_retired
from mesh.errors import ConfigError, MeshError, TransportError
from mesh.place import this_place
from mesh.registry.records import NodeRecord, NodeState, StatsRecord

ANSWER_WITHIN_S = 5.0


class NodeFirst(TyperGroup):
    """Says how it is written when the operation comes before the node."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # of click, or of typer's own copy of it
        first, then = str(ctx.params.get("node")), args[0]
        if first in self.commands and then not in self.commands:
            raise ConfigError(f"the node comes first: write `mesh ctl {then} {first}`")
        return super().resolve_command(ctx, args)


app = typer.Typer(cls=NodeFirst, no_args_is_help=True)

Timeout = Annotated[
    float, typer.Option(metavar="SECONDS", min=0.1, help="How long to wait, for an answer 5 s at most.")
]


@app.callback()
def ctl(
    context: typer.Context,
    node: Annotated[str, typer.Argument(metavar="NODE", help="The node's name, as in mesh ls.")],
) -> None:
    """Ask a running node to do something."""
    context.obj = node


@app.command()
def drain(
    context: typer.Context,
    wait: Annotated[bool, typer.Option(help="Return when the node has ended.")] = True,
    timeout: Timeout = 30.0,
    registry: RegistryUrl = None,
    log_level: LogLevel = "warning",
    log_json: LogJson = False,
) -> None:
    """Have the node take in no more, finish, deliver, and end."""
    set_up(log_level, log_json)
    with connect(registry) as mesh:
        node = running_node(mesh, context.obj)
        _ask(node, "drain", timeout)
        if wait and not await_retired(mesh.registry, node, timeout):
            raise TransportError(
                f"node {node.id!r} drains, but has not said within {timeout:g} s that it ended"
            )
    sys.stdout.write(f"{node.id} {'has drained' if wait else 'is draining'}\n")


@app.command()
def status(
    context: typer.Context,
    as_json: AsJson = False,
    timeout: Timeout = ANSWER_WITHIN_S,
    registry: RegistryUrl = None,
    log_level: LogLevel = "warning",
    log_json: LogJson = False,
) -> None:
    """Have the node itself say how it is."""
    set_up(log_level, log_json)
    with connect(registry) as mesh:
        answer = _ask(running_node(mesh, context.obj), "status", timeout)
    if as_json:
        print_json(answer)
    else:
        print_tables([(context.obj, ("what", "is"), list(answer.items()))])


def running_node(mesh: Mesh, name: str) -> NodeRecord:
    """The record of a node that has not ended. Raises `MeshError` that says what became of it, or names those
    there are."""
    nodes = {node.id: node for node in mesh.nodes()}
    if name in nodes and nodes[name].state is not NodeState.ENDED:
        return nodes[name]
    if name in nodes:
        raise MeshError(f"node {name!r} has ended")
    if any(StatsRecord.of(entry).node == name for entry in mesh.registry.list(f"stats/{name}/")):
        raise MeshError(f"node {name!r} is not heard of any more: it was killed, hangs, or lost the registry")
    there = sorted(node.id for node in nodes.values() if node.state is not NodeState.ENDED)
    raise MeshError(
        f"no node named {name!r}: " + (f"there are {', '.join(there)}" if there else "there is none")
    )


def _ask(node: NodeRecord, operation: str, timeout: float) -> Any:
    return ask(node, operation, here=this_place(), timeout=min(timeout, ANSWER_WITHIN_S))
