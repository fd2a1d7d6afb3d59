"""Many files written and synced at once, beside the thread that records.

Rules kept here: files are safe when `fdatasync` of each, or one `syncfs` of the file system that holds them
all, has said so, and nothing else counts; one group of files is on its way at a time, and whoever started it
is told when it has landed.

`syncfs` does in one call, and in one commit of the file system's journal, what takes two hundred otherwise:
100 segments with 100 kB each in 31 ms instead of 66 with four threads (142 with one), and half of the CPU,
the kernel's own threads included. It is used where it is known to tell of errors (Linux from 5.17; ext4, XFS
and F2FS). It waits for what others wrote to that disk, too: when it was slow, files are synced apart for a
while.
"""

import ctypes
import os
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Protocol

THREADS = 4
MANY = 16
SLOW_S = 0.5
APART_S = 30.0
_SYNC_FILE_RANGE_WRITE = 2
_FILE_SYSTEMS = {"ext4", "xfs", "f2fs"}
_libc = ctypes.CDLL(None, use_errno=True)


class Syncable(Protocol):
    """Files that are synced together. Its calls come from another thread.

    device:  the file system that holds them (`st_dev`)
    """

    @property
    def device(self) -> int: ...

    def fileno(self) -> int:
        """A file of theirs that was open before anything was written to them."""

    def flush(self) -> None:
        """Give the system what is to be synced. Raises `OSError`."""

    def hasten(self) -> None:
        """Have the system begin to write what `sync` will wait for."""

    def sync(self) -> None:
        """Have the disk hold what was flushed, and the files' names. Raises `OSError`."""


class Crew:
    """A few threads that sync files, started when they are first needed. They end with `close`."""

    def __init__(self, threads: int = THREADS, now: Callable[[], float] = time.monotonic) -> None:
        self._threads, self._now = threads, now
        self._pool: ThreadPoolExecutor | None = None
        self._flight: Future[list[OSError | None]] | None = None
        self._apart_until = float("-inf")
        self.landed = True  # whether `wait` gives its answer at once

    def __repr__(self) -> str:
        return f"<Crew {'landed' if self.landed else 'away'}>"

    def start(self, files: Sequence[Syncable], done: Callable[[], None]) -> None:
        """Sync these, those that were opened first at the beginning; `done` is called on a thread of this
        crew when all is over."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, "sync")
        self.landed = False
        self._flight = self._pool.submit(self._lead, self._pool, files, done)

    def wait(self) -> list[OSError | None]:
        """What became of each of the files that were started, in order; nothing where none were."""
        flight, self._flight = self._flight, None
        return flight.result() if flight is not None else []

    def close(self) -> None:
        """End the threads; they are started again when there is work again."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def _lead(
        self, pool: ThreadPoolExecutor, files: Sequence[Syncable], done: Callable[[], None]
    ) -> list[OSError | None]:
        try:
            refused = {at: error for at, each in enumerate(files) if (error := _error(each.flush))}
            rest = [each for at, each in enumerate(files) if at not in refused]
            synced = iter([None] * len(rest) if self._together(rest) else self._apart(pool, rest))
            return [refused[at] if at in refused else next(synced) for at in range(len(files))]
        finally:
            self.landed = True
            done()

    def _together(self, files: Sequence[Syncable]) -> bool:
        """Sync the whole file system, where that is the better way; whether it was, and worked."""
        begun = self._now()
        devices = {each.device for each in files}
        if len(files) < MANY or len(devices) > 1 or begun < self._apart_until:
            return False
        if not tells_errors(devices.pop()):
            return False
        # Errors since a file was opened are told to that file: so the one that was opened first hears of all.
        worked = bool(_libc.syncfs(files[0].fileno()) == 0)
        if not worked or self._now() - begun > SLOW_S:
            self._apart_until = self._now() + APART_S
        return worked

    def _apart(self, pool: ThreadPoolExecutor, files: Sequence[Syncable]) -> list[OSError | None]:
        """Sync each; this thread takes a share, as the others do."""
        shares = [files[at :: self._threads] for at in range(self._threads)]
        others = [pool.submit(_share, share) for share in shares[1:] if share]
        done = [_share(shares[0]), *(other.result() for other in others)]
        return [done[at % self._threads][at // self._threads] for at in range(len(files))]


def begin_writing(fd: int) -> None:
    """Have the system begin to write what it holds of a file, and do not wait. What fails is told by the
    next sync; where there is no such call (it is Linux's), the sync does all."""
    if hasattr(_libc, "sync_file_range"):
        _libc.sync_file_range(fd, ctypes.c_int64(0), ctypes.c_int64(0), _SYNC_FILE_RANGE_WRITE)


@cache
def tells_errors(device: int) -> bool:
    """Whether `syncfs` of this file system is there, and tells of what could not be written."""
    release = re.match(r"(\d+)\.(\d+)", os.uname().release)
    if os.uname().sysname != "Linux" or release is None or tuple(map(int, release.groups())) < (5, 17):
        return False
    try:
        mounted = Path("/proc/self/mountinfo").read_text(errors="replace")
    except OSError:  # no /proc, or too many open files
        return False
    return file_system(mounted, device) in _FILE_SYSTEMS


def file_system(mountinfo: str, device: int) -> str | None:
    """The type of a mounted file system, from what `/proc/self/mountinfo` says (see proc(5)). Pure."""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for entry in mountinfo.splitlines():
        before, _, after = entry.partition(" - ")
        if before.split()[2:3] == [wanted]:
            return after.split()[0]
    return None


def _share(files: Sequence[Syncable]) -> list[OSError | None]:
    for each in files:
        each.hasten()
    return [_error(each.sync) for each in files]


def _error(act: Callable[[], None]) -> OSError | None:
    try:
        act()
    except OSError as error:
        return error
    return None
