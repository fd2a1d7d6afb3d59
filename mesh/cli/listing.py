"""`mesh ls`: nodes, cameras and streams, once or as they change."""

import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.live import Live

from mesh import setups
from mesh.cli.log import set_up
from mesh.cli.options import AsJson, LogJson, LogLevel, RegistryUrl
from mesh.cli.output import is_terminal, print_json, print_tables, table
from mesh.cli.pointing import connect
from mesh.client import Mesh
from mesh.clock import SYSTEM_CLOCK
from mesh.errors import ConfigError
from mesh.ledger import NodeSummary
from mesh.registry import Watch
from mesh.registry.records import CameraRecord, GroupRecord, NodeRecord
from mesh.registry.setups import PREFIX, CameraSetup

Table = tuple[str, Sequence[str], Sequence[Sequence[object]]]
Tables = list[Table]

NODE_FIELDS = ("id", "kind", "group", "host", "pid", "state", "why", "inputs", "version", "place", "labels")
CAMERA_FIELDS = ("name", "source", "state", "why", "node", "codec", "width", "height", "fps")
STREAM_FIELDS = ("stage", "camera", "node", "endpoint", "local", "relay")
LOCAL = "_local"
WATCHED = ("nodes/", "cameras/", "streams/", "groups/", PREFIX)
BETWEEN_S = 0.5  # from one look to the next: many events come together
WAITING = "waiting"  # a camera that is configured, and that nobody captures


def ls(
    registry: RegistryUrl = None,
    as_json: AsJson = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on, and show every change.")] = False,
    log_level: LogLevel = "warning",
    log_json: LogJson = False,
) -> None:
    """List nodes, cameras and streams."""
    set_up(log_level, log_json)
    with connect(registry) as mesh:
        if watch and as_json:
            raise ConfigError("--watch and --json do not go together: call --json again for each look")
        if watch:
            _watch(mesh)
        elif as_json:
            print_json(listing(mesh))
        else:
            found = listing(mesh)
            print_tables([*_tables(found), _clocks(found)])


def listing(mesh: Mesh) -> dict[str, list[dict[str, Any]]]:
    """What `mesh ls --json` prints."""
    clocks = mesh.stats()["nodes"]
    nodes, cameras = mesh.nodes(), mesh.cameras()
    shares = _shares(cameras, mesh.groups())
    return {
        "nodes": [{**_node(node, clocks.get(node.id)), "has": shares[node.id]} for node in nodes],
        "cameras": [
            *(_picked(camera.value(), CAMERA_FIELDS) for camera in cameras),
            *_waiting(mesh.setups(), cameras, nodes),
        ],
        "streams": [_picked(stream.value(), STREAM_FIELDS) for stream in mesh.streams()],
    }


def _node(node: NodeRecord, clock: NodeSummary | None) -> dict[str, Any]:
    roles = {role for role in node.endpoints if not role.endswith(LOCAL)}
    return {
        **_picked(node.value(), NODE_FIELDS),
        "endpoints": {role: node.endpoints[role] for role in sorted(roles)},
        "local": {
            role: node.endpoints[role + LOCAL] for role in sorted(roles) if role + LOCAL in node.endpoints
        },
        "clock_offset_ns": clock["clock_offset_ns"] if clock else None,
        "clock_error_ns": clock["clock_error_ns"] if clock else None,
    }


def _shares(cameras: Sequence[CameraRecord], groups: Sequence[GroupRecord]) -> dict[str, list[str]]:
    """What each node has of the work that nodes share: cameras, or CAMERA/PARTITION of its group's input."""
    found: dict[str, list[str]] = defaultdict(list)
    for camera in cameras:
        found[camera.node].append(camera.name)
    for member in groups:
        found[member.node] += sorted(member.holds)
    return found


def _waiting(
    configured: Sequence[CameraSetup], cameras: Sequence[CameraRecord], nodes: Sequence[NodeRecord]
) -> list[dict[str, Any]]:
    """The configured cameras that nobody captures, as rows like the others'."""
    from nodes.secrets import shown

    why = setups.waiting(configured, cameras, nodes)
    nothing = {"node": "", "codec": "", "width": 0, "height": 0, "fps": 0.0}
    return [
        {"name": s.name, "source": shown(s.url), "state": WAITING, "why": why[s.name], **nothing}
        for s in configured
        if s.name in why
    ]


def _clocks(found: dict[str, list[dict[str, Any]]]) -> Table:
    """How far each node's wall clock is ahead of the registry's. They move all the time: `--watch` does
    without them."""
    rows = [
        (n["id"], f"{n['clock_offset_ns'] / 1e6:+.2f} ± {n['clock_error_ns'] / 1e6:.2f} ms")
        for n in found["nodes"]
        if n["clock_offset_ns"] is not None
    ]
    return "clocks", ("node", "ahead of the registry"), rows


def _picked(value: dict[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    return {name: value[name] for name in fields}


def _tables(found: dict[str, list[dict[str, Any]]]) -> Tables:
    nodes = [
        (
            n["id"],
            n["kind"],
            n["group"],
            n["host"],
            n["pid"],
            _state(n),
            len(n["has"]),
            ", ".join(endpoint for role, endpoint in n["endpoints"].items() if role != "control"),
        )
        for n in found["nodes"]
    ]
    cameras = [
        (
            c["name"],
            _state(c),
            c["node"],
            c["source"],
            c["codec"],
            f"{c['width']}x{c['height']}" if c["width"] else "",
            float(c["fps"]),
        )
        for c in found["cameras"]
    ]
    streams = [
        (s["stage"], s["camera"], s["node"], s["endpoint"], "relay" if s["relay"] else "origin")
        for s in found["streams"]
    ]
    return [
        ("nodes", ("node", "kind", "group", "host", "pid", "state", "has", "endpoints"), nodes),
        ("cameras", ("camera", "state", "node", "source", "codec", "size", "fps"), cameras),
        ("streams", ("stage", "camera", "node", "endpoint", "kind"), streams),
    ]


def _state(value: dict[str, Any]) -> str:
    return f"{value['state']}: {value['why']}" if value["why"] else str(value["state"])


def _watch(mesh: Mesh) -> None:
    if not is_terminal():
        before: set[tuple[object, ...]] = set()
        for tables in _changes(mesh):
            rows = {(title, *row) for title, _, rows in tables for row in rows}
            print_tables([("gone", (), sorted((before - rows), key=str)), ("", (), [])])
            print_tables([(str(row[0]), (), [row[1:]]) for row in sorted(rows - before, key=str)])
            before = rows
        return
    with Live(screen=False, auto_refresh=False) as live:
        for tables in _changes(mesh):
            live.update(Group(*(table(*each) for each in tables)), refresh=True)


def _changes(mesh: Mesh) -> Iterator[Tables]:
    """The tables now, and again after changes; those that came meanwhile are shown together."""
    with ExitStack() as stack:
        never = threading.Event()
        watches = [stack.enter_context(mesh.registry.watch(prefix)) for prefix in WATCHED]
        yield _tables(listing(mesh))
        while True:
            SYSTEM_CLOCK.wait(never, BETWEEN_S)
            if sum(map(_drained, watches)):
                yield _tables(listing(mesh))


def _drained(watch: Watch) -> int:
    """How many events were waiting, which now are taken."""
    return sum(1 for _ in iter(lambda: watch.get(0.0), None))
