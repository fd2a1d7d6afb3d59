"""What scripts use: connect to a mesh, read its frames, publish frames of one's own.

Rules kept here: everything is closed by the context manager, also when closing a part of it fails; what was
closed before is not kept.
"""

import contextlib
import os
from collections.abc import Iterable, Sequence
from typing import Any, Self

from mesh.clock import SYSTEM_CLOCK
from mesh.control import Answer
from mesh.errors import MeshError
from mesh.frame import Frame
from mesh.inbox import DEFAULT_DEPTH, Policy
from mesh.ledger import Summary, summarise
from mesh.names import check_name
from mesh.orders import order
from mesh.place import machine, this_place
from mesh.publication import Publication
from mesh.registry import Registry, open_registry
from mesh.registry.records import (
    CameraRecord,
    GroupRecord,
    NodeRecord,
    StatsRecord,
    StreamRecord,
    listed,
)
from mesh.registry.setups import CameraSetup
from mesh.scope import Scope
from mesh.setups import setups, waiting
from mesh.subscription import Subscription, subscribe
from mesh.trace import NodeClock, Trace, Traced
from mesh.transport import Subscriber
from mesh.views import AUTO
from mesh.wire import Message, View, topic_prefix

__all__ = ["DEFAULT_REGISTRY", "Mesh", "NoFrame", "Subscription", "connect", "registry_url", "subscribe"]

DEFAULT_REGISTRY = "tcp://127.0.0.1:7700"


class NoFrame(MeshError):
    """No frame came within the time given."""


def registry_url(url: str | None = None) -> str:
    """`url`, else the environment's MESH_REGISTRY, else `tcp://127.0.0.1:7700`."""
    return url or os.environ.get("MESH_REGISTRY") or DEFAULT_REGISTRY


def connect(registry: str | None = None, *, timeout: float = 3.0) -> "Mesh":
    """A mesh, found through its registry: `with mesh.connect() as m: ...`.

    registry:  its URL; without one, the environment's MESH_REGISTRY, else `tcp://127.0.0.1:7700`
    timeout:   seconds that each request to the registry may take
    Raises `ConfigError` for a URL that is none and, when first used, `RegistryUnavailable`.
    """
    return Mesh(open_registry(registry_url(registry), timeout=timeout))


class Mesh:
    """A mesh as a script sees it. Make it with `connect`; use it as a context manager."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._open: list[Subscription | Publication] = []

    def __repr__(self) -> str:
        return f"<Mesh {self._registry.url}>"

    def subscribe(
        self,
        stage: str = "raw",
        camera: str | None = None,
        policy: str = Policy.LATEST,
        *,
        depth: int = DEFAULT_DEPTH,
        max_age: float | None = None,
        view: str = AUTO,
        until_end: bool = False,
    ) -> Subscription:
        """Frames of a stage: of one camera, or of every camera that it has or will have.

        policy:     "latest" (each camera's freshest frame), "fifo" (a queue of `depth` frames a camera), or
                    "lossless" (as "fifo", and streams that are lossless wait for this script)
        max_age:    frames captured more than so many seconds ago are dropped, counted "expired"; a second
                    for "latest" unless given, 0 is no limit (`mesh.freshness` says how ages are judged
                    where clocks differ; frames of lossless streams have none)
        view:       "frame" (as the stream is encoded), "meta" (annotations without an image), "preview"
                    (small, at a low rate), or "shm" (pixels in shared memory, for a publisher on this host
                    that has some). "auto" takes "shm" where it can be had and the policy is "latest", and
                    "frame" else: `frame.image` is the same, and `frame.jpeg` encodes where it has to
        until_end:  iteration ends where the stream ends, if it does; else it waits for the camera's return
        """
        self._registry.get("nodes/any")  # one clear error now, if there is no registry
        subscription = Subscription(
            stage,
            camera,
            registry=self._registry,
            policy=policy,
            depth=depth,
            max_age=max_age,
            view=view,
            until_end=until_end,
        )
        self._keep(subscription)
        return subscription

    def publish(
        self,
        stage: str,
        camera: str,
        *,
        quality: int = 85,
        partitions: int = 1,
        bind: str = "tcp://127.0.0.1:*",
    ) -> Publication:
        """Publish frames of one's own: `with m.publish("raw", "bench") as out: out.send(image)`.

        At stage "raw" the script is the camera, and its name must be free. `quality` (1 to 100) is that of
        the JPEG that arrays are encoded to; among `partitions` (1 to 1024) the nodes of a group can share
        the frames. Raises `ConfigError` when the name is taken.
        """
        publication = Publication(
            stage, camera, registry=self._registry, quality=quality, partitions=partitions, bind=bind
        )
        self._keep(publication)
        return publication

    def snapshot(self, camera: str, stage: str = "raw", *, timeout: float = 10.0) -> Frame:
        """One frame of a camera, as soon as it comes, in the stream's own encoding. Raises `NoFrame` after
        `timeout` seconds."""
        with self.subscribe(stage, camera, view=View.FRAME) as subscription:
            frame = subscription.get(timeout)
        if frame is None:
            raise self._no_frame(camera, f"{stage}/{camera}", timeout)
        return frame

    def control(self, name: str, operation: str, *, timeout: float | None = None, **arguments: Any) -> Answer:
        """Have a running node or camera do something, as `mesh ctl` does: `m.control("door", "pause")`.

        operation:  "status", "pause", "resume", "set", "snapshot" (of a camera: the answer's `payload` is a
                    JPEG), "drain" or "stop" (of a node: it answers, and then ends)
        timeout:    seconds to wait for the answer: 5 unless given, 15 for a snapshot
        Raises `MeshError` in one line when there is no such name, no answer, or a refusal.
        """
        return order(self._registry, name, operation, arguments, timeout=timeout).answer

    def cameras(self) -> list[CameraRecord]:
        """Every camera, by name. Raises `RegistryUnavailable`."""
        return listed(self._registry, CameraRecord, "cameras/")

    def setups(self) -> list[CameraSetup]:
        """Every camera that is configured, by name, its URL as it is kept. Raises `RegistryUnavailable`."""
        return setups(self._registry)

    def nodes(self) -> list[NodeRecord]:
        """Every node, by name. Raises `RegistryUnavailable`."""
        return listed(self._registry, NodeRecord, "nodes/")

    def groups(self) -> list[GroupRecord]:
        """What each member of each group has of the group's work."""
        return listed(self._registry, GroupRecord, "groups/")

    def streams(self) -> list[StreamRecord]:
        """Every stream, by stage and camera. Raises `RegistryUnavailable`."""
        return listed(self._registry, StreamRecord, "streams/")

    def reports(self) -> list[StatsRecord]:
        """What each node has counted, as it reports it once a second; of nodes that have gone, for ten
        minutes. Raises `RegistryUnavailable`."""
        return listed(self._registry, StatsRecord, "stats/")

    def stats(self, reports: Sequence[StatsRecord] | None = None) -> Summary:
        """The ledger of the whole mesh, added up: see `mesh.ledger`; of `reports`, where they have been read.
        Raises `RegistryUnavailable`."""
        reports = self.reports() if reports is None else reports
        # Nodes last: one that starts meanwhile must not look as if it had died.
        nodes = listed(self._registry, NodeRecord, "nodes/")
        return summarise(reports, nodes, forgot_ns=self._forgot_ns())

    def trace(self, camera: str, seconds: float = 5.0) -> Traced:
        """Where a camera's frames spend their time, watched for `seconds`, at every stage that it has now.

        Images are not fetched. Raises `NoFrame` when there is no such camera, or nothing came.
        """
        check_name("camera", camera)
        streams = [stream for stream in self.streams() if stream.camera == camera]
        if not streams and camera not in {record.name for record in self.cameras()}:
            raise self._no_camera(camera)
        gathered = Trace()
        with Scope(f"trace {camera}") as scope:
            _listen(scope, streams, gathered)
            SYSTEM_CLOCK.wait(scope.stopping, seconds)
            scope.stop()
        if not gathered.frames:
            raise self._no_frame(camera, "any stage", seconds)
        return gathered.traced(self._clocks())

    def _forgot_ns(self) -> int:
        """When the registry started, with no report of a node that had gone; 0 where that is not known."""
        try:
            start = self._registry.start()
            return 0 if start is None else self._registry.now_ns() - round(start.age_s * 1e9)
        except MeshError:  # one that is too old to say
            return 0

    def _clocks(self) -> dict[str, NodeClock]:
        machines = {node.id: machine(node.place) for node in self.nodes()}
        return {
            name: NodeClock(clock["clock_offset_ns"], clock["clock_error_ns"], machines.get(name, ""))
            for name, clock in self.stats()["nodes"].items()
        }

    def _no_camera(self, camera: str) -> NoFrame:
        cameras = self.cameras()
        why = waiting(self.setups(), cameras, self.nodes()).get(camera)
        if why is not None:
            return NoFrame(f"nobody captures camera {camera!r}: {why}")
        names = ", ".join(sorted(record.name for record in cameras)) or "none"
        return NoFrame(f"there is no camera {camera!r}; cameras now: {names}")

    def _no_frame(self, camera: str, where: str, seconds: float) -> NoFrame:
        known = {record.name: record for record in self.cameras()}
        if camera not in known:
            return self._no_camera(camera)
        state = known[camera].state + (f": {known[camera].why}" if known[camera].why else "")
        return NoFrame(f"no frame of {where} came within {seconds:g} s; the camera is {state}")

    @property
    def registry(self) -> Registry:
        return self._registry

    def close(self) -> None:
        """Close every subscription and publication that is still open, and the registry."""
        opened, self._open = self._open, []
        with contextlib.ExitStack() as stack:  # it goes on when one of them raises
            stack.callback(self._registry.close)
            for one in opened:
                stack.callback(one.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _keep(self, opened: Subscription | Publication) -> None:
        self._open = [one for one in self._open if not one.closed]
        self._open.append(opened)


def _listen(scope: Scope, streams: Iterable[StreamRecord], trace: Trace) -> None:
    """Add every frame of these streams, from relays too, without its image, on a thread of `scope`."""

    def take(messages: list[Message]) -> None:
        for message in messages:
            if isinstance(message.body, Frame):
                trace.add(message.body)

    subscriber = Subscriber(scope, take)
    for stream in streams:
        subscriber.subscribe(topic_prefix(View.META, stream.stage, stream.camera))
        subscriber.connect(stream.reach(this_place()))
