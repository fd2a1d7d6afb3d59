"""Single pictures of a camera, for those who ask.

Rules kept here: all who wait at the same time get the same picture; so many may wait; nobody is left waiting
for a camera that is over; a camera's own JPEG is given untouched; no reason holds a password.
"""

import itertools
import threading

from mesh.clock import Clock
from mesh.control import ControlRefused, Later
from mesh.errors import DecodeError, MeshError
from nodes.capture.sources.base import Grab, Size, SourceOptions
from nodes.capture.sources.catalog import open_source
from nodes.capture.sources.failures import unforeseen

MOST = 16
PICTURES_TRIED = 100  # of a source that is opened for one, until one decodes


class Snapshots:
    """Those who wait for a picture of `camera`, until `close`. Thread-safe."""

    def __init__(self, camera: str, node: str, clock: Clock) -> None:
        self._camera, self._node, self._clock = camera, node, clock
        self._lock = threading.Lock()
        self._waiting: list[Later] = []
        self._over = ""

    def __repr__(self) -> str:
        return f"<Snapshots {len(self._waiting)} waiting>"

    def __bool__(self) -> bool:
        """Whether anybody waits: cheap enough to be asked with every picture."""
        return bool(self._waiting)

    def ask(self) -> Later:
        """Wait for the next picture. Raises `ControlRefused` where none will come, or too many wait."""
        later = Later()
        with self._lock:
            if self._over:
                raise ControlRefused(self._over)
            self._waiting = [other for other in self._waiting if not other.is_over]
            if len(self._waiting) >= MOST:
                raise ControlRefused(f"{MOST} others wait for its picture already: ask again later")
            self._waiting.append(later)
        return later

    def give(self, grab: Grab, size: Size | None, quality: int) -> bool:
        """The picture that they get, scaled to `size` = (width, height); False when it is damaged."""
        taken_ns = self._clock.wall_ns()
        try:
            width, height = size or (grab.width, grab.height)
            jpeg = grab.jpeg(quality, size)
        except DecodeError:
            return False
        value = {"camera": self._camera, "node": self._node, "captured_ns": taken_ns}
        for later in self._taken():
            later.give(value | {"width": width, "height": height}, jpeg)
        return True

    def open_for_one(self, url: str, options: SourceOptions, size: Size | None, quality: int) -> None:
        """Open a source, give its first picture that decodes, and close it; or say why there is none."""
        try:
            source = open_source(url, options)
            try:
                pictures = itertools.islice(source, PICTURES_TRIED)
                if any(self.give(grab, size, quality) for grab in pictures):
                    return
            finally:
                source.close()
            why = "its source gave no picture that decodes"
        except MeshError as error:
            why = str(error)
        except Exception as error:  # noqa: BLE001 - a fault of a source is its camera's alone
            why = unforeseen(error)
        self.refuse(why)

    def refuse(self, why: str) -> None:
        """There is none for those who wait now."""
        for later in self._taken():
            later.refuse(why)

    def close(self, why: str) -> None:
        """There will be none any more."""
        with self._lock:
            self._over = why
        self.refuse(why)

    def _taken(self) -> list[Later]:
        with self._lock:
            waiting, self._waiting = self._waiting, []
        return waiting
