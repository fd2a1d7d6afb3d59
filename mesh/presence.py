"""A node's presence in the registry: its record, its cameras and streams, and its counters once a second.

Rules kept here: nothing here is on the path of a frame; a name that another node holds is refused in one
line; when a node ends, however it ends, its last counters stay readable for a while.
"""

import logging
import os
import platform
import secrets
import socket
import threading
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.errors import ConfigError, LeaseExpired, MeshError
from mesh.place import this_place
from mesh.registry import Registry, Session, Taken
from mesh.registry.records import (
    CameraRecord,
    CameraState,
    GroupRecord,
    NodeKind,
    NodeRecord,
    NodeState,
    StatsRecord,
    StreamRecord,
)
from mesh.scope import Scope

log = logging.getLogger(__name__)

LEASE_S = 5.0  # of a script, whose work nobody takes over
STATS_EVERY_S = 1.0
LAST_WORDS_S = 600.0
RENEW_WORDS_S = 60.0

Listed = NodeRecord | CameraRecord | StreamRecord | GroupRecord | StatsRecord


def this_version() -> str:
    """The version of the installed distribution; "unknown" when it runs from a plain source tree."""
    try:
        return version("framemesh")
    except PackageNotFoundError:
        return "unknown"


def node_name(kind: str) -> str:
    """A new node's name where none was given: its kind, its host, and four random digits."""
    host = "".join(c if c.isalnum() else "-" for c in platform.node().lower()).strip("-")[:40] or "host"
    return f"{kind}-{host}-{secrets.token_hex(2)}"


def new_record(kind: NodeKind, name: str | None, endpoints: dict[str, str], clock: Clock) -> NodeRecord:
    return NodeRecord(
        id=name or node_name(kind),
        kind=kind,
        host=socket.gethostname(),
        pid=os.getpid(),
        endpoints=endpoints,
        place=this_place(),
        started_ns=clock.wall_ns(),
        version=this_version(),
    )


class Presence:
    """Stands for one node in the registry until `leave`.

    stats:    called once a second for the counters to show
    on_lost:  set it to be told of each camera whose name another node took while the registry was away;
              called on the session's thread
    on_displaced:  the same, for the node's own name: from then on nothing of it is shown
    """

    def __init__(
        self,
        scope: Scope,
        registry: Registry,
        node: NodeRecord,
        stats: Callable[[], StatsRecord],
        *,
        lease_s: float = LEASE_S,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._session = Session(registry, ttl=lease_s, clock=clock, on_lost=self._lost)
        self.on_lost: Callable[[str], None] = lambda camera: None
        self.on_displaced: Callable[[], None] = lambda: None
        self._displaced = False
        self._scope = scope
        self._words = _LastWords(registry, clock)
        self._stats = stats
        self._clock = clock
        self._cameras: dict[str, CameraRecord] = {}
        self._changing = threading.Lock()  # of what is shown of this node
        self.node = node

    def enter(self) -> None:
        """Take the node's name and begin to show its counters. Raises `ConfigError` when it is taken."""
        self._session.__enter__()
        try:
            self._session.claim(self.node.key, self.node.value())
        except BaseException as error:
            self._session.leave()
            if isinstance(error, Taken):
                raise ConfigError(
                    f"a node named {self.node.id!r} runs already; choose another --name"
                ) from error
            raise
        self._scope.spawn("counters", self._show_counters)

    def claim_camera(self, camera: CameraRecord) -> None:
        """Take a camera's name. Raises `ConfigError` when another node captures it."""
        camera = self._placed(camera)
        try:
            self._session.claim(camera.key, camera.value())
        except Taken as error:
            raise ConfigError(
                f"camera {camera.name!r} is captured already, by node {error.holder.get('node', '?')!r}; "
                "stop that one, or give this camera another name"
            ) from error
        self._cameras[camera.name] = camera

    def take_camera(self, camera: CameraRecord) -> CameraRecord | None:
        """Take a camera's name if it is free; else its holder's record, at once.

        Raises `RegistryUnavailable`, or `RegistryError` when what stands there is no camera.
        """
        camera = self._placed(camera)
        holder = self._session.take(camera.key, camera.value())
        if holder is not None:
            return CameraRecord.of(holder)
        self._cameras[camera.name] = camera
        return None

    def withdraw(self, record: CameraRecord | StreamRecord) -> None:
        """List it no more, and let go of its name, soon. Never blocks."""
        if isinstance(record, CameraRecord):
            self._cameras.pop(record.name, None)
        self._session.withdraw(record.key)

    def registry_ns(self) -> int:
        """The registry's wall clock, as well as it is known here; else this node's own."""
        offset = self._session.clock_offset
        return self._clock.wall_ns() - (offset.offset_ns if offset is not None else 0)

    def show(self, record: Listed) -> None:
        """List a record, or show its new state. Never blocks."""
        if isinstance(record, NodeRecord):
            self.node = record
        if isinstance(record, CameraRecord):
            record = self._cameras[record.name] = self._placed(record)
        self._session.update(record.key, record.value())

    def announce(self, record: GroupRecord) -> None:
        """List a record now if the registry answers, else when it does."""
        self._session.announce(record.key, record.value())

    @property
    def connected(self) -> bool:
        """Whether the registry answered the last time that it was asked."""
        return self._session.connected

    @property
    def cameras(self) -> tuple[CameraRecord, ...]:
        """The cameras whose names it has."""
        return tuple(self._cameras.values())

    def change(self, **changes: Any) -> None:
        """Show this node with these fields changed. Any thread may."""
        with self._changing:
            self.show(self.node.model_copy(update=changes))

    def set_state(self, state: NodeState, why: str = "") -> None:
        """Show a new state. A node that drains says so until it ends."""
        with self._changing:
            now = self.node
            if now.state is not NodeState.DRAINING and (state, why) != (now.state, now.why):
                self.show(now.model_copy(update={"state": state, "why": why}))

    def leave(self) -> None:
        """Retire: the lease goes, and the last counters and ended cameras stay for ten minutes."""
        node = self.node.model_copy(update={"state": NodeState.ENDED})
        over = [c for c in self._cameras.values() if c.state in (CameraState.ENDED, CameraState.FAILED)]
        # The node last: who sees that it has ended may take over what it had.
        last: list[Listed] = [*over, self.counters(final=True), node]
        self._session.leave({record.key: record.value() for record in last}, keep_for=LAST_WORDS_S)

    def counters(self, *, final: bool = False) -> StatsRecord:
        """The counters now, of this run, with how far this node's clock is from the registry's."""
        offset = self._session.clock_offset
        this: dict[str, Any] = {"node": self.node.id, "run": self.node.started_ns, "final": final}
        if offset is not None:
            this |= {"clock_offset_ns": offset.offset_ns, "clock_error_ns": offset.error_ns}
        return self._stats().model_copy(update=this)

    def _placed(self, camera: CameraRecord) -> CameraRecord:
        """With this process, so that another claimant on this host knows at once whether its holder lives."""
        return camera.model_copy(update={"host": self.node.host, "pid": self.node.pid})

    def _lost(self, key: str) -> None:
        table, _, camera = key.partition("/")
        if table == "cameras":
            self._cameras.pop(camera, None)
            self.on_lost(camera)
        elif key == self.node.key:
            self._displaced = True
            self.on_displaced()

    def _show_counters(self) -> None:
        while not (self._scope.stopping.is_set() or self._displaced):
            self._words.say(self.counters())
            self._clock.wait(self._scope.stopping, STATS_EVERY_S)


class _LastWords:
    """Counters under a lease of their own, so that those of a node that is killed stay for ten minutes."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock
        self._lease = 0
        self._renew_at = 0.0

    def say(self, record: StatsRecord) -> None:
        """Write a record; a registry that is away is told the next one."""
        try:
            try:
                self._put(record)
            except LeaseExpired:  # the registry has started anew
                self._lease = 0
                self._put(record)
        except MeshError as error:  # the session says that the registry is away, and when it returns
            log.debug("counters were not written: %s", error)

    def _put(self, record: StatsRecord) -> None:
        now = self._clock.monotonic()
        if not self._lease:
            self._lease, self._renew_at = self._registry.grant(LAST_WORDS_S), now + RENEW_WORDS_S
        elif now >= self._renew_at:
            self._registry.keep_alive(self._lease)
            self._renew_at = now + RENEW_WORDS_S
        self._registry.put(record.key, record.value(), lease=self._lease)
