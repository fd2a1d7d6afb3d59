"""Many nodes in one process: the role that `fleet` starts a few times.

To the registry each node is what a real one is: a client with connections of its own, a session that renews a
lease, and the watches of a member of the capture fleet. It captures nothing.

Rules kept here: a node that could not join tries again, and that is counted; one thread reads the watches of
all nodes, so that what it counts is up to 10 ms old.
"""

import resource
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack

from mesh.bench.child import Channel, Values
from mesh.bench.paced import pause
from mesh.bench.records import camera_record, node_record, stream_record
from mesh.errors import MeshError
from mesh.registry import Delete, Event, Put, Registry, Session, Watch, open_registry
from mesh.registry.records import CameraRecord, NodeRecord
from mesh.scope import Scope

NODES, SETUPS = "nodes/", "config/cameras/"
CAMERAS_EACH = 5
CHANGED_NS = "changed_ns"  # when a setup was changed, by CLOCK_MONOTONIC
LOOK_S = 0.02
AGAIN_S = 0.2
SWITCH_S = 0.0005  # a node is not to wait 5 ms for its turn behind each of its many fellows
READ_EVERY_S = 0.01
MORE_FILES = 20  # that one node has open


class Seen:
    """What one watch has shown: the keys that stand and were written after a revision, and how old changes
    were."""

    def __init__(self) -> None:
        self.begin(0)

    def __len__(self) -> int:
        return len(self._fresh)

    def begin(self, since: int) -> None:
        """Count anew, what is written after the revision `since`."""
        self._since, self._fresh = since, set[str]()
        self.ended = 0  # entries that were deleted, or whose lease ended
        self.ages_ms: dict[int, float] = {}  # by when the change was made

    def follow(self, watch: Watch) -> None:
        """Take what comes, until the watch is closed."""
        for event in watch:
            self.take(event)

    def take_all(self, watch: Watch) -> None:
        """Take what has come."""
        while (event := watch.get(0)) is not None:
            self.take(event)

    def take(self, event: Event) -> None:
        if isinstance(event, Put) and event.entry.revision > self._since:
            self._fresh.add(event.entry.key)
            if changed_ns := int(event.entry.value.get(CHANGED_NS, 0)):
                self.ages_ms[changed_ns] = (time.monotonic_ns() - changed_ns) / 1e6
        elif isinstance(event, Delete):
            self._fresh.discard(event.key)
            self.ended += event.known


class Node:
    """One node, with threads of `scope`."""

    def __init__(self, number: int, registry: Registry, session: Session, scope: Scope) -> None:
        self.nodes, self.setups = Seen(), Seen()
        self.joined = False
        self.failures = 0
        self._number = number
        self._registry, self._session, self._scope = registry, session, scope
        self._watches: list[tuple[Watch, Seen]] = []

    def join(self, watching: bool) -> None:
        """Announce the node, its cameras and its streams; watch, if it does."""
        shown = ((NODES, self.nodes), (SETUPS, self.setups)) if watching else ()
        self._watches = [(self._registry.watch(prefix), seen) for prefix, seen in shown]
        self._claim(node_record(self._number))
        first = self._number * CAMERAS_EACH
        for camera in range(first, first + CAMERAS_EACH):
            self._claim(camera_record(camera, self._number))
            stream = stream_record(camera, self._number)
            self._session.announce(stream.key, stream.value())
        self.joined = True

    def look(self) -> None:
        """Take in what the watches have."""
        for watch, seen in self._watches:
            seen.take_all(watch)

    def _claim(self, record: NodeRecord | CameraRecord) -> None:
        """Claim a record's key, until that succeeds."""
        while not self._has_claimed(record) and not self._scope.stopping.wait(AGAIN_S):
            self.failures += 1

    def _has_claimed(self, record: NodeRecord | CameraRecord) -> bool:
        try:
            self._session.claim(record.key, record.value())
        except MeshError:
            return False
        return True


class _Members:
    """What the role can be told to do; what each gives can be said as JSON."""

    def __init__(self, nodes: list[Node], watchers: list[Node], all_nodes: int, scope: Scope) -> None:
        self._nodes, self._watchers, self._all_nodes, self._scope = nodes, watchers, all_nodes, scope

    def wait_joined(self) -> float:
        """Wait until all of these nodes are announced; when that was."""
        self._wait(lambda: all(node.joined for node in self._nodes))
        return time.monotonic()

    def wait_known(self) -> float:
        """Wait until each of the watching nodes knows of all nodes and all cameras; when that was."""
        cameras = self._all_nodes * CAMERAS_EACH
        self._wait(lambda: all(len(node.nodes) >= self._all_nodes for node in self._watchers))
        self._wait(lambda: all(len(node.setups) >= cameras for node in self._watchers))
        return time.monotonic()

    def begin(self, since: int) -> None:
        for node in self._watchers:
            node.nodes.begin(since)

    def wait_ages(self, changes: list[int]) -> list[list[float]]:
        """For each change, how old it was when each of these nodes had it, in ms."""
        self._wait(lambda: all(node.setups.ages_ms.keys() >= set(changes) for node in self._watchers))
        return [[node.setups.ages_ms[change] for node in self._watchers] for change in changes]

    def trouble(self) -> Values:
        """How often a claim failed, and how many ends of nodes their fellows saw at most."""
        failures = sum(node.failures for node in self._nodes)
        return {"failures": failures, "ended": max((node.nodes.ended for node in self._watchers), default=0)}

    def _wait(self, until: Callable[[], bool]) -> None:
        while not until():
            if self._scope.error is not None:
                raise self._scope.error
            pause(LOOK_S)


def members(
    channel: Channel, *, url: str, numbers: list[int], watching: list[int], all_nodes: int, lease_s: float
) -> Values:
    """A role: the nodes of these numbers, of `all_nodes`, of which some are watching.

    They join when told to; then it does what it is told, one thing after the other, until it is killed.
    """
    _allow_files(len(numbers) * MORE_FILES)
    sys.setswitchinterval(SWITCH_S)
    with ExitStack() as stack:
        scope = stack.enter_context(Scope("members"))
        nodes = [_node(number, url, lease_s, scope, stack) for number in numbers]
        watchers = [node for number, node in zip(numbers, nodes, strict=True) if number in watching]
        able = _Members(nodes, watchers, all_nodes, scope)
        channel.say(ready=True)
        channel.hear()
        for node in nodes:
            scope.spawn("join", node.join, node in watchers)
        scope.spawn("look", _look, watchers, scope.stopping)
        while True:
            told = channel.hear()
            channel.say(done=getattr(able, told["do"])(*told["arguments"]))
    return {}


def _look(nodes: list[Node], stopping: threading.Event) -> None:
    """Read all watches by turns: a thread for each would be woken for every change, thousands at a time."""
    while not stopping.wait(READ_EVERY_S):
        for node in nodes:
            node.look()


def _node(number: int, url: str, lease_s: float, scope: Scope, stack: ExitStack) -> Node:
    registry = stack.enter_context(open_registry(url))
    return Node(number, registry, stack.enter_context(Session(registry, ttl=lease_s)), scope)


def _allow_files(more: int) -> None:
    """Raise the limit of open files, as far as this process may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, soft + more), hard), hard))
