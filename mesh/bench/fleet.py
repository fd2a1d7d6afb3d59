"""`mesh bench fleet`: the embedded registry under many nodes and their cameras.

The nodes are simulated, many in a process (`fleet_members`), but each by the client, the session and the
watches that real ones use: all join at once, renew leases of 1.5 s, hear of every change of a camera's
configuration, and go on when the server was killed and starts again. There is no floor.

Rules kept here: the machine's cores are shared with the simulated nodes, so that times are at most as good as
on a site, while what the server uses of CPU and memory is what it uses there; for the same reason only the
first `WATCHING` nodes watch; a change's age is from before it was put until a watch gave it, by
CLOCK_MONOTONIC, which processes of a machine share.
"""

import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mesh.bench.children import Child, Children
from mesh.bench.fleet_members import CAMERAS_EACH, CHANGED_NS, SETUPS, Seen, members
from mesh.bench.paced import pause, percentile_ms
from mesh.bench.records import setup_value
from mesh.bench.report import Row
from mesh.bench.served import serve
from mesh.bench.setup import Setup
from mesh.ports import free_port
from mesh.registry import Registry, open_registry
from mesh.scope import Scope

USUAL = 1000  # nodes
LEASE_S = 1.5
PROCESSES = 20
PER_PROCESS = 25  # at least
WATCHING = 100  # nodes at most: each takes in all cameras, which costs more than all that the server does
WITHIN_S = 600.0
SETTLE_S = 2.0  # once all have joined, before anything else is measured
CHANGE_EVERY_S = 0.25
LOOK_S = 0.02
SHM = "/dev/shm"
ANNOUNCED = ("nodes/", "cameras/", "streams/raw/")


def measure(setup: Setup) -> Iterator[Row]:
    """The storm in which all join, changes, the cost of leases, memory, and a server that starts anew."""
    nodes = setup.nodes or USUAL
    what = f"{nodes:,} nodes of {CAMERAS_EACH} cameras"
    with tempfile.TemporaryDirectory(dir=_memory()) as state, Children() as children, Scope("fleet") as scope:
        site = _Site(children, Path(state), nodes)
        with open_registry(site.url) as registry:
            site.configure(registry)
            site.start_members()
            yield from _storm(site, what)
            pause(min(SETTLE_S, setup.seconds))
            yield Row(f"{what}: memory of the registry", "MiB", [site.server.usage.rss_kib / 1024])
            yield from _changes(site, registry, what, setup.seconds)
            yield _leases(site, what, setup.seconds)
            yield _restart(site, registry, scope, what)
            site.server.stop()


class _Site:
    """The server, and the processes in which the nodes are."""

    def __init__(self, children: Children, state: Path, nodes: int) -> None:
        self.url = f"tcp://127.0.0.1:{free_port()}"
        self.nodes = nodes
        self.watching = min(nodes, WATCHING)
        self._children, self._state = children, state
        self.server = serve(children, self.url, state)
        self._members: list[Child] = []

    def configure(self, registry: Registry) -> None:
        for camera in range(self.nodes * CAMERAS_EACH):
            registry.put(f"{SETUPS}camera{camera}", setup_value(camera))

    def start_members(self) -> None:
        """Start the processes; their nodes wait for the word."""
        count = max(1, min(PROCESSES, self.nodes // PER_PROCESS))
        for first in range(count):
            numbers = list(range(first, self.nodes, count))
            self._members.append(
                self._children.start(
                    members,
                    url=self.url,
                    numbers=numbers,
                    watching=[number for number in numbers if number < WATCHING],
                    all_nodes=self.nodes,
                    lease_s=LEASE_S,
                )
            )
        for each in self._members:
            each.hear(WITHIN_S)

    def join(self) -> None:
        for each in self._members:
            each.tell(join=True)

    def ask(self, what: str, *arguments: Any) -> list[Any]:
        """Tell the members' processes something; what each says when it is done."""
        for each in self._members:
            each.tell(do=what, arguments=arguments)
        return [each.hear(WITHIN_S)["done"] for each in self._members]

    def kill_server(self) -> None:
        self.server.close()

    def serve_again(self) -> None:
        self.server = serve(self._children, self.url, self._state)


@dataclass(frozen=True, slots=True)
class _Used:
    """What the server has used at a moment."""

    at: float
    cpu_s: float

    @classmethod
    def by(cls, server: Child) -> "_Used":
        return cls(time.monotonic(), server.usage.cpu_s)


def _storm(site: _Site, what: str) -> Iterator[Row]:
    """All join at once."""
    begun = _Used.by(site.server)
    site.join()
    joined_at = max(site.ask("wait_joined"))
    known_at = max(site.ask("wait_known"))
    cpu_s = site.server.usage.cpu_s - begun.cpu_s
    note = f"{_trouble(site)}; the registry used {cpu_s:.2f} s of CPU"
    yield Row(f"{what} join at once: all are announced", "s", [joined_at - begun.at], note=note)
    yield Row(f"{what} join at once: {site.watching} know of all", "s", [known_at - begun.at])


def _changes(site: _Site, registry: Registry, what: str, seconds: float) -> Iterator[Row]:
    """A camera's configuration changes, and every node hears of it."""
    changes: list[int] = []
    while len(changes) < max(1, round(seconds / CHANGE_EVERY_S)):
        changes.append(time.monotonic_ns())
        registry.put(f"{SETUPS}camera0", setup_value(0, **{CHANGED_NS: changes[-1]}))
        pause(CHANGE_EVERY_S)
    parts = site.ask("wait_ages", changes)
    by_change = [[age for part in parts for age in part[index]] for index in range(len(changes))]
    ages = [age for change in by_change for age in change]
    note = f"{len(changes)} changes, each to {site.watching} nodes"
    for percent in (50, 99):
        found = [percentile_ms(ages, percent)]
        yield Row(f"{what}: a camera is changed until a node has it, p{percent}", "ms", found, note=note)
    last = [max(change) for change in by_change]
    yield Row(f"{what}: a camera is changed until the last node has it", "ms", last)


def _leases(site: _Site, what: str, seconds: float) -> Row:
    """Nothing happens but that leases are renewed."""
    begun = _Used.by(site.server)
    pause(seconds)
    ended = _Used.by(site.server)
    percent = 100 * (ended.cpu_s - begun.cpu_s) / (ended.at - begun.at)
    case = f"{what} renew leases of {LEASE_S:g} s: the registry"
    return Row(case, "% of a core", [percent], note=_trouble(site))


def _restart(site: _Site, registry: Registry, scope: Scope, what: str) -> Row:
    """The server is killed, and starts again."""
    since = registry.put(f"{SETUPS}camera0", setup_value(0)).revision
    site.kill_server()
    site.ask("begin", since)
    announced = [_watched(registry, scope, prefix, since) for prefix in ANNOUNCED]
    begun = time.monotonic()
    site.serve_again()
    answers_s = time.monotonic() - begun
    wanted = [site.nodes, site.nodes * CAMERAS_EACH, site.nodes * CAMERAS_EACH]
    while any(len(seen) < count for seen, count in zip(announced, wanted, strict=True)):
        pause(LOOK_S)
    all_s = time.monotonic() - begun
    known_s = max(site.ask("wait_known")) - begun
    note = f"it answers after {answers_s:.1f} s, {site.watching} nodes know of all after {known_s:.1f} s"
    note += f"; {_trouble(site)}; used {site.server.usage.cpu_s:.2f} s of CPU"
    return Row(f"{what}: the registry starts anew until all are announced", "s", [all_s], note=note)


def _watched(registry: Registry, scope: Scope, prefix: str, since: int) -> Seen:
    seen = Seen()
    seen.begin(since)
    watch = registry.watch(prefix)
    scope.on_stop(watch.close)
    scope.spawn(prefix, seen.follow, watch)
    return seen


def _trouble(site: _Site) -> str:
    """What went wrong meanwhile, if anything did."""
    found = site.ask("trouble")
    failures, ended = sum(each["failures"] for each in found), max(each["ended"] for each in found)
    return f"{failures} claims failed, {ended} leases ended"


def _memory() -> str | None:
    """A folder in memory, where there is one: what a disk takes for 5,000 cameras is not what is measured."""
    return SHM if os.path.isdir(SHM) else None
