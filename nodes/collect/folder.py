"""The folder that a collector records to: who may use it, which files lie in it, and where odd ones go.

    DIR/CAMERA/YYYY-MM-DD/HH-MM-SS[.MMM[.N]]-STAGE.mkv, .jsonl   recordings
    DIR/index.db (and -wal, -shm), DIR/index.lock            the index, and the lock of the one who writes
    DIR/quarantine/                                          files that could not be read, with reasons

Rules kept here: one process at a time writes to a folder; nothing is deleted because it cannot be read.
"""

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from mesh.errors import StorageError
from mesh.names import NAME
from nodes.collect.recorder import storage_error
from nodes.collect.segment import sync_folder

LOCK = "index.lock"
QUARANTINE = "quarantine"

_DAY = re.compile(r"\d{4}-\d\d-\d\d\Z")
_RECORDING = re.compile(r"\d\d-\d\d-\d\d(\.\d+)*-[a-z0-9][a-z0-9_-]*\.(mkv|jsonl)\Z")


class FolderLock:
    """Holds a folder until `release`, or until this process ends, however it does."""

    def __init__(self, into: Path) -> None:
        """Raises `StorageError` when another process records there."""
        try:
            self._fd = os.open(into / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise storage_error(into, error) from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._fd, 32, 0).decode(errors="replace").strip()
            os.close(self._fd)
            who = f" (process {holder})" if holder.isdigit() else ""
            raise StorageError(
                f"another collector{who} records to {into} already: stop it, or record elsewhere with --into"
            ) from error
        with contextlib.suppress(OSError):  # a full disk: the number is for people only
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, b"%d\n" % os.getpid(), 0)

    def release(self) -> None:
        os.close(self._fd)


def recordings(into: Path) -> Iterator[Path]:
    """Every recorded segment, in order, as the path of its `.mkv`; of its two files one may be missing."""
    for camera in sorted(into.iterdir()):
        if not camera.is_dir() or not NAME.match(camera.name):
            continue
        for day in sorted(camera.iterdir()):
            if day.is_dir() and _DAY.match(day.name):
                found = (file for file in day.iterdir() if _RECORDING.match(file.name))
                yield from sorted({file.with_suffix(".mkv") for file in found})


def put_aside(into: Path, files: list[Path], why: str) -> Path:
    """Move files that belong together to the quarantine, with a text that says why; where that stands."""
    folder = into / QUARANTINE
    folder.mkdir(exist_ok=True)
    stem = ".".join(files[0].relative_to(into).with_suffix("").parts)
    for number in count():
        reason = folder / (f"{stem}.{number}.txt" if number else f"{stem}.txt")
        with contextlib.suppress(FileExistsError), reason.open("x", encoding="utf-8") as text:
            names = ", ".join(str(file.relative_to(into)) for file in files)
            text.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC: {names}: {why}\n")
            break
    for file in files:
        file.rename(reason.with_suffix(file.suffix))
    sync_folder(folder)
    sync_folder(files[0].parent)
    return reason
