"""A collector's folder, opened: locked, made whole, and read to be forwarded.

Rules kept here: on a disk that is too full for that, what the limits let go goes; on one that is too full, or
read-only, it is tried again until that is over: nothing is taken in before; whatever else is wrong is said at
once. Nothing goes from a folder that another process holds.
"""

import errno
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

from mesh.clock import Clock
from mesh.database import lacked_room
from mesh.errors import StorageError
from mesh.stats import Rarely
from nodes.collect.folder import FolderHeld, FolderLock
from nodes.collect.forwarding.forwarding import Forwarding
from nodes.collect.keeping import Keeper
from nodes.collect.recorder import storage_error
from nodes.collect.recovery import Recovered, recover

log = logging.getLogger(__name__)

AGAIN_S = 1.0
COMPLAIN_S = 60.0

Opened = tuple[Recovered, Forwarding]


class Opening:
    """Opens `into`, and holds it until `close`.

    keeper:   knows whether the disk is full, and makes room
    forward:  makes what forwards; raises `StorageError`
    unwell:   is told what is wrong with the disk; empty when nothing is any more
    """

    def __init__(
        self,
        into: Path,
        keeper: Keeper,
        forward: Callable[[], Forwarding],
        unwell: Callable[[str], None],
        clock: Clock,
    ) -> None:
        self._into, self._keeper, self._forward = into, keeper, forward
        self._unwell, self._clock = unwell, clock
        self._rarely = Rarely(COMPLAIN_S)
        self._lock: FolderLock | None = None

    def now(self) -> Opened | None:
        """The folder; None where its disk takes nothing for now. Raises `StorageError`."""
        try:
            return self._opened()
        except FolderHeld:
            raise
        except StorageError as error:
            if not (refusal := self._refusal(error)):
                raise
            why = str(storage_error(self._into, OSError(refusal, os.strerror(refusal))))
            self._unwell(why)
            if (held := self._rarely.ready(self._clock.monotonic())) is not None:
                log.error("%s; it is tried again (%d more like it): %s", why, held, error)
            if refusal == errno.ENOSPC:
                self._keeper.make_room()
            return None

    def later(self, begin: Callable[[Recovered, Forwarding], None], stopping: threading.Event) -> None:
        """Begin once the disk takes something."""
        while not self._clock.wait(stopping, AGAIN_S):
            if (opened := self.now()) is not None:
                self._unwell("")
                begin(*opened)
                return

    def close(self) -> None:
        """Let go of the folder."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _opened(self) -> Opened:
        self._lock = self._lock or FolderLock(self._into)
        recovered = recover(self._into)
        try:
            return recovered, self._forward()
        except BaseException:
            recovered.index.close()
            raise

    def _refusal(self, error: StorageError) -> int:
        """Why the disk takes nothing for now: the number of an error, or 0. Raises `StorageError`."""
        if self._keeper.is_disk_read_only():
            return errno.EROFS
        return errno.ENOSPC if lacked_room(error) or self._keeper.is_disk_full() else 0
