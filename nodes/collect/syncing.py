"""Many files synced at once: what makes a commit of a hundred cameras short.

Rules kept here: a file is safe when `fdatasync` has said so, and nothing else counts; what hastens it is a
hint. A system call that waits for the disk gives the interpreter away, so a few threads wait at a time, and
the file system joins what they ask for. Measured here, 200 files with 100 kB each: one after the other 40 ms,
so 11 to 14 ms, with half of the CPU.
"""

import ctypes
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

A = TypeVar("A")
B = TypeVar("B")

THREADS = 4
_SYNC_FILE_RANGE_WRITE = 2


class Crew(Generic[A, B]):
    """A few threads that work off a list, started when they are first needed; they end with `close`."""

    def __init__(self, act: Callable[[A], B], threads: int = THREADS) -> None:
        self._act, self._threads = act, threads
        self._pool: ThreadPoolExecutor | None = None

    def work(self, items: Sequence[A]) -> list[B]:
        """What `act` gives for each, in order; it must not raise."""
        if len(items) < 2:
            return self._each(items)
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, "sync")
        shares = [items[number :: self._threads] for number in range(self._threads)]
        done = list(self._pool.map(self._each, shares))
        return [done[at % self._threads][at // self._threads] for at in range(len(items))]

    def close(self) -> None:
        """End the threads; they are started again when there is work again."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def _each(self, items: Iterable[A]) -> list[B]:
        return [self._act(item) for item in items]


def begin_writing(fd: int) -> None:
    """Have the system begin to write what it holds of a file, and do not wait. What fails is told by the
    next sync; where there is no such call (it is Linux's), the sync does all."""
    if _sync_file_range is not None:
        _sync_file_range(fd, 0, 0, _SYNC_FILE_RANGE_WRITE)


def _found() -> "Callable[[int, int, int, int], int] | None":
    call = getattr(ctypes.CDLL(None), "sync_file_range", None)
    if call is not None:
        call.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
        call.restype = ctypes.c_int
    return call


_sync_file_range = _found()
