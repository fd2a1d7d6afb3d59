"""A capture node that was not told its cameras: it takes its share of those that are configured.
It remembers which of them have ended by themselves, wherever that was, for as long as they are configured so.

Rules kept here: who captures what follows from the registry alone, by the same function on every member; what
changes there takes effect without a restart; a registry that is away, or has started anew, stops nothing; the
node goes on when no camera is left; what a registry that has just started anew has not heard of yet is not
taken for free.
"""

import contextlib
import logging
import threading
from collections.abc import Mapping
from pathlib import Path

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.control import Operation
from mesh.errors import MeshError, RegistryError, RegistryUnavailable
from mesh.follow import follow
from mesh.membership.group import living
from mesh.registry import Entry
from mesh.registry.records import CameraCount, CameraRecord, NodeKind, NodeRecord, StatsRecord
from mesh.registry.setups import PREFIX, CameraSetup
from mesh.setups import FLEET
from nodes.capture.asked import Asked
from nodes.capture.assignment import Assignment, Surroundings
from nodes.capture.clockwork import Clockwork
from nodes.capture.decision import decide
from nodes.capture.setup import print_of
from nodes.capture.sources.reactor import Reactor
from nodes.node import NOTHING, Node
from nodes.secrets import Secrets

log = logging.getLogger(__name__)

SETTLE_S = 3.0  # by then, whoever captures has told a registry that started anew
ASK_AGAIN_S = 1.0  # a registry that is away
PAST_KEPT = 1000  # cameras that were here, whose last counts stay readable


class Fleet:
    """The work of a capture node that shares the configured cameras with its peers."""

    kind = NodeKind.CAPTURE
    inputs: tuple[str, ...] = ()
    folders: tuple[Path, ...] = ()
    told = NOTHING

    def __init__(self, secrets: Secrets | None = None, clock: Clock = SYSTEM_CLOCK) -> None:
        self._secrets = secrets or Secrets()
        self._clock = clock
        self._clockwork = Clockwork(clock)
        self._node: Node | None = None
        self._reactor: Reactor | None = None
        self._poked = threading.Event()
        self._lock = threading.Lock()  # of all that follows
        self._setups: dict[str, CameraSetup] | None = None
        self._nodes: list[NodeRecord] | None = None
        self._done: dict[str, CameraRecord] | None = None  # that the registry has now; None: not known yet
        self._ended: dict[str, CameraRecord] = {}  # and those that it had
        self._here: dict[str, Assignment] = {}
        self._past: dict[str, CameraCount] = {}
        self._boots: dict[str, int] = {}
        self._complaints: dict[str, int] = {}  # malformed entries that were told of, by revision
        self._asked = Asked(self._cameras)

    def __repr__(self) -> str:
        return f"<Fleet {sorted(self._here)}>"

    @property
    def operations(self) -> Mapping[str, Operation]:
        return self._asked.operations

    @property
    def is_paused(self) -> bool:
        return self._asked.are_paused()

    def start(self, node: Node) -> None:
        self._node = node
        self._reactor = reactor = Reactor(self._clock)
        around = Surroundings(node, reactor, self._clockwork, self._secrets, self._poked.set, self._ended_as)
        node.scope.on_stop(self._poked.set)
        node.rush.on_stop(self._hurry)
        node.presence.on_lost = self._lost
        node.presence.change(group=FLEET)
        follow(node.scope, node.registry, PREFIX, self._see_setups, gone_s=0.0, clock=self._clock)
        follow(node.scope, node.registry, "nodes/", self._see_nodes, gone_s=0.0, clock=self._clock)
        follow(node.scope, node.registry, "cameras/", self._see_cameras, gone_s=0.0, clock=self._clock)
        node.scope.spawn("read", reactor.run)
        node.scope.spawn("steer", self._steer, around)

    def drain(self, timeout: float) -> None:
        """Let go of every camera: the others see that this node drains, and wait for them."""
        if self._node is not None:
            self._node.scope.stop()
            self._node.scope.join()

    def stats(self) -> StatsRecord:
        node = self._node.id if self._node else "starting"
        with self._lock:
            counts = self._past | {c.camera: c for a in self._here.values() if (c := a.count()) is not None}
        counters = self._node.publisher.stats() if self._node else {}
        counters |= self._clockwork.counters()
        return StatsRecord(
            node=node, at_ns=self._clock.wall_ns(), cameras=tuple(counts.values()), counters=counters
        )

    def close(self) -> None:
        """Sources were closed by the threads that read them."""
        if self._reactor is not None:
            self._reactor.close()

    def _cameras(self) -> dict[str, Assignment]:
        with self._lock:
            return {name: camera for name, camera in self._here.items() if not camera.over}

    def _see_setups(self, entries: Mapping[str, Entry]) -> None:
        with self._lock:
            known = self._setups or {}
            found = {key.removeprefix(PREFIX): self._read(entry) for key, entry in entries.items()}
            # One that was edited and is malformed goes on as it was.
            self._setups = {n: s for n in found if (s := found[n] or known.get(n)) is not None}
        self._poked.set()

    def _see_nodes(self, entries: Mapping[str, Entry]) -> None:
        nodes = []
        for entry in entries.values():
            try:
                nodes.append(NodeRecord.of(entry))
            except RegistryError:  # another program's malformed entry takes no part
                continue
        if self._node is not None:
            self._node.publisher.meet_nodes(living(nodes))
        with self._lock:
            self._nodes = nodes
        self._poked.set()

    def _see_cameras(self, entries: Mapping[str, Entry]) -> None:
        """Remember those that ended by themselves: the node that has one may be killed."""
        ended: dict[str, CameraRecord] = {}
        for entry in entries.values():
            if entry.value.get("done"):
                with contextlib.suppress(RegistryError):  # as above
                    record = CameraRecord.of(entry)
                    ended[record.name] = record
        with self._lock:
            new, self._done = ended != self._done, ended
        if new:
            self._poked.set()

    def _ended_as(self, setup: CameraSetup) -> CameraRecord | None:
        with self._lock:
            return _ended_so({**self._ended, **(self._done or {})}, {setup.name: setup}).get(setup.name)

    def _read(self, entry: Entry) -> CameraSetup | None:
        try:
            return CameraSetup.of(entry)
        except RegistryError as error:
            if self._complaints.get(entry.key) != entry.revision:
                self._complaints[entry.key] = entry.revision
                log.error("a camera's configuration is not used: %s", error)
            return None

    def _lost(self, camera: str) -> None:
        with self._lock:
            assignment = self._here.get(camera)
        if assignment is not None:
            log.warning("camera %s was taken by another node: it is stopped here", camera)
            assignment.lost()

    def _steer(self, around: Surroundings) -> None:
        """Start and stop cameras as they are placed, until the node stops; then let go of all.

        The reactor goes on until the last camera has stopped: it ends their reading.
        """
        stopping = around.node.scope.stopping
        try:
            self._await_owners(around.node)
            while not stopping.is_set():
                self._poked.wait()
                self._poked.clear()
                if not stopping.is_set():
                    self._turn(around)
        finally:
            self._let_go()
            around.reactor.stop()

    def _await_owners(self, node: Node) -> None:
        """Where the registry has started anew, give those who capture the time to say so."""
        while not node.scope.stopping.is_set():
            try:
                start = node.registry.start()
                if start is None or start.age_s >= SETTLE_S:
                    return
                if all(entry.revision > start.revision for entry in node.registry.list(PREFIX)):
                    return  # configured since: nobody captured them before
                log.info("the registry has just started: waiting for those who capture its cameras")
                self._clock.wait(node.scope.stopping, SETTLE_S - start.age_s)
                return
            except RegistryUnavailable:
                self._clock.wait(node.scope.stopping, ASK_AGAIN_S)
            except MeshError as error:  # a server that is too old to say
                log.debug("when the registry started is not known: %s", error)
                return

    def _turn(self, around: Surroundings) -> None:
        with self._lock:
            self._reap()
            if self._setups is None or self._nodes is None or self._done is None:
                return
            self._ended = _ended_so({**self._ended, **self._done}, self._setups)
            ended = {name: record.node for name, record in self._ended.items()}
            here = {name: assignment.setup for name, assignment in self._here.items()}
            plan = decide(around.node.presence.node, self._nodes, self._setups, here, ended)
            for name in plan.stop:
                self._here[name].stop()
            for setup in plan.start:
                self._here[setup.name] = Assignment(setup, around, self._boots.get(setup.name, 0))
                self._here[setup.name].start()
            for name in self._here.keys() & self._setups.keys():
                self._here[name].follow(self._setups[name])

    def _reap(self) -> None:
        for name, assignment in [(n, a) for n, a in self._here.items() if a.over]:
            assignment.join()
            self._boots[name] = assignment.boot
            del self._here[name]
            if (count := assignment.count()) is not None:
                self._past.pop(name, None)  # the newest stand last
                self._past[name] = count
        for name in list(self._past)[:-PAST_KEPT]:
            del self._past[name]

    def _hurry(self) -> None:
        for assignment in self._cameras().values():
            assignment.hurry()

    def _let_go(self) -> None:
        with self._lock:
            left = list(self._here.values())
        for assignment in left:
            assignment.stop()
        for assignment in left:
            assignment.join()


def _ended_so(
    ended: Mapping[str, CameraRecord], setups: Mapping[str, CameraSetup]
) -> dict[str, CameraRecord]:
    """Those of the cameras that ended which are configured as they were then, and enabled."""
    return {
        name: record
        for name, record in ended.items()
        if name in setups and setups[name].enabled and record.done == print_of(setups[name])
    }
