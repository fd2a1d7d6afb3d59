"""The life that all nodes share: find the registry, bind, announce, work, drain, retire.

Rules kept here: SIGTERM drains and exits 0, Ctrl-C drains and exits 130, a second signal waits for nothing;
a node that cannot start says why in one line and leaves nothing behind; one whose name another process took
ends; what a node did stays readable after it has gone.
"""

import logging
import signal
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.control import ControlRefused, ControlServer, Operation
from mesh.errors import Conflict, MeshError, RegistryUnavailable
from mesh.names import check_name
from mesh.place import local_endpoints
from mesh.presence import Presence, new_record
from mesh.registry import Registry, open_registry
from mesh.registry.records import NodeKind, NodeState, StatsRecord
from mesh.scope import Scope
from mesh.transport import Publisher
from nodes import usage
from nodes.address import LOOPBACK, advertised, bind_endpoint, check_advertise, check_bind, doubt
from nodes.metrics.serving import NodeMetrics
from nodes.operations import check_none, folder
from nodes.signals import EXIT_INTERRUPTED, Signals

log = logging.getLogger(__name__)

LEASE_S = 1.5  # what a node that is killed did is taken over by others within two seconds
REQUEST_S = 3.0  # each request to the registry: a node must be able to leave when that is gone


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """What every node is told.

    registry:         its URL
    name:             the node's name; made from the kind and the host where None
    bind:             the host to listen on; `insecure` allows one that is not loopback
    advertise:        the host that others should connect to, where it differs from `bind`
    registry_wait_s:  how long to wait for the registry at the start
    drain_s:          how long draining may take, at the end
    lease_s:          how long the registry keeps a node that is no longer heard of
    labels, weight:   as in its `NodeRecord`
    metrics:          `[HOST:]PORT` on which Prometheus reads what it counts; on none where None
    """

    registry: str
    name: str | None = None
    bind: str = LOOPBACK
    advertise: str | None = None
    insecure: bool = False
    registry_wait_s: float = 10.0
    drain_s: float = 10.0
    lease_s: float = LEASE_S
    labels: Mapping[str, str] = field(default_factory=dict)
    weight: float = 0.0
    metrics: str | None = None


NOTHING: Mapping[str, Any] = MappingProxyType({})


class Work(Protocol):
    """What one kind of node does. `Node` calls it from the main thread."""

    @property
    def kind(self) -> NodeKind: ...

    @property
    def inputs(self) -> tuple[str, ...]:
        """The stages that it takes in."""
        ...

    @property
    def operations(self) -> Mapping[str, Operation]:
        """What it can be asked for besides `drain` and `stop`; a `status` of its own answers where arguments
        are given. They are called on the control socket's thread, also before `start`, and do not wait."""
        ...

    @property
    def is_paused(self) -> bool:
        """Whether all of it rests, because somebody asked for that."""
        ...

    @property
    def folders(self) -> Sequence[Path]:
        """Where it writes to."""
        ...

    @property
    def told(self) -> Mapping[str, Any]:
        """What its kind alone tells of itself when it is asked how it is."""
        ...

    def start(self, node: "Node") -> None:
        """Bind and begin, on threads of `node.scope`. Raises a `MeshError` when it cannot."""
        ...

    def drain(self, timeout: float) -> None:
        """Stop taking in, finish, deliver, also when it is paused. What is not done within `timeout` seconds,
        or when `Node.rush` stops, is left."""
        ...

    def stats(self) -> StatsRecord: ...

    def close(self) -> None:
        """Let go of files and devices; every thread has ended."""
        ...


class Node:
    """What `Work` stands on: the registry, a publisher, a presence, and a scope for its threads; and `rush`,
    which stops when the node is to end without waiting for anything."""

    def __init__(self, work: Work, config: NodeConfig, clock: Clock = SYSTEM_CLOCK) -> None:
        self.config = config
        self.clock = clock
        self.work = work
        self.scope = Scope(work.kind)
        self.rush = Scope("rush")
        self.finished = threading.Event()
        self._counting = threading.Lock()
        self._began = clock.monotonic()
        self.failure: MeshError | None = None
        self.host = check_bind(config.bind, config.insecure)
        self._advertise = check_advertise(config.advertise) if config.advertise else None
        if (why := doubt(self.host, self._advertise, config.registry)) is not None:
            log.warning("%s", why)
        self.metrics = NodeMetrics(config.metrics, config.insecure) if config.metrics else None
        name = check_name("node", config.name) if config.name else None
        record = new_record(work.kind, name, {}, clock)
        self.id = record.id
        request_s = min(REQUEST_S, config.registry_wait_s)
        self.registry: Registry = open_registry(config.registry, timeout=request_s, clock=clock)
        self.publisher = Publisher(self.id, self.binds(), clock=clock)
        own = {
            "drain": self._asked_to_drain,
            "status": self._asked_for_status,
            "stop": self._asked_to_stop,
        }
        works = {name: self._while_running(operation) for name, operation in work.operations.items()}
        self.control = ControlServer({**works, **own}, self.binds(), clock)
        endpoints = self._listed("pub", self.publisher.endpoints)
        endpoints |= self._listed("control", self.control.endpoints)
        if self.metrics is not None:
            endpoints["metrics"] = self.metrics.endpoint(self._advertise, config.registry)
        told = {"labels": dict(config.labels), "weight": config.weight}
        self._record = record.model_copy(update={"inputs": work.inputs, "endpoints": endpoints} | told)
        self.presence = Presence(
            self.scope, self.registry, self._record, self._stats, lease_s=config.lease_s, clock=clock
        )
        self.presence.on_displaced = self._displaced

    def binds(self) -> tuple[str, ...]:
        """Where a socket of this node listens: TCP for all, and a local endpoint where there are such."""
        return bind_endpoint(self.host), *local_endpoints()

    def serve(self, role: str, bound: Sequence[str]) -> None:
        """List another socket of this node, bound to `binds()`. Call it in `start`."""
        self.presence.change(endpoints={**self.presence.node.endpoints, **self._listed(role, bound)})

    def _listed(self, role: str, bound: Sequence[str]) -> dict[str, str]:
        """The endpoints of a socket, as others should connect to them."""
        far = advertised(bound[0], self.host, self._advertise, self.config.registry)
        return {role: far} | {f"{role}_local": local for local in bound[1:]}

    @property
    def drain_s(self) -> float:
        """How long to wait, now, for what is to be handed over or delivered."""
        return 0.0 if self.rush.stopping.is_set() else self.config.drain_s

    def finish(self, failure: MeshError | None = None) -> None:
        """End the node from within: its work is done, or cannot go on. Call it from any thread.

        What first ended the node is why it ended: a failure that shows while it stops is no news.
        """
        if not self.finished.is_set():
            self.failure = failure
        self.finished.set()

    def _displaced(self) -> None:
        self.finish(
            Conflict(
                f"another process took the name {self.id!r} while this one was not heard of: this one ends; "
                "give each node a --name of its own"
            )
        )

    def run(self, *, signals: bool = True) -> int:
        """Work until it is done or a signal comes; the exit code. Raises the `MeshError` that ended it.

        signals:  False where the program has its own way to stop it
        """
        with ExitStack() as stack:
            caught = stack.enter_context(Signals(self.finished.set, self.rush.stop)) if signals else None
            try:
                self._live()
            finally:
                self._close()
            if self.failure is not None:
                raise self.failure
            return EXIT_INTERRUPTED if caught is not None and caught.number == signal.SIGINT else 0

    def _live(self) -> None:
        self.scope.on_stop(self.finished.set)
        self.scope.on_stop(self.publisher.wake)
        self._await_registry()
        if self.finished.is_set():
            return
        with self.scope:
            self.presence.enter()
            self.control.run_in(self.scope)
            if self.metrics is not None:
                self.metrics.run_in(self.scope, self.presence)
            try:
                self.work.start(self)
                log.info("%s %s is running", self.work.kind, self.id)
                self.finished.wait()
                self._drain()
            finally:
                self.scope.stop()
                self.scope.join()
                self.presence.leave()

    def _await_registry(self) -> None:
        """Wait for the registry, or for a signal. Raises `RegistryUnavailable` when the wait is over."""
        deadline = self.clock.monotonic() + self.config.registry_wait_s
        while not self.finished.is_set():
            try:
                self.registry.get(self._record.key)
                return
            except RegistryUnavailable:
                if self.clock.monotonic() >= deadline:
                    raise

    def _drain(self) -> None:
        if self.scope.stopping.is_set():
            return
        self.presence.set_state(NodeState.DRAINING)
        log.info("%s %s is draining", self.work.kind, self.id)
        self.work.drain(self.drain_s)

    def _while_running(self, operation: Operation) -> Operation:
        """The same, refused once the node is to end: a pause would keep it from finishing."""

        def perform(arguments: Mapping[str, Any]) -> Any:
            if self.finished.is_set():
                raise ControlRefused("it is draining")
            return operation(arguments)

        return perform

    def _asked_to_drain(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """As on SIGTERM."""
        check_none("drain", arguments)
        log.info("asked to drain")
        self.finish()
        return {"state": NodeState.DRAINING}

    def _asked_to_stop(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """End now: nothing is handed over, no delivery waited for; results that wait go to the spool."""
        check_none("stop", arguments)
        log.info("asked to stop at once")
        self.rush.stop()
        self.finish()
        return {"state": NodeState.DRAINING}

    def _asked_for_status(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """What the node is and does, in a few words and totals, however many cameras it has."""
        if arguments and "status" in self.work.operations:
            return dict(self.work.operations["status"](arguments))
        check_none("status", arguments)
        node, stats = self.presence.node, self._stats()
        return {
            "kind": node.kind,
            "state": NodeState.DRAINING if self.finished.is_set() else node.state,
            "why": node.why,
            "paused": self.work.is_paused,
            "pid": node.pid,
            "uptime_s": round(self.clock.monotonic() - self._began, 1),
            "inputs": list(node.inputs),
            "cameras": len(stats.of_cameras),
            "captured": sum(c.captured for c in stats.cameras),
            "processed": sum(c.processed for c in stats.groups),
            "recorded": sum(c.recorded for c in stats.recorded),
            "folders": [folder(path) for path in self.work.folders],
            **self.work.told,
        }

    def _stats(self) -> StatsRecord:
        """This node's counters now. Any thread may ask."""
        with self._counting:
            stats = self.work.stats()
            taken = {"cpu_s": usage.cpu_s(), "rss_bytes": usage.rss_bytes()}
            stats = stats.model_copy(update={"counters": stats.counters | self.control.stats()} | taken)
            if self.metrics is not None:
                self.metrics.saw(stats)
        return stats

    def _close(self) -> None:
        self.work.close()
        if self.metrics is not None:
            self.metrics.close()
        self.control.close()
        self.publisher.close()
        self.registry.close()
