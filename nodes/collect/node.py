"""The collect node: results pulled, whole stages subscribed to, both recorded and published again.

Rules kept here: the folder is made whole before anything is taken in; a result is acknowledged once it is on
the disk, and not before; when the disk refuses, or the node is paused, results wait at their senders; a disk
that refuses already when the node starts is waited for.
"""

import logging
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from mesh.choice import Choices, Takes
from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.control import ControlRefused, Operation
from mesh.delivery import Delivery, Handover, Receiver
from mesh.errors import ConfigError, MeshError
from mesh.follow import follow_streams
from mesh.frame import EndOfStream, Frame
from mesh.inbox import Inbox, Policy
from mesh.names import check_name
from mesh.recordings.limits import Keep
from mesh.registry.records import NodeKind, NodeRecord, NodeState, StatsRecord
from mesh.scope import Scope
from mesh.stats import Counters, Rarely
from mesh.transport import Subscriber
from mesh.wire import Envelope
from nodes.collect.choosing import Choosing
from nodes.collect.commits import DEFAULT_POLICY, CommitPolicy
from nodes.collect.forwarding.address import Address
from nodes.collect.forwarding.forwarding import Forwarding
from nodes.collect.keeping import Keeper
from nodes.collect.opening import Opening
from nodes.collect.recorder import Recorder
from nodes.collect.recording import Recording
from nodes.collect.recovery import Recovered
from nodes.collect.reorder import DEFAULT_BOUNDS, Bounds
from nodes.collect.writing import Outlets
from nodes.counting import group_count
from nodes.node import Node
from nodes.operations import check_none

log = logging.getLogger(__name__)

INBOX_DEPTH = 1024
HANDOVER_RESULTS = 256
HANDOVER_BYTES = 32 * 1024 * 1024
HANDOVER_S = 5.0  # well below the time after which TCP gives up on a peer that does not read
QUIET_S = 0.5
LOOK_EVERY_S = 0.1
GROUP = "collect"
RAW = "raw"  # as cameras give it: nobody has looked at it


@dataclass(frozen=True, slots=True)
class CollectConfig:
    """What a collect node does.

    into:             the folder that it records to
    inputs:           stages that it subscribes to, besides what is pushed to it
    segment_seconds, segment_bytes:  when a recording's file ends and the next begins
    commit:           how long results wait until they are written to the disk for good, at most, and how
                      many; they are acknowledged then
    keep:             what goes when it is too old or takes too much
    forward:          where what is recorded goes, besides
    choices:          what is recorded of each camera, unless its own setup says otherwise
    bounds:           how long results wait for one that is missing before them, and how many
    """

    into: Path
    inputs: tuple[str, ...] = ()
    segment_seconds: float = 60.0
    segment_bytes: int | None = None
    commit: CommitPolicy = DEFAULT_POLICY
    keep: Keep = field(default_factory=Keep)
    forward: tuple[Address, ...] = ()
    choices: Choices = field(default_factory=Choices)
    bounds: Bounds = DEFAULT_BOUNDS


class Collect:
    """The work of a collect node. Raises `StorageError` when its folder cannot be used."""

    kind = NodeKind.COLLECT

    def __init__(self, config: CollectConfig, clock: Clock = SYSTEM_CLOCK) -> None:
        self.inputs = tuple(check_name("stage", stage) for stage in config.inputs)
        if len(set(self.inputs)) < len(self.inputs):
            raise ConfigError("a stage is given twice with --input")
        self._config = config
        self._clock = clock
        self._recorder = Recorder(
            config.into, segment_seconds=config.segment_seconds, segment_bytes=config.segment_bytes
        )
        self._folder: Opening | None = None
        self._handover: Handover[Delivery] = Handover(HANDOVER_RESULTS, HANDOVER_BYTES, _size)
        self._inbox = Inbox(
            Policy.LOSSLESS,
            depth=INBOX_DEPTH,
            on_ready=self._handover.wake,
            on_room=self._made_room,
            clock=clock,
        )
        self._choosing = Choosing(config.choices, clock)
        self._counters = Counters()
        self._rarely = Rarely()
        self._heard_at = clock.monotonic()
        self._relayed: set[tuple[str, str, int]] = set()  # stage, camera, partitions
        self._opening, self._intake, self._recording_scope = Scope("idle"), Scope("idle"), Scope("idle")
        self._node: Node | None = None
        self._receiver: Receiver | None = None
        self._subscriber: Subscriber | None = None
        self._recovered: Recovered | None = None
        self._recording: Recording | None = None
        self._forwarding: Forwarding | None = None
        self._keeper = Keeper(config.into, config.keep, self._cannot_keep, removed=self._removed, clock=clock)
        self._going = threading.Event()  # not paused
        self._going.set()
        self._trouble = self._full = ""
        self._showing = threading.Lock()  # or what was seen first could be shown last
        self.folders = (config.into,)
        self.operations: Mapping[str, Operation] = {
            "pause": self._asked_to_pause,
            "resume": self._asked_to_resume,
            "set": _asked_to_set,
        }

    @property
    def is_paused(self) -> bool:
        return not self._going.is_set()

    def start(self, node: Node) -> None:
        self._node = node
        self._intake, self._recording_scope = Scope("intake", node.scope), Scope("recording", node.scope)
        self._opening = Scope("opening", node.scope)
        if RAW in self.inputs and self._config.choices.default.takes(RAW) is Takes.FOUND:
            log.warning(
                "nothing is found in the frames of %s: none is recorded but of cameras for which --record "
                "or their setup says continuous; record the stage of a process node instead",
                RAW,
            )
        self._folder = Opening(
            self._config.into, self._keeper, partial(self._forwarding_of, node), self._unwell, self._clock
        )
        if (opened := self._folder.now()) is not None:
            self._begin(node, *opened)
        else:
            begin = partial(self._begin, node)
            self._opening.spawn("open", self._folder.later, begin, self._opening.stopping)

    def _forwarding_of(self, node: Node) -> Forwarding:
        own, registry, config = node.presence.node, node.config.registry, self._config
        return Forwarding(
            config.into, config.forward, own, registry, node.scope, self._clock, self._show_state
        )

    def _begin(self, node: Node, recovered: Recovered, forwarding: Forwarding) -> None:
        self._recovered, self._forwarding = recovered, forwarding
        self._show_state()  # forwarding may have been held up before
        self._choosing.follow(self._recording_scope, node.registry)
        self._start_recording(node, recovered, forwarding)
        self._intake.on_stop(self._handover.close)
        self._intake.on_stop(self._going.set)
        self._receiver = Receiver(
            self._intake,
            self._collect,
            node.publisher.send,
            bind_to=node.binds(),
            clock=self._clock,
        )
        node.serve("pull", self._receiver.endpoints)
        if self.inputs:
            self._subscriber = Subscriber(
                self._intake, self._inbox.offer_all, consumer=node.id, clock=self._clock
            )
            for stage in self.inputs:
                follow_streams(
                    self._intake,
                    node.registry,
                    self._subscriber,
                    stage,
                    inbox=self._inbox,
                    but_not=node.id,
                    clock=self._clock,
                )

    def drain(self, timeout: float) -> None:
        """Record what is still coming from process nodes that are draining, too, then what is here."""
        begun = self._clock.monotonic()
        deadline = begun + timeout
        rush = self._node.rush.stopping if self._node is not None else threading.Event()
        self._stop_opening()
        self._go_on()
        # Nodes that were stopped together with this one need a moment to say that they are draining.
        while (
            (now := self._clock.monotonic()) < deadline
            and not rush.is_set()
            and (now - begun < QUIET_S or self._is_awaited())
        ):
            self._clock.wait(rush, LOOK_EVERY_S)
        self._intake.stop()
        self._intake.join()
        while not (self._inbox.idle() or rush.is_set()) and self._clock.monotonic() < deadline:
            self._clock.wait(rush, LOOK_EVERY_S)
        self._stop_recording()
        if self._forwarding is not None:
            self._forwarding.drain(deadline - self._clock.monotonic(), rush)

    @property
    def told(self) -> Mapping[str, Any]:
        status = self._forwarding.status() if self._forwarding is not None else []
        return {"forward": status} if status else {}

    def stats(self) -> StatsRecord:
        counters = dict(self._counters.snapshot())
        if self._recording is not None:
            counters |= self._recording.counters.snapshot()
        counters |= self._keeper.counters.snapshot()
        if self._node is not None:
            counters |= self._node.publisher.stats()
        counters |= self._receiver.stats() if self._receiver is not None else {}
        counters |= self._forwarding.counters() if self._forwarding is not None else {}
        return StatsRecord(
            node=self._node.id if self._node else "starting",
            at_ns=self._clock.wall_ns(),
            groups=tuple(group_count(c, group=GROUP, output=c.stage) for c in self._inbox.counts()),
            recorded=self._recording.counts() if self._recording is not None else (),
            forwards=self._forwarding.counts() if self._forwarding is not None else (),
            counters=counters,
        )

    def close(self) -> None:
        """End every file, and let go of the folder."""
        self._stop_opening()
        self._intake.stop()
        self._intake.join()
        self._stop_recording()
        if self._forwarding is not None:
            self._forwarding.close()
        if self._recovered is not None:
            self._recovered.index.close()
        if self._folder is not None:
            self._folder.close()

    def _start_recording(self, node: Node, recovered: Recovered, forwarding: Forwarding) -> None:
        outlets = Outlets(
            self._republish, node.publisher.stamp, self._acknowledge, self._unwell, forwarding.recorded
        )
        self._recording = Recording(
            self._recorder,
            recovered,
            self._handover,
            self._inbox,
            outlets,
            policy=self._config.commit,
            bounds=self._config.bounds,
            chooses=self._choosing.of,
            clock=self._clock,
        )
        self._recording_scope.on_stop(self._handover.wake)
        self._recording_scope.spawn("record", self._recording.run, self._recording_scope.stopping)
        if self._config.keep:
            self._recording_scope.spawn("keep", self._keeper.run, self._recording_scope.stopping)

    def _stop_opening(self) -> None:
        self._opening.stop()
        self._opening.join()

    def _stop_recording(self) -> None:
        self._recording_scope.stop()
        self._recording_scope.join()
        self._inbox.close()

    def _made_room(self) -> None:
        if self._subscriber is not None:
            self._subscriber.made_room()

    def _collect(self, batch: list[Delivery]) -> None:
        """Hand results over to be recorded. While there is no room, or a pause, the socket is not read; what
        still finds none is let go, and its sender sends it again."""
        self._heard_at = self._clock.monotonic()
        self._going.wait()
        if not self._handover.put(batch, HANDOVER_S):
            self._counters.add("pushed_refused", len(batch))

    def _acknowledge(self, envelopes: Iterable[Envelope]) -> None:
        if self._receiver is not None:
            self._receiver.acknowledge(envelopes)

    def _republish(self, item: Frame | EndOfStream) -> None:
        """Publish again what was recorded. What cannot be published is counted, and recorded all the same: a
        header may have been as long as it can be before this node's hop was put to it."""
        node = self._node
        if node is None:
            return
        try:
            self._publish(node, replace(item, lossless=False))  # a relay waits for nobody
        except MeshError as error:
            self._counters.add("republish_refused")
            if (held := self._rarely.ready(self._clock.monotonic())) is not None:
                log.warning("not published again: %s (%d more like it)", error, held)

    def _publish(self, node: Node, item: Frame | EndOfStream) -> None:
        if isinstance(item, EndOfStream):
            node.publisher.end(item)
            return
        relayed = item.stage, item.camera, item.partitions
        if relayed not in self._relayed:
            self._relayed.add(relayed)
            this = node.presence.node
            stream = this.stream(item.stage, item.camera, relay=True, partitions=item.partitions)
            node.presence.show(stream)
        node.publisher.publish(item)

    def _asked_to_pause(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """What came in before is still recorded."""
        check_none("pause", arguments)
        self._inbox.pause()
        self._going.clear()
        self._show_state()
        return {"state": NodeState.PAUSED}

    def _asked_to_resume(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        check_none("resume", arguments)
        self._go_on()
        self._show_state()
        return {"state": NodeState.RUNNING}

    def _go_on(self) -> None:
        self._going.set()
        self._inbox.resume()

    def _unwell(self, why: str) -> None:
        """Show what is wrong with the disk, or that nothing is any more."""
        self._trouble = why
        self._show_state()

    def _removed(self, paths: Iterable[str]) -> None:
        """These files are not kept any more."""
        if self._forwarding is not None:
            self._forwarding.removed(paths)

    def _cannot_keep(self, why: str) -> None:
        """Show that what is recorded passes a limit all the same, or that it does no more."""
        self._full = why
        self._show_state()

    def _show_state(self) -> None:
        """A node whose forwarding is held up works all the same: what is recorded waits. Any thread may."""
        if self._node is None:
            return
        with self._showing:
            well = NodeState.PAUSED if self.is_paused else NodeState.RUNNING
            why = self._trouble or self._full
            state = NodeState.DEGRADED if why and not self.is_paused else well
            held = self._forwarding.held_up if self._forwarding is not None else ""
            self._node.presence.set_state(state, why or (f"forwarding held up: {held}" if held else ""))

    def _is_hearing(self) -> bool:
        return self._clock.monotonic() - self._heard_at < QUIET_S

    def _is_awaited(self) -> bool:
        """Whether a process node says that it is draining: it waits for this node's acknowledgements. While
        the registry is away nobody can say so, and what still comes in must tell."""
        if self._node is None:
            return False
        try:
            nodes = [NodeRecord.of(entry) for entry in self._node.registry.list("nodes/")]
        except MeshError:  # no registry: nobody can say that they wait, but what they send can be heard
            return self._is_hearing()
        return any(node.kind is NodeKind.PROCESS and node.state is NodeState.DRAINING for node in nodes)


def _asked_to_set(arguments: Mapping[str, Any]) -> None:
    raise ControlRefused("a collect node has nothing to set")


def _size(delivery: Delivery) -> int:
    body = delivery.message.body
    return len(body.payload) if isinstance(body, Frame) else 0
