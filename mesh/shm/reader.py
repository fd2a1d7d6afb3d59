"""The reading end of a ring.

Rules kept here: what a file says about itself is checked before it is mapped; pixels are handed out only
while their slot is locked and has the generation that was asked for; a reader pins at most half of the slots,
and hands out copies beyond that, so that no reader alone can stop the writer.
"""

import contextlib
import mmap
import os
import stat
import struct
import threading
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np

from mesh.codec import Buffer
from mesh.errors import TransportError
from mesh.frame import Slot
from mesh.shm.layout import PAGE, READERS, Layout, check_ring_name, read_layout, slot_byte
from mesh.shm.locks import SUPPORTED, lock, unlock
from mesh.shm.writer import FOLDER

_GENERATION = struct.Struct("@Q")


class RingReader:
    """A ring, opened by its name. Raises `TransportError` where it cannot be. Thread-safe.

    It is closed by dropping it; what it handed out stays readable.
    """

    def __init__(self, name: str, folder: Path = FOLDER) -> None:
        self.name = name
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._opened = 0
        self._free: deque[int] = deque()  # descriptions that hold no lock; each can pin one slot
        self._fd = -1
        try:
            self._fd = _open(name, folder)
            self._layout = _layout(self._fd)
            self._map = mmap.mmap(self._fd, self._layout.size, prot=mmap.PROT_READ)
            lock(self._fd, READERS, "shared")
        except (OSError, TransportError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise TransportError(f"the ring {name} cannot be read: {why}") from error
        whole = np.frombuffer(self._map, np.uint8)
        self._address: int = whole.__array_interface__["data"][0]
        self._most = max(1, self._layout.slots // 2)

    def __repr__(self) -> str:
        return f"<RingReader {self.name} {self._layout} pins={self._opened - len(self._free)}>"

    def __del__(self) -> None:
        for fd in (self._fd, *self._free):
            with contextlib.suppress(OSError):
                os.close(fd)

    def take(self, slot: Slot, size: int) -> Buffer | None:
        """The `size` bytes in a slot, read-only; None when it was overwritten, or is being.

        They stay as they are while anything refers to them. Raises `TransportError` for a slot that this
        ring does not have.
        """
        if slot.index >= self._layout.slots or size > self._layout.stride:
            raise TransportError(f"the ring {self.name} has no slot {slot.index} of {size} bytes")
        pin = self._description()
        if pin is None:
            return self._copy(slot, size)
        if not self._holds(pin, slot):
            self._free.append(pin)
            return None
        return np.asarray(_Pin(self, pin, slot.index, size)).data

    def address(self, index: int) -> int:
        """Where a slot's pixels are in memory."""
        return self._address + self._layout.at(index)

    def release(self, fd: int, index: int) -> None:
        """Give a pin back. Called from finalizers, at any time in any thread: so it takes no lock of ours.
        In a forked child, which shares the description, there is nothing to give back."""
        if os.getpid() != self._pid:
            return
        with contextlib.suppress(OSError):
            unlock(fd, slot_byte(index))
        self._free.append(fd)

    def _description(self) -> int | None:
        """An open file description of the ring that holds no lock; None when enough of them do."""
        try:
            return self._free.pop()
        except IndexError:
            pass
        with self._lock:
            if self._opened >= self._most:
                return None
            try:
                fd = os.open(f"/proc/self/fd/{self._fd}", os.O_RDONLY | os.O_CLOEXEC)
            except OSError:  # too many open files: copies need none
                return None
            self._opened += 1
            return fd

    def _copy(self, slot: Slot, size: int) -> Buffer | None:
        with self._lock:
            if not self._holds(self._fd, slot):
                return None
            at = self._layout.at(slot.index)
            try:
                return self._map[at : at + size]
            finally:
                unlock(self._fd, slot_byte(slot.index))

    def _holds(self, fd: int, slot: Slot) -> bool:
        """Lock a slot by `fd`, if it has the generation that was asked for, and that one is whole."""
        if slot.generation % 2 or not slot.generation or not lock(fd, slot_byte(slot.index), "shared"):
            return False
        if _GENERATION.unpack_from(self._map, self._layout.generation_at(slot.index))[0] == slot.generation:
            return True
        unlock(fd, slot_byte(slot.index))
        return False


class _Pin:
    """The owner of an array over a slot's pixels: the slot is given back when the last view of it dies."""

    __slots__ = ("_fd", "_index", "_reader", "_size")

    def __init__(self, reader: RingReader, fd: int, index: int, size: int) -> None:
        self._reader, self._fd, self._index, self._size = reader, fd, index, size

    @property
    def __array_interface__(self) -> dict[str, Any]:
        """What NumPy makes an array of, with this object as its base, and read-only."""
        where = (self._reader.address(self._index), True)
        return {"version": 3, "shape": (self._size,), "typestr": "|u1", "data": where}

    def __del__(self) -> None:
        self._reader.release(self._fd, self._index)


def _open(name: str, folder: Path) -> int:
    if not SUPPORTED:
        raise TransportError("shared memory needs Linux's locks of open files")
    if not check_ring_name(name):
        raise TransportError("that is no ring's name")
    return os.open(folder / name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)


def _layout(fd: int) -> Layout:
    """Raises `TransportError` for anything but a ring of this user's: whoever owns a file can cut it short,
    and reading a mapping beyond its file's end is a SIGBUS."""
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
        raise TransportError("it is no file of this user")
    return read_layout(os.pread(fd, PAGE, 0), status.st_size)
