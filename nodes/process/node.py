"""The process node: frames of one stage in, processors over them, results out.

Rules kept here: the frames of a camera's partition are worked on in order, by one worker at a time; a frame
that a processor cannot take is counted and costs itself alone; results go to the collectors that live now,
and to whoever subscribes to this node's own stage.
"""

import logging
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mesh.claims import Claims
from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.codec import DEFAULT_QUALITY
from mesh.collectors import collectors_of
from mesh.control import Operation
from mesh.delivery import MAX_BYTES, Sender, Spool
from mesh.errors import ConfigError, DecodeError, MeshError, ProcessorError
from mesh.follow import follow
from mesh.frame import Codec, EndOfStream, Frame, with_fields
from mesh.inbox import DEFAULT_DEPTH, Cause, Inbox, Policy
from mesh.membership.ownership import Key, parts_of
from mesh.names import check_name
from mesh.picture import Pixels
from mesh.registry import Entry
from mesh.registry.records import (
    NodeKind,
    NodeState,
    StatsRecord,
    StreamRecord,
)
from mesh.scope import Scope
from mesh.transport import Subscriber
from mesh.wire import View
from nodes.node import NOTHING, Node
from nodes.process.asked import Asked
from nodes.process.chain import Chain
from nodes.process.health import Effort, Health
from nodes.process.intake import Intake
from nodes.process.made import Made
from nodes.process.processors.catalog import factory
from nodes.process.share import Share

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.05
COLLECTOR_GONE_S = 2.0  # then its results go to another
INTAKE_PAUSE_S = 0.005  # a camera's frames come tens of milliseconds apart


@dataclass(frozen=True, slots=True)
class ProcessConfig:
    """What a process node does.

    processors:     specifications, in the order in which each frame passes them
    input, stage:   the stage that is taken in, and the name of the one that is published
    group:          with whom the work is shared: each camera's partition is taken by one of a group. Without
                    one it is named as the stage
    policy, depth, max_age_s:  of the inbox; see `mesh.inbox`. Without `max_age_s`, `latest` takes nothing
                    that is older than a second; 0 is no limit
    view:           what is taken of the input: None chooses pixels in shared memory where they can be had and
                    nothing is pushed (a collector wants the camera's own encoding); see `mesh.views`
    workers:        threads; the frames of a camera's partition stay on one at a time
    push:           whether results go to collectors; a stage in the middle of a chain does without
    quality:        JPEG quality (1 to 100) of frames whose pixels a processor changed
    window_bytes:   results that wait in memory until a collector has recorded them; more go to the spool
    spool, spool_bytes:  its folder, in which each stage has one, and its limit; None or 0 is no spool
    """

    processors: tuple[str, ...]
    input: str = "raw"
    stage: str | None = None
    group: str | None = None
    policy: Policy = Policy.LATEST
    depth: int = DEFAULT_DEPTH
    max_age_s: float | None = None
    view: View | None = None
    workers: int = 1
    push: bool = True
    quality: int = DEFAULT_QUALITY
    window_bytes: int = MAX_BYTES
    spool: Path | None = None
    spool_bytes: int = 0


def stage_name(config: ProcessConfig, processors: Iterable[str]) -> str:
    """The stage that a node publishes: as told, else the names of its processors, joined."""
    names = (name.rpartition(":")[2].lower() for name in processors)
    stage = config.stage or "-".join(
        "".join(c if c.isalnum() or c in "_-" else "-" for c in n) for n in names
    )
    if check_name("stage", stage) in (config.input, "raw"):
        raise ConfigError(f"stage {stage!r} is taken in here or captured: choose another --stage")
    return stage


class Process:
    """The work of a process node."""

    kind = NodeKind.PROCESS
    told = NOTHING

    def __init__(self, config: ProcessConfig, clock: Clock = SYSTEM_CLOCK) -> None:
        if not config.processors:
            raise ConfigError("no processor: name at least one, such as motion, codes or passthrough")
        self._config = config
        self._clock = clock
        self._factories = [factory(text) for text in config.processors]
        self.stage = stage_name(config, [made.name for made in self._factories])
        self.inputs = (check_name("stage", config.input),)
        self.group = check_name("group", config.group or self.stage)
        self._claims = Claims(self._give_up_shared)
        self._inbox = Inbox(
            config.policy,
            depth=config.depth,
            max_age_s=config.max_age_s,
            split=True,
            consumes=True,
            on_room=self._made_room,
            claim=self._claims.claim,
            clock=clock,
        )
        self._intake = self._outlet = Scope("idle")
        self._subscriber: Subscriber | None = None
        self._taken: Intake | None = None
        self._share: Share | None = None
        self._sender: Sender | None = None
        self._node: Node | None = None
        self._chains: dict[tuple[str, int], Chain] = {}  # by camera and partition
        self._chains_lock = threading.Lock()
        self._made = Made(self.group, self.inputs[0], self.stage)
        self._health = Health(self._show_state)
        self._effort = Effort(config.workers)
        self._asked = Asked(self._inbox, self._health, config.quality, config.max_age_s)
        self.operations: Mapping[str, Operation] = self._asked.operations
        self.folders = (config.spool / self.stage,) if config.spool and config.spool_bytes else ()

    @property
    def is_paused(self) -> bool:
        return self._asked.is_paused

    def start(self, node: Node) -> None:
        self._node = node
        self._intake, self._outlet = Scope("intake", node.scope), Scope("outlet", node.scope)
        self._share = Share(self._intake, node, self.group, self._config.input, self.stage, self._clock)
        if self._config.push:
            self._sender = Sender(
                self._outlet,
                node.id,
                max_bytes=self._config.window_bytes,
                spool=self._spool(),
                clock=self._clock,
            )
            follow(
                self._intake,
                node.registry,
                "nodes/",
                self._meet_collectors,
                gone_s=COLLECTOR_GONE_S,
                clock=self._clock,
            )
        node.scope.on_stop(self._inbox.close)
        for number in range(self._config.workers):
            node.scope.spawn(f"worker {number}", self._work, node)
        self._subscriber = Subscriber(
            self._intake,
            self._claims.before(self._inbox.offer_all),
            consumer=node.id,
            pause_s=INTAKE_PAUSE_S,
            clock=self._clock,
        )
        view = View.FRAME if self._config.push and self._config.view is None else self._config.view
        self._taken = Intake(self._subscriber, self._inbox, self._config.input, view)
        self._share.start(self._taken, self)

    def drain(self, timeout: float) -> None:
        """Hand over, take in no more, finish what is here, and wait until its results are acknowledged."""
        deadline = self._clock.monotonic() + timeout
        rush = self._node.rush.stopping if self._node is not None else threading.Event()
        self._inbox.resume()
        if self._share is not None:
            self._share.drain(timeout / 2)  # what is here then is to be finished and delivered
        self._intake.stop()
        self._intake.join()
        while not (self._is_done() or rush.is_set()) and self._clock.monotonic() < deadline:
            self._clock.wait(rush, LOOK_EVERY_S)
        if rush.is_set():
            self._inbox.close()  # what waits is abandoned, and counted as that
        if not self._is_done():
            log.warning("not everything was worked on and taken in by its consumers in time")
        if self._sender is not None and not self._sender.drain(deadline - self._clock.monotonic(), rush):
            log.warning("some results were not acknowledged by a collector in time")
        self._outlet.stop()  # what is left goes to the spool now, so that the last counters tell of it
        self._outlet.join()

    def stats(self) -> StatsRecord:
        node = self._node
        self._tell_capacity()
        sent = self._sender.counts() if self._sender else None
        groups = self._made.counts(self._inbox.counts(), sent, node.publisher.run if node else 0)
        counters = node.publisher.stats() if node is not None else {}
        for part in (self._subscriber, self._sender):
            counters |= part.stats() if part is not None else {}
        return StatsRecord(
            node=node.id if node else "starting",
            at_ns=self._clock.wall_ns(),
            groups=tuple(groups),
            counters=counters,
        )

    def close(self) -> None:
        for scope in (self._intake, self._outlet):
            scope.stop()
            scope.join()
        for chain in self._chains.values():
            _close(chain)

    def _is_done(self) -> bool:
        """Whether what was taken has been worked on, and those who consume the results have them."""
        return self._inbox.idle() and (self._node is None or self._node.publisher.is_settled(self.stage))

    def _tell_capacity(self) -> None:
        """Show how much this node could take, where that has changed: others go by it."""
        capacity = self._effort.capacity(self._clock.monotonic())
        if self._node is not None and capacity != self._node.presence.node.capacity:
            self._node.presence.change(capacity=capacity)

    def _spool(self) -> Spool | None:
        if self._config.spool is None or not self._config.spool_bytes:
            return None
        return Spool(self._config.spool / self.stage, self._config.spool_bytes)

    def _meet_collectors(self, entries: Mapping[str, Entry]) -> None:
        if self._sender is not None:
            self._sender.set_collectors(collectors_of(entries.values()))

    def _work(self, node: Node) -> None:
        done: Frame | EndOfStream | None = None
        while (item := self._inbox.take(settled=done)) is not None:
            if isinstance(item, EndOfStream):
                self._finish(node, item)
                done = item
            elif (dropped := self._process(node, item)) is not None:
                self._inbox.settle(item, dropped)
                done = None
            else:  # pixels in shared memory are not kept while this waits for more
                done = item if item.codec is Codec.JPEG else item.without_image()
            item = None

    def _process(self, node: Node, frame: Frame) -> str | None:
        """Run a frame through the processors; None, or why it was dropped."""
        try:
            chain = self._chain(frame.camera, frame.partition)
            began = self._clock.monotonic()
            results = chain.run(frame)
            self._effort.worked(self._clock.monotonic() - began)
            for result in results:
                if not self._emit(node, result):
                    return Cause.ABANDONED
            self._made.done(frame, self._clock.wall_ns())
        except MeshError as error:
            self._unwell(error)
            return Cause.DECODE if isinstance(error.__cause__, DecodeError) else Cause.PROCESSOR
        self._health.well()
        return None

    def _emit(self, node: Node, result: Frame) -> bool:
        """Publish a result and offer it to the collectors; False when the node stopped before it could."""
        frame, picture = self._framed(result)
        frame = node.publisher.stamp(frame, stage=self.stage)
        if not node.publisher.publish(frame, node.scope.stopping, picture):
            return False
        if not self._offer(node, frame):
            return False
        if self._sender is None:  # else it counts
            self._made.result(frame)
        return True

    def _framed(self, result: Frame) -> tuple[Frame, Pixels | None]:
        """A result as it goes out: with a JPEG where it is pushed, and beside it the pixels that it holds."""
        quality = self._asked.quality
        if result.codec is not Codec.RAW:
            return result.encoded(quality), None  # itself, unless it holds no image
        picture = Pixels.of(result, quality)
        if self._sender is None:
            return result, picture
        return with_fields(result, payload=picture.jpeg, codec=Codec.JPEG, channels=3, _pixels={}), picture

    def _finish(self, node: Node, end: EndOfStream) -> None:
        """A partition of a camera has ended upstream: say so downstream, behind its last result."""
        end = replace(end, stage=self.stage)
        node.publisher.end(end, node.scope.stopping)
        self._offer(node, end)

    def _offer(self, node: Node, result: Frame | EndOfStream) -> bool:
        """Hand a result to the sender; one of a lossless stream waits for room there, or until the stop."""
        if self._sender is None:
            return True
        if result.lossless:
            return self._sender.offer_waiting(result, node.scope.stopping)
        self._sender.offer(result)
        return True

    def _chain(self, camera: str, partition: int) -> Chain:
        chain = self._chains.get((camera, partition))
        if chain is None:  # of this partition: no two workers are at it
            chain = Chain(self._factories)
            with self._chains_lock:
                self._chains[camera, partition] = chain
        return chain

    def begins(self, found: StreamRecord) -> None:
        """List this node's stream of a camera that it takes, so that others are there for its first frame.

        A lossless stream stays so; where its results go nowhere else, it waits for somebody to consume it.
        """
        if (node := self._node) is None:
            return
        camera, lossless, partitions = found.camera, found.lossless, found.partitions
        if lossless:
            hold = not self._config.push
            node.publisher.lossless(self.stage, camera, hold=hold, partitions=partitions)
        this = node.presence.node
        node.presence.show(this.stream(self.stage, camera, lossless=lossless, partitions=partitions))

    def is_over(self, key: Key) -> None:
        """A partition is another member's now, or has gone: its processors are done."""
        with self._chains_lock:
            chain = self._chains.pop(parts_of(key), None)
        if chain is not None:
            _close(chain)

    def is_settled(self, camera: str) -> bool:
        """Whether a camera's results have been taken in by whoever consumes them as a lossless stream."""
        return self._node is None or self._node.publisher.is_settled(self.stage, camera)

    def ends(self, camera: str) -> None:
        """Nothing of a camera is worked on here any more."""
        if (node := self._node) is not None:
            node.presence.withdraw(node.presence.node.stream(self.stage, camera))

    def _give_up_shared(self, camera: str) -> None:
        if self._taken is not None:
            self._taken.give_up(camera)

    def _made_room(self) -> None:
        if self._subscriber is not None:
            self._subscriber.made_room()

    def lacks(self, why: str) -> None:
        """Something that was placed here does not come; an empty `why` ends that."""
        if why:
            log.warning("%s", why)
        self._health.lacks(why)

    def _unwell(self, error: MeshError) -> None:
        held = self._health.unwell(str(error), self._clock.monotonic())
        if held is not None:
            log.warning("a frame was dropped: %s (%d more since the last such line)", error, held)

    def _show_state(self, state: NodeState, why: str) -> None:
        if self._node is not None:
            self._node.presence.set_state(state, why)


def _close(chain: Chain) -> None:
    try:
        chain.close()
    except ProcessorError as error:
        log.error("a processor did not close: %s", error)
