"""What a capture node can be asked to do with its cameras: with one, as `camera` names it, or with all.

Rules kept here: what is asked for is checked before any camera is touched; a pause is answered once nothing
is read any more; what is set holds for as long as the camera stays here as it is configured.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from mesh.control import ControlRefused, Later, Operation
from mesh.later import when_all
from mesh.registry.records import CameraRecord
from nodes.operations import at_least, check_none, quality, read_settings

CAMERA = "camera"  # the argument
LEAST_FPS = 0.001
SETTINGS = {"fps": at_least(LEAST_FPS, "frames per second"), "quality": quality}


class Controlled(Protocol):
    """A camera of this node. What it is asked to do may raise `ControlRefused`."""

    @property
    def is_over(self) -> bool:
        """Whether it has ended, or failed."""
        ...

    @property
    def is_paused(self) -> bool: ...

    def pause(self) -> Later:
        """Answered once nothing is read from it any more."""
        ...

    def resume(self) -> None: ...

    def snapshot(self) -> Later:
        """Answered with its next picture, as a JPEG."""
        ...

    def set(self, settings: Mapping[str, Any]) -> None: ...

    def status(self) -> dict[str, Any]: ...


def told(
    record: CameraRecord, *, captured: int, paused: bool, fps: float | None, quality: int
) -> dict[str, Any]:
    """How a camera is, and the settings in force."""
    names = ("state", "why", "node", "source", "boot", "codec", "width", "height", "fps")
    value = record.value()
    return {
        CAMERA: record.name,
        **{name: value[name] for name in names},
        "captured": captured,
        "paused": paused,
        "settings": {"fps": fps, "quality": quality},
    }


class Asked:
    """The operations on the cameras that `here` gives, by name."""

    def __init__(self, here: Callable[[], Mapping[str, Controlled]]) -> None:
        self._here = here
        self.operations: Mapping[str, Operation] = {
            "pause": self._pause,
            "resume": self._resume,
            "set": self._set,
            "snapshot": self._snapshot,
            "status": self._status,
        }

    def are_paused(self) -> bool:
        """Whether there are cameras, and all of them that go on are paused."""
        left = [camera for camera in self._here().values() if not camera.is_over]
        return bool(left) and all(camera.is_paused for camera in left)

    def _pause(self, arguments: Mapping[str, Any]) -> Later:
        cameras = self._meant("pause", arguments)
        pauses = [camera.pause() for camera in cameras.values()]
        return when_all(pauses, lambda: {"paused": sorted(cameras)})

    def _resume(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        cameras = self._meant("resume", arguments)
        for camera in cameras.values():
            camera.resume()
        return {"resumed": sorted(cameras)}

    def _set(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        which = {name: value for name, value in arguments.items() if name == CAMERA}
        settings = read_settings({k: v for k, v in arguments.items() if k != CAMERA}, SETTINGS)
        cameras = self._meant("set", which)
        for camera in cameras.values():
            camera.set(settings)
        if CAMERA in which:
            return dict(cameras[which[CAMERA]].status()["settings"])
        return {"cameras": len(cameras), **settings}

    def _snapshot(self, arguments: Mapping[str, Any]) -> Later:
        if CAMERA not in arguments:
            raise ControlRefused("a snapshot is of a camera: name one")
        (camera,) = self._meant("snapshot", arguments).values()
        return camera.snapshot()

    def _status(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        return self._named("status", arguments).status()

    def _meant(self, operation: str, arguments: Mapping[str, Any]) -> dict[str, Controlled]:
        """The camera that is named, or all that go on. Raises `ControlRefused` when there is none."""
        if CAMERA in arguments:
            return {arguments[CAMERA]: self._named(operation, arguments)}
        check_none(operation, arguments)
        left = {name: camera for name, camera in self._here().items() if not camera.is_over}
        if not left:
            raise ControlRefused("it has no camera now")
        return left

    def _named(self, operation: str, arguments: Mapping[str, Any]) -> Controlled:
        name = arguments.get(CAMERA)
        check_none(f"{operation} of a camera", {k: v for k, v in arguments.items() if k != CAMERA})
        camera = self._here().get(name) if isinstance(name, str) else None
        if camera is None:
            raise ControlRefused(f"it does not capture camera {name!r}")
        return camera
