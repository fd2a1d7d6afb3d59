"""Publishing from a script: frames of one's own, or a stage made of frames that were subscribed to.

Rules kept here: a new image gets a new identity, a frame that came from the mesh keeps its own; raw pixels
are encoded once, for those who listen; closing says that the stream has ended and how many frames it had.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Self

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.codec import DEFAULT_QUALITY, Buffer, Image, check_image, jpeg_size
from mesh.errors import ConfigError
from mesh.frame import Codec, Detection, EndOfStream, Frame, draw_boot, new_frame
from mesh.names import check_name, check_partitions
from mesh.picture import Pixels
from mesh.place import local_endpoints
from mesh.presence import Presence, new_record
from mesh.registry import Registry
from mesh.registry.records import (
    CameraCount,
    CameraRecord,
    CameraState,
    NodeKind,
    StatsRecord,
)
from mesh.scope import Scope
from mesh.transport import Publisher


class Publication:
    """One stream of a script. Made by `Mesh.publish`, or by `mesh.publish` without a registry.

    `send` may be called from one thread at a time. Use it as a context manager, or call `close`.
    """

    def __init__(
        self,
        stage: str,
        camera: str,
        *,
        registry: Registry | None = None,
        bind: str = "tcp://127.0.0.1:*",
        quality: int = DEFAULT_QUALITY,
        partitions: int = 1,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.stage = check_name("stage", stage)
        self.camera = check_name("camera", camera)
        self.boot = draw_boot(clock.wall_ns())
        self.partitions = check_partitions(partitions)
        self.closed = False
        self._quality = quality
        self._clock = clock
        self._count = 0
        self._scope = Scope(f"publish {stage}/{camera}")
        node = new_record(NodeKind.PUBLISH, None, {}, clock)
        self._publisher = Publisher(node.id, (bind, *local_endpoints()), clock=clock)
        self._presence: Presence | None = None
        if registry is not None:
            endpoints = dict(zip(("pub", "pub_local"), self._publisher.endpoints, strict=False))
            record = node.model_copy(update={"endpoints": endpoints})
            self._presence = Presence(self._scope, registry, record, self._stats, clock=clock)
            self._enter(self._presence)

    def __repr__(self) -> str:
        return f"<Publication {self.stage}/{self.camera} at {self.endpoint} sent={self._count}>"

    @property
    def endpoint(self) -> str:
        """Where it can be subscribed to: `tcp://HOST:PORT`."""
        return self._publisher.endpoint

    @property
    def listened_to(self) -> bool:
        """Whether anybody subscribes to it now: to each of its partitions, where there are several."""
        return self._publisher.is_taken_in(self.stage, self.camera, self.partitions)

    def send(
        self,
        what: Frame | Image | Buffer,
        *,
        captured_ns: int | None = None,
        detections: Iterable[Detection] = (),
    ) -> Frame:
        """Publish a frame, and give it back with its identity. It never waits for subscribers.

        Pixels are encoded, or put into shared memory, before this returns, and only for those who listen; an
        array may be used again then, but the frame given back looks at it.

        what:         a Frame that came from the mesh (it keeps its identity), (H, W, 3) uint8 BGR or (H, W)
                      uint8 gray pixels, or the bytes of a JPEG
        captured_ns:  when new pixels were taken, nanoseconds since the epoch; now, unless given
        Raises `ConfigError` for another camera's frame or an array that is no image, `DecodeError` for bytes
        that are no JPEG, and `WireError` for annotations that cannot be packed.
        """
        frame = self._own(what) if isinstance(what, Frame) else self._new(what, captured_ns)
        found = (*frame.detections, *detections)
        changes = {"stage": self.stage, "detections": found, "partitions": self.partitions}
        frame = self._publisher.stamp(frame, **changes)
        picture = Pixels.of(frame, self._quality) if frame.codec is Codec.RAW else None
        self._publisher.publish(frame, picture=picture)
        self._count += 1
        return frame

    def close(self) -> None:
        """Say that the stream has ended, let what is queued go out, and retire."""
        if self.closed:
            return
        self.closed = True
        end = EndOfStream(self.camera, self.boot, self._count, self.stage, partitions=self.partitions)
        for number in range(self.partitions):
            self._publisher.end(replace(end, partition=number))
        self._scope.stop()
        self._scope.join()
        if self._presence is not None:
            self._show_camera(self._presence, CameraState.ENDED)
            self._presence.leave()
        self._publisher.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _enter(self, presence: Presence) -> None:
        try:
            presence.enter()
            if self.stage == "raw":
                presence.claim_camera(self._camera_record(CameraState.ONLINE))
            presence.show(presence.node.stream(self.stage, self.camera, partitions=self.partitions))
        except BaseException:
            self._scope.stop()
            self._scope.join()
            presence.leave()
            self._publisher.close(flush=False)
            raise

    def _show_camera(self, presence: Presence, state: CameraState) -> None:
        if self.stage == "raw":
            presence.show(self._camera_record(state))

    def _camera_record(self, state: CameraState) -> CameraRecord:
        return CameraRecord(
            name=self.camera,
            source="script:",
            state=state,
            node=self._publisher.node,
            boot=self.boot,
            codec="jpeg",
        )

    def _stats(self) -> StatsRecord:
        count = CameraCount(
            camera=self.camera, boot=self.boot, stage=self.stage, captured=self._count, ended=self.closed
        )
        return StatsRecord(node=self._publisher.node, at_ns=self._clock.wall_ns(), cameras=(count,))

    def _own(self, frame: Frame) -> Frame:
        if frame.camera != self.camera:
            raise ConfigError(f"a frame of camera {frame.camera!r} cannot be published as {self.camera!r}")
        self.boot = frame.boot
        return frame

    def _new(self, what: Image | Buffer, captured_ns: int | None) -> Frame:
        if captured_ns is None:
            captured_ns = self._clock.wall_ns()  # before what takes time
        payload = bytes(what) if isinstance(what, (bytes, memoryview)) else b""
        width, height = jpeg_size(payload) if payload else check_image(what).shape[1::-1]
        frame = new_frame(
            {
                "camera": self.camera,
                "boot": self.boot,
                "seq": self._count,
                "captured_ns": captured_ns,
                "width": width,
                "height": height,
                "payload": payload,
            }
        )
        return frame if payload else frame.with_image(check_image(what))


def publish(
    endpoint: str, stage: str, camera: str, *, quality: int = DEFAULT_QUALITY, partitions: int = 1
) -> Publication:
    """Publish at an address of one's own (`tcp://HOST:PORT`, `*` for a free port), without a registry."""
    return Publication(stage, camera, bind=endpoint, quality=quality, partitions=partitions)
