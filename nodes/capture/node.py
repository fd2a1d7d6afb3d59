"""The capture node: several cameras, one publisher for all. Each camera has a thread of its own, which opens
its source and reads it; sources that can share one thread are read there.

Rules kept here: one camera's failure leaves the others alone; the node ends when no camera is left, and
fails if any of them has; a camera's name is taken before its source is opened.
"""

import threading
from collections.abc import Mapping, Sequence

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.errors import ConfigError, SourceError
from mesh.follow import follow
from mesh.membership.group import Reader, living
from mesh.names import check_name
from mesh.registry import Entry
from mesh.registry.records import CameraState, NodeKind, NodeRecord, StatsRecord
from nodes.capture.camera import STAGE, Camera, CameraConfig
from nodes.capture.sources.catalog import check_source
from nodes.capture.sources.hwaccel import check_hwaccel
from nodes.capture.sources.reactor import Reactor
from nodes.node import Node

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

    def __init__(self, cameras: Sequence[CameraConfig], clock: Clock = SYSTEM_CLOCK) -> None:
        check_cameras(cameras)
        self._configs = tuple(cameras)
        self._clock = clock
        self._cameras: list[Camera] = []
        self._node: Node | None = None
        self._reactor: Reactor | None = None
        self._settling = threading.Lock()

    def start(self, node: Node) -> None:
        self._node = node
        self._reactor = reactor = Reactor(self._clock)
        node.scope.on_stop(reactor.stop)
        for config in self._configs:
            camera = Camera(
                config,
                node.publisher,
                node.scope,
                show=node.presence.show,
                settled=self._settled,
                clock=self._clock,
                reactor=reactor,
            )
            node.presence.claim_camera(camera.record)
            self._cameras.append(camera)
        for camera in self._cameras:
            name, lossless, partitions = (
                camera.record.name,
                camera.config.lossless,
                camera.config.partitions,
            )
            if lossless:
                node.publisher.lossless(STAGE, name, hold=True, partitions=partitions)
            stream = node.presence.node.stream(STAGE, name, lossless=lossless, partitions=partitions)
            node.presence.show(stream)
        if any(config.lossless for config in self._configs):
            self._follow_consumers(node)
        node.scope.spawn("read", reactor.run)
        for camera in self._cameras:
            node.scope.spawn(camera.record.name, camera.run)

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

        waiting = threading.Timer(timeout, hurry)
        waiting.start()
        for _ in range(END_REPEATS):
            self._clock.wait(over, END_REPEAT_S)
            for camera in self._cameras:
                camera.end(over)
        waiting.cancel()
        waiting.join()

    def stats(self) -> StatsRecord:
        node = self._node.id if self._node else "starting"
        cameras = tuple(camera.count() for camera in self._cameras)
        counters = self._node.publisher.stats() if self._node else {}
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

    def _settled(self) -> None:
        with self._settling:
            if self._node is None or not all(camera.is_settled for camera in self._cameras):
                return
            failed = [
                camera.record for camera in self._cameras if camera.record.state is not CameraState.ENDED
            ]
            why = "; ".join(f"camera {record.name}: {record.why}" for record in failed)
            self._node.finish(SourceError(why) if failed else None)
