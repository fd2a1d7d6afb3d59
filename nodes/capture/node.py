"""The capture node: several cameras, one publisher for all. Each camera has a thread of its own, which opens
its source and reads it; sources that can share one thread are read there.

Rules kept here: one camera's failure leaves the others alone; the node ends when no camera is left, and
fails if any of them has; a camera's name is taken before its source is opened, and one that another node took
while this one was not heard of is captured here no more.
"""

import logging
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.control import Operation
from mesh.errors import ConfigError, SourceError
from mesh.follow import follow
from mesh.membership.group import Reader, living
from mesh.names import check_name
from mesh.registry import Entry
from mesh.registry.holder import OVER
from mesh.registry.records import (
    CameraRecord,
    CameraState,
    NodeKind,
    NodeRecord,
    StatsRecord,
    StreamRecord,
)
from mesh.scope import Scope
from nodes.capture.asked import Asked
from nodes.capture.camera import Camera, CameraConfig
from nodes.capture.clockwork import Clockwork
from nodes.capture.sources.catalog import check_source
from nodes.capture.sources.hwaccel import check_hwaccel
from nodes.capture.sources.reactor import Reactor
from nodes.capture.valve import Valve
from nodes.node import NOTHING, Node

log = logging.getLogger(__name__)

END_REPEATS = 3
END_REPEAT_S = 0.1


def check_cameras(cameras: Sequence[CameraConfig]) -> None:
    """Refuse what can be seen to be wrong before anything starts. Raises `ConfigError`."""
    if not cameras:
        raise ConfigError("no camera to capture: give --camera NAME=URL, once for each")
    names = [check_name("camera", camera.name) for camera in cameras]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"camera {name!r} is given twice; every camera needs a name of its own")
    for camera in cameras:
        check_source(camera.url)
        check_hwaccel(camera.hwaccel)


class Capture:
    """The work of a capture node."""

    kind = NodeKind.CAPTURE
    inputs: tuple[str, ...] = ()
    folders: tuple[Path, ...] = ()
    told = NOTHING

    def __init__(self, cameras: Sequence[CameraConfig], clock: Clock = SYSTEM_CLOCK) -> None:
        check_cameras(cameras)
        self._configs = tuple(cameras)
        self._clock = clock
        self._cameras: list[Camera] = []
        self._asked = Asked(lambda: {camera.record.name: camera for camera in tuple(self._cameras)})
        self._clockwork = Clockwork(clock)
        self._node: Node | None = None
        self._reactor: Reactor | None = None
        self._settling = threading.Lock()
        self._turns: dict[str, Scope] = {}  # as long as a camera's name is this node's
        self._taken: set[str] = set()  # cameras that another node took

    @property
    def operations(self) -> Mapping[str, Operation]:
        return self._asked.operations

    @property
    def is_paused(self) -> bool:
        return self._asked.are_paused()

    def start(self, node: Node) -> None:
        self._node = node
        self._reactor = reactor = Reactor(self._clock)

        def wake() -> None:
            reactor.wake()
            node.publisher.wake()

        node.scope.on_stop(reactor.stop)
        node.presence.on_lost = self._lost
        for config in self._configs:
            turn = self._turns[config.name] = Scope(config.name)
            node.scope.on_stop(turn.stop)
            valve = Valve(wake)
            turn.on_stop(valve.stop)
            camera = Camera(
                config,
                node.publisher,
                valve,
                show=node.presence.show,
                settled=self._settled,
                clock=self._clock,
                reactor=reactor,
                clockwork=self._clockwork,
            )
            node.presence.claim_camera(camera.record)
            self._cameras.append(camera)
        for camera in self._cameras:
            config = camera.config
            if config.lossless:
                node.publisher.lossless(config.stage, config.name, hold=True, partitions=config.partitions)
            node.presence.show(self._stream(node, config))
        if any(config.lossless for config in self._configs):
            self._follow_consumers(node)
        node.scope.spawn("read", reactor.run)
        for camera in self._cameras:
            node.scope.spawn(camera.record.name, self._run, camera, node)

    def drain(self, timeout: float) -> None:
        """Stop reading, and repeat the ends: a subscriber whose queue was full may have missed one."""
        if self._node is None:
            return
        self._node.scope.stop()
        self._node.scope.join()
        over, publisher = threading.Event(), self._node.publisher

        def hurry() -> None:
            over.set()
            publisher.wake()

        self._node.rush.on_stop(hurry)
        waiting = threading.Timer(timeout, hurry)
        waiting.start()
        try:
            for _ in range(END_REPEATS):
                self._clock.wait(over, END_REPEAT_S)
                for camera in self._cameras:
                    camera.feed.end(over)
        finally:
            waiting.cancel()
            waiting.join()

    def stats(self) -> StatsRecord:
        node = self._node.id if self._node else "starting"
        cameras = tuple(camera.count() for camera in self._cameras)
        counters = self._node.publisher.stats() if self._node else {}
        counters |= self._clockwork.counters()
        return StatsRecord(node=node, at_ns=self._clock.wall_ns(), cameras=cameras, counters=counters)

    def close(self) -> None:
        """Sources were closed by the threads that read them."""
        if self._reactor is not None:
            self._reactor.close()

    def _follow_consumers(self, node: Node) -> None:
        """Tell the publisher which nodes live, so that a consumer that is gone stalls nobody."""
        nodes = Reader(NodeRecord)

        def see(entries: Mapping[str, Entry]) -> None:
            node.publisher.meet_nodes(living(nodes.read(entries)))

        follow(node.scope, node.registry, "nodes/", see, gone_s=0.0, clock=self._clock)

    def _run(self, camera: Camera, node: Node) -> None:
        camera.run()
        if camera.record.name in self._taken:
            node.presence.withdraw(self._stream(node, camera.config))

    @staticmethod
    def _stream(node: Node, config: CameraConfig) -> StreamRecord:
        return node.presence.node.stream(
            config.stage, config.name, lossless=config.lossless, partitions=config.partitions
        )

    def _lost(self, name: str) -> None:
        """Another node has taken a camera's name, while this one could not hold it."""
        if any(c.record.name == name and c.record.state in OVER for c in self._cameras):
            return  # its name was free to take
        log.warning("camera %s was taken by another node: it is stopped here", name)
        self._taken.add(name)
        self._turns[name].stop()

    def _why(self, camera: CameraRecord) -> str:
        return "another node took it" if camera.name in self._taken else camera.why

    def _settled(self) -> None:
        with self._settling:
            if self._node is None or not all(camera.is_settled for camera in self._cameras):
                return
            failed = [
                camera.record
                for camera in self._cameras
                if camera.record.state is not CameraState.ENDED or camera.record.name in self._taken
            ]
            why = "; ".join(f"camera {record.name}: {self._why(record)}" for record in failed)
            self._node.finish(SourceError(why) if failed else None)
