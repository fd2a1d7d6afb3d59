"""Locks on single bytes of a file, which live and die with an open file description (Linux, `fcntl(2)`).

Unlike POSIX locks they exclude two openings of a file within one process, too, and are not lost when some
other descriptor of it is closed. The kernel drops them when the description goes: after a crash nothing is
left locked. Taking and giving back is a full memory barrier on both sides, which the rings rely on.

Rules kept here: nothing ever waits for a lock.
"""

import struct
import sys
from functools import lru_cache
from typing import Literal

_FLOCK = struct.Struct("hhqqi0q")  # l_type, l_whence, l_start, l_len, l_pid (0 for these locks)

if sys.platform == "linux":
    import fcntl

    SUPPORTED = hasattr(fcntl, "F_OFD_SETLK")
    _KINDS = {"shared": fcntl.F_RDLCK, "exclusive": fcntl.F_WRLCK, "none": fcntl.F_UNLCK}

    def _set(fd: int, byte: int, kind: str) -> None:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _order(byte, kind))

    @lru_cache(256)  # there are some ten bytes, and two or more orders for each with every frame
    def _order(byte: int, kind: str) -> bytes:
        return _FLOCK.pack(_KINDS[kind], 0, byte, 1, 0)

else:
    SUPPORTED = False

    def _set(fd: int, byte: int, kind: str) -> None:
        raise OSError("there are no such locks on this platform")


def lock(fd: int, byte: int, kind: Literal["shared", "exclusive"]) -> bool:
    """Lock a byte; False when somebody else's lock is in the way. Raises `OSError`."""
    try:
        _set(fd, byte, kind)
    except BlockingIOError:
        return False
    return True


def unlock(fd: int, byte: int) -> None:
    """Give a byte's lock back. Raises `OSError`."""
    _set(fd, byte, "none")
