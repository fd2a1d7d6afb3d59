"""The folder that a collector records to: who may use it, and where odd files go.

Rules kept here: one process at a time writes to a folder; nothing is deleted because it cannot be read.
"""

import contextlib
import fcntl
import os
import shutil
import threading
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from mesh.clock import SYSTEM_CLOCK
from mesh.errors import StorageError
from mesh.recordings.folder import LOCK, QUARANTINE
from nodes.collect.recorder import storage_error
from nodes.collect.segment import sync_folder

PATIENCE_S, LOOK_S = 1.0, 0.005


class FolderHeld(StorageError):
    """Another process records to a folder."""


class FolderLock:
    """Holds a folder until `release`, or until this process ends, however it does."""

    def __init__(self, into: Path, patience_s: float = PATIENCE_S) -> None:
        """Raises `FolderHeld` when another process records there, and still does after `patience_s`, and
        `StorageError` when it cannot be locked."""
        try:
            self._fd = os.open(into / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise storage_error(into, error) from error
        try:
            _take(self._fd, patience_s)
        except OSError as error:
            holder = os.pread(self._fd, 32, 0).decode(errors="replace").strip()
            os.close(self._fd)
            who = f" (process {holder})" if holder.isdigit() else ""
            raise FolderHeld(
                f"another collector{who} records to {into} already: stop it, or record elsewhere with --into"
            ) from error
        with contextlib.suppress(OSError):  # a full disk: the number is for people only
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, b"%d\n" % os.getpid(), 0)

    def release(self) -> None:
        os.close(self._fd)


def _take(fd: int, patience_s: float) -> None:
    """Lock it. Who looks whether a folder is held shares the lock for a moment, which is waited for.

    Raises `OSError` when somebody holds it.
    """
    for _ in range(round(patience_s / LOOK_S)):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(fd, fcntl.LOCK_UN)
        SYSTEM_CLOCK.wait(threading.Event(), LOOK_S)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def put_aside(into: Path, files: list[Path], why: str) -> Path:
    """Move files that belong together to the quarantine, with a text that says why; where that stands."""
    reason = _reason(into, files, why)
    for file in files:
        file.rename(reason.with_suffix(file.suffix))
    sync_folder(reason.parent)
    sync_folder(files[0].parent)
    return reason


def copy_aside(into: Path, files: list[Path], why: str) -> Path:
    """The same with copies, which the disk holds when this returns."""
    reason = _reason(into, files, why)
    for file in files:
        with file.open("rb") as source, reason.with_suffix(file.suffix).open("wb") as copy:
            shutil.copyfileobj(source, copy)
            copy.flush()
            os.fsync(copy.fileno())
    sync_folder(reason.parent)
    return reason


def _reason(into: Path, files: list[Path], why: str) -> Path:
    """A new text in the quarantine that says why files are there."""
    folder = into / QUARANTINE
    if not folder.exists():
        folder.mkdir()
        sync_folder(into)
    stem = ".".join(files[0].relative_to(into).with_suffix("").parts)
    for number in count():
        reason = folder / (f"{stem}.{number}.txt" if number else f"{stem}.txt")
        with contextlib.suppress(FileExistsError), reason.open("x", encoding="utf-8") as text:
            names = ", ".join(str(file.relative_to(into)) for file in files)
            text.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC: {names}: {why}\n")
            return reason
    raise AssertionError("unreachable: numbers never end")
