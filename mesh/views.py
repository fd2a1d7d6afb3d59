"""Which view of each stream a subscriber takes: pixels in shared memory where it can have them.

Rules kept here: a stream is never without a view: the new one is asked for before the old one is left, and
what comes twice has one number; what could not be read once is not tried again.
"""

import threading
from collections.abc import Iterable

from mesh.errors import ConfigError
from mesh.registry.records import StreamRecord
from mesh.transport import Subscriber
from mesh.wire import View, topic_prefix

AUTO = "auto"

_Key = tuple[str | None, int | None]  # a camera and a partition; None is all of them
_STAGE: _Key = (None, None)


def check_view(text: str) -> View | None:
    """The view of that name; None for `auto`. Raises `ConfigError`."""
    if text == AUTO:
        return None
    try:
        return View(text)
    except ValueError:
        raise ConfigError(f"view {text!r} is none of {', '.join((AUTO, *View))}") from None


def choose(view: View | None, publishers: Iterable[StreamRecord], here: str, *, fresh: bool) -> View:
    """What to take of a camera, from these publishers of it. Pure.

    view:   what was asked for. With None it is `shm` for a `fresh` taker, whose frames do not wait for long
            enough to be overwritten, and else `frame`.
    here:   this process's place; `shm` is for publishers at the same one, and never for lossless streams
    """
    if view not in (None, View.SHM):
        return view
    wanted = fresh or view is View.SHM
    near = all(record.is_near(here) and not record.lossless for record in publishers)
    return View.SHM if wanted and near else View.FRAME


class Views:
    """The topics of one stage that a subscriber has asked for. Thread-safe."""

    def __init__(self, subscriber: Subscriber, stage: str) -> None:
        self._subscriber = subscriber
        self._stage = stage
        self._lock = threading.Lock()
        self._taken: dict[_Key, View] = {}
        self._given_up: set[str | None] = set()  # cameras

    def __repr__(self) -> str:
        return f"<Views of {self._stage} {self._taken}>"

    def take(self, camera: str | None, view: View, partition: int | None = None) -> None:
        """Take a camera, one of its partitions, or the whole stage, in this view instead of any other."""
        key = (camera, partition)
        with self._lock:
            if view is View.SHM and camera in self._given_up:
                view = View.FRAME
            before = self._taken.get(key)
            if before is view:
                return
            self._taken[key] = view
            self._subscriber.subscribe(topic_prefix(view, self._stage, *key))
            if before is not None:
                self._subscriber.unsubscribe(topic_prefix(before, self._stage, *key))

    def leave(self, camera: str, partition: int | None = None) -> None:
        """Take a camera, or one of its partitions, no longer."""
        with self._lock:
            view = self._taken.pop((camera, partition), None)
            if view is not None:
                self._subscriber.unsubscribe(topic_prefix(view, self._stage, camera, partition))

    def cameras(self) -> list[str]:
        """Those that are taken one by one, with all their partitions."""
        with self._lock:
            return [camera for camera, part in self._taken if camera is not None and part is None]

    def give_up(self, camera: str) -> None:
        """The pixels of this camera cannot be read here: take frames from now on."""
        with self._lock:
            keys = [key for key in self._taken if key[0] == camera] or [_STAGE]
            self._given_up |= {camera, *(name for name, _ in keys)}
            shared = [key for key in keys if self._taken.get(key) is View.SHM]
        for name, partition in shared:
            self.take(name, View.FRAME, partition)
