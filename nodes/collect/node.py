"""The collect node: results pulled, whole stages subscribed to, both recorded and published again.

Rules kept here: a result is acknowledged once it is recorded, and not before; one that comes again is
acknowledged again and not recorded twice; when the disk refuses, results wait at their senders.
"""

import logging
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.delivery import Delivery, Receiver, Seen
from mesh.errors import ConfigError, DecodeError, MeshError, StorageError, WireError
from mesh.follow import follow_streams
from mesh.frame import EndOfStream, Frame
from mesh.inbox import Cause, Inbox, Policy
from mesh.names import check_name
from mesh.registry.records import (
    GroupCount,
    NodeKind,
    NodeRecord,
    NodeState,
    RecordedCount,
    StatsRecord,
)
from mesh.scope import Scope
from mesh.stats import Counters, Rarely
from mesh.transport import Subscriber
from nodes.collect.recorder import Recorder
from nodes.node import Node

log = logging.getLogger(__name__)

INBOX_DEPTH = 1024
QUIET_S = 0.5
LOOK_EVERY_S = 0.1
GROUP = "collect"

Stream = tuple[str, str, int]  # stage, camera, boot


@dataclass(frozen=True, slots=True)
class CollectConfig:
    """What a collect node does.

    into:             the folder that it records to
    inputs:           stages that it subscribes to, besides what is pushed to it
    segment_seconds, segment_bytes:  when a recording's file ends and the next begins
    """

    into: Path
    inputs: tuple[str, ...] = ()
    segment_seconds: float = 60.0
    segment_bytes: int | None = None


@dataclass(slots=True)
class _Tally:
    recorded: Counter[Stream] = field(default_factory=Counter)
    duplicates: Counter[Stream] = field(default_factory=Counter)


class Collect:
    """The work of a collect node."""

    kind = NodeKind.COLLECT

    def __init__(self, config: CollectConfig, clock: Clock = SYSTEM_CLOCK) -> None:
        self.inputs = tuple(check_name("stage", stage) for stage in config.inputs)
        if len(set(self.inputs)) < len(self.inputs):
            raise ConfigError("a stage is given twice with --input")
        self._clock = clock
        self._recorder = Recorder(
            config.into, segment_seconds=config.segment_seconds, segment_bytes=config.segment_bytes
        )
        self._inbox = Inbox(Policy.LOSSLESS, depth=INBOX_DEPTH, on_room=self._made_room, clock=clock)
        self._lock = threading.Lock()  # of the recorder and the tally
        self._seen = Seen()
        self._tally = _Tally()
        self._relayed: set[tuple[str, str]] = set()
        self._counters = Counters()
        self._rarely = Rarely()
        self._heard_at = clock.monotonic()
        self._intake = Scope("idle")
        self._node: Node | None = None
        self._receiver: Receiver | None = None
        self._subscriber: Subscriber | None = None

    def start(self, node: Node) -> None:
        self._node = node
        self._intake = Scope("intake", node.scope)
        node.scope.on_stop(self._inbox.close)
        self._receiver = Receiver(
            self._intake,
            self._collect,
            node.publisher.send,
            bind_to=node.binds(),
            clock=self._clock,
        )
        node.serve("pull", self._receiver.endpoints)
        if self.inputs:
            node.scope.spawn("record", self._record_stages)
            self._subscriber = Subscriber(
                self._intake, self._inbox.offer, consumer=node.id, clock=self._clock
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
        never = threading.Event()
        # Nodes that were stopped together with this one need a moment to say that they are draining.
        while (now := self._clock.monotonic()) < deadline and (now - begun < QUIET_S or self._is_awaited()):
            self._clock.wait(never, LOOK_EVERY_S)
        self._intake.stop()
        self._intake.join()
        while not self._inbox.idle() and self._clock.monotonic() < deadline:
            self._clock.wait(never, LOOK_EVERY_S)

    def stats(self) -> StatsRecord:
        with self._lock:
            streams = sorted({*self._tally.recorded, *self._tally.duplicates})
            recorded = tuple(
                RecordedCount(
                    stage=stage,
                    camera=camera,
                    boot=boot,
                    recorded=self._tally.recorded[stage, camera, boot],
                    duplicates=self._tally.duplicates[stage, camera, boot],
                )
                for stage, camera, boot in streams
            )
        counters = dict(self._counters.snapshot())
        if self._node is not None:
            counters |= self._node.publisher.stats()
        counters |= self._receiver.stats() if self._receiver is not None else {}
        return StatsRecord(
            node=self._node.id if self._node else "starting",
            at_ns=self._clock.wall_ns(),
            groups=tuple(self._groups()),
            recorded=recorded,
            counters=counters,
        )

    def close(self) -> None:
        """End every segment. Raises `StorageError`."""
        self._intake.stop()
        self._intake.join()
        self._recorder.close()

    def _made_room(self) -> None:
        if self._subscriber is not None:
            self._subscriber.made_room()

    def _groups(self) -> Iterable[GroupCount]:
        for count in self._inbox.counts():
            yield GroupCount(
                camera=count.camera,
                boot=count.boot,
                stage=count.stage,
                group=GROUP,
                output=count.stage,
                offered=count.offered,
                processed=count.processed,
                dropped=dict(count.dropped),
                lost=count.lost,
                in_flight=count.in_flight,
                ended=count.ended,
            )

    def _collect(self, batch: list[Delivery]) -> None:
        """Record results that were pushed, and acknowledge those that are safe."""
        self._heard_at = self._clock.monotonic()
        done = [delivery for delivery in batch if self._take(delivery.message.body)]
        if self._receiver is not None:
            self._receiver.acknowledge(done)

    def _take(self, body: Frame | EndOfStream) -> bool:
        """Record a result; whether its sender may forget it."""
        if isinstance(body, EndOfStream):
            self._end(body)
            return True
        cause = self._record(body)
        if cause is not None:
            self._counters.add(f"pushed_{cause}")
        return cause != Cause.STORAGE

    def _record_stages(self) -> None:
        while (item := self._inbox.take()) is not None:
            if isinstance(item, Frame):
                self._inbox.settle(item, self._record(item))
            else:
                self._end(item)
                self._inbox.settle(item)

    def _record(self, frame: Frame) -> str | None:
        """Record a frame once and publish it again; None, or why it was not recorded."""
        if self._node is None:
            return Cause.ABANDONED
        stream = (frame.stage, frame.camera, frame.boot)
        frame = replace(self._node.publisher.stamp(frame), lossless=False)  # a relay waits for nobody
        with self._lock:
            if frame in self._seen:
                self._tally.duplicates[stream] += 1
                return None
            try:
                self._recorder.write(frame)
            except StorageError as error:
                self._unwell(self._node, error)
                return Cause.STORAGE
            except (DecodeError, WireError) as error:
                self._complain(error)
                return Cause.DECODE
            self._seen.add(frame)
            self._tally.recorded[stream] += 1
        self._node.presence.set_state(NodeState.RUNNING)
        self._forward(self._node, frame)
        return None

    def _forward(self, node: Node, frame: Frame) -> None:
        if (frame.stage, frame.camera) not in self._relayed:
            self._relayed.add((frame.stage, frame.camera))
            node.presence.show(node.presence.node.stream(frame.stage, frame.camera, relay=True))
        node.publisher.publish(frame)

    def _end(self, end: EndOfStream) -> None:
        if self._node is not None:
            self._node.publisher.end(replace(end, lossless=False))
        with self._lock:
            try:
                self._recorder.end(end.camera, end.stage)
            except StorageError as error:
                self._complain(error)

    def _unwell(self, node: Node, error: StorageError) -> None:
        self._complain(error)
        node.presence.set_state(NodeState.DEGRADED, str(error))

    def _complain(self, error: Exception) -> None:
        if (held := self._rarely.ready(self._clock.monotonic())) is not None:
            log.error("%s (%d more since the last such line)", error, held)

    def _is_hearing(self) -> bool:
        return self._clock.monotonic() - self._heard_at < QUIET_S

    def _is_awaited(self) -> bool:
        """Whether a process node says that it is draining: it waits for this node's acknowledgements."""
        if self._node is None:
            return False
        try:
            nodes = [NodeRecord.of(entry) for entry in self._node.registry.list("nodes/")]
        except MeshError:  # no registry: nobody can say that they wait, but what they send can be heard
            return self._is_hearing()
        return any(node.kind is NodeKind.PROCESS and node.state is NodeState.DRAINING for node in nodes)
