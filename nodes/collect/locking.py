"""Recordings that are to stay: `STEM.lock` beside a segment keeps it from retention and from `delete`.

Rules kept here: a lock is a file of its own, so that it survives the loss of the index; it is on the disk
when this returns; doing it again changes nothing.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mesh.recordings.times import show_time
from nodes.collect.recorder import storage_error
from nodes.collect.removal import lock_of
from nodes.collect.segment import sync_folder


@dataclass(frozen=True, slots=True)
class Locking:
    """How many were locked, or unlocked; were so before; and had gone when it was tried."""

    done: int = 0
    before: int = 0
    gone: int = 0


def lock(into: Path, paths: Iterable[str], reason: str, now_ns: int) -> Locking:
    """Lock recordings. Raises `StorageError`."""
    done = before = gone = 0
    text = f"locked {show_time(now_ns)} {' '.join(reason.split())}".rstrip() + "\n"
    folders = set()
    for path in paths:
        file = lock_of(into, path)
        try:
            if not _write(file, text):
                before += 1
                continue
            folders.add(file.parent)
            if (into / path).exists():
                done += 1
            else:
                file.unlink()
                gone += 1
        except FileNotFoundError:  # the day's folder
            gone += 1
        except OSError as error:
            raise storage_error(file, error) from error
    _sync(folders)
    return Locking(done, before, gone)


def unlock(into: Path, paths: Iterable[str]) -> Locking:
    """Let recordings go again. Raises `StorageError`."""
    done = before = 0
    folders = set()
    for path in paths:
        file = lock_of(into, path)
        try:
            file.unlink()
            folders.add(file.parent)
            done += 1
        except FileNotFoundError:
            before += 1
        except OSError as error:
            raise storage_error(file, error) from error
    _sync(folders)
    return Locking(done, before)


def _write(file: Path, text: str) -> bool:
    """Write a lock, unless there is one; whether it was written. Raises `OSError`."""
    try:
        fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except FileExistsError:
        return False
    try:
        os.write(fd, text.encode())
        os.fsync(fd)
    finally:
        os.close(fd)
    return True


def _sync(folders: Iterable[Path]) -> None:
    for folder in folders:
        try:
            sync_folder(folder)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise storage_error(folder, error) from error
