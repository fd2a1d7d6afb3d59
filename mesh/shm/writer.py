"""The writing end of a ring.

Rules kept here: a ring takes at most half of the memory that is free for such files, so that no number of
streams fills it; a slot is written only under its exclusive lock, each in its turn, and one that a reader has
pinned is passed over; it is marked before the first byte changes and named only when the last one is there;
the writer's lock on the file says that it lives, and what no living writer holds is removed.
"""

import contextlib
import errno
import math
import mmap
import os
import secrets
import struct
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mesh.clock import SYSTEM_CLOCK
from mesh.codec import Image
from mesh.errors import TransportError
from mesh.frame import Slot
from mesh.shm.layout import LIFE, MAX_BYTES, READERS, SLOTS, Layout, plan, slot_byte
from mesh.shm.locks import SUPPORTED, lock, unlock

FOLDER = Path("/dev/shm")
LOOK_EVERY_S = 0.01
FREE_SHARE = 0.5
_PREFIX = "framemesh-"
_GENERATION = struct.Struct("@Q")  # aligned, so one store


class RingWriter:
    """A ring for frames of up to `frame_bytes` bytes. Raises `TransportError` where there can be none."""

    def __init__(
        self, frame_bytes: int, folder: Path = FOLDER, *, slots: int = SLOTS, most: int = MAX_BYTES
    ) -> None:
        layout = plan(frame_bytes, slots, most)
        if layout is None:
            raise TransportError(f"frames of {frame_bytes} bytes are too large for a ring of {most} bytes")
        if not SUPPORTED:
            raise TransportError("shared memory needs Linux's locks of open files")
        self.passed_over = 0  # slots that were pinned when their turn came
        self._layout = layout
        self._lock = threading.Lock()
        self._closed = self._written = False
        self._turns = deque(range(layout.slots))
        try:
            self._path, self._fd, self._map = _create(folder, layout)
        except OSError as error:
            mib = layout.size / 2**20
            raise TransportError(f"no room of {mib:.0f} MiB in {folder}: {error.strerror}") from error

    def __repr__(self) -> str:
        return f"<RingWriter {self.name} {self._layout.slots} slots of {self._layout.stride} B>"

    @property
    def name(self) -> str:
        return self._path.name

    def fits(self, frame_bytes: int) -> bool:
        """Whether a frame of so many bytes fits into a slot."""
        return frame_bytes <= self._layout.stride

    def write(self, shape: tuple[int, ...], fill: Callable[[Image], None]) -> Slot | None:
        """Have `fill` put a picture of `shape` (uint8) into the next free slot, and say where it is.

        None when readers have pinned every slot. What `fill` raises leaves here, and nobody sees the slot.
        `fill` must not keep the array.
        """
        if not self.fits(math.prod(shape)):
            raise ValueError(f"{shape} does not fit into a slot of {self._layout.stride} bytes")
        with self._lock:
            slot = self._take_next()
            if slot is None:
                return None
            try:
                self._written = True
                return Slot(self.name, slot, self._fill(slot, shape, fill))
            finally:
                unlock(self._fd, slot_byte(slot))

    def close(self, linger_s: float = 0.0) -> None:
        """Remove the ring. Readers that have it open keep it; `linger_s` seconds it stays for a first one."""
        never, deadline = threading.Event(), SYSTEM_CLOCK.monotonic() + linger_s
        while not self._was_opened() and SYSTEM_CLOCK.monotonic() < deadline:
            SYSTEM_CLOCK.wait(never, LOOK_EVERY_S)
        with self._lock:
            if self._closed:
                return
            self._closed = True
            with contextlib.suppress(OSError):
                self._path.unlink()
            os.close(self._fd)
            del self._map

    def _was_opened(self) -> bool:
        """Whether a reader has it open, or nothing was ever written for one."""
        with self._lock:
            if self._closed or not self._written or not lock(self._fd, READERS, "exclusive"):
                return True
            unlock(self._fd, READERS)
            return False

    def _take_next(self) -> int | None:
        """The next slot in turn that nobody has pinned, locked."""
        for _ in range(0 if self._closed else self._layout.slots):
            slot = self._turns.popleft()
            self._turns.append(slot)
            if lock(self._fd, slot_byte(slot), "exclusive"):
                return slot
            self.passed_over += 1
        return None

    def _fill(self, slot: int, shape: tuple[int, ...], fill: Callable[[Image], None]) -> int:
        at = self._layout.generation_at(slot)
        generation: int = _GENERATION.unpack_from(self._map, at)[0] | 1  # odd already if `fill` raised
        _GENERATION.pack_into(self._map, at, generation)
        fill(np.frombuffer(self._map, np.uint8, math.prod(shape), self._layout.at(slot)).reshape(shape))
        _GENERATION.pack_into(self._map, at, generation + 1)
        return generation + 1


def sweep(folder: Path = FOLDER) -> int:
    """Remove the rings in `folder` whose writers are gone; how many there were."""
    if not SUPPORTED:
        return 0
    with contextlib.suppress(OSError):
        return sum(_sweep(path) for path in folder.glob(f"{_PREFIX}*"))
    return 0


def _sweep(path: Path) -> bool:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:  # another user's, or gone meanwhile
        return False
    try:
        if not lock(fd, LIFE, "exclusive"):
            return False
        path.unlink()
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _create(folder: Path, layout: Layout) -> tuple[Path, int, mmap.mmap]:
    free = os.statvfs(folder)
    if layout.size > FREE_SHARE * free.f_bavail * free.f_frsize:
        raise OSError(errno.ENOSPC, "others need it, too")
    while True:
        path = folder / f"{_PREFIX}{secrets.token_hex(8)}"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            # Between these two lines another process may sweep the new file away: then another one is made.
            if lock(fd, LIFE, "exclusive") and os.fstat(fd).st_nlink:
                os.posix_fallocate(fd, 0, layout.size)
                os.pwrite(fd, layout.header(), 0)
                return path, fd, mmap.mmap(fd, layout.size)
        except BaseException:
            path.unlink(missing_ok=True)
            os.close(fd)
            raise
        os.close(fd)
