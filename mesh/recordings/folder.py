"""A folder of recordings, as who reads it finds it.

    DIR/CAMERA/YYYY-MM-DD/HH-MM-SS[.MMM[.N]]-STAGE.mkv, .jsonl   recordings
    DIR/CAMERA/YYYY-MM-DD/HH-MM-SS[.MMM[.N]]-STAGE.lock          keeps the recording beside it; says why
    DIR/index.db (and -wal, -shm), DIR/index.lock            the index, and the lock of the one who writes
    DIR/quarantine/                                          files that could not be read, with reasons

Rules kept here: nothing is changed, and whoever only looks holds nobody up.
"""

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mesh.errors import StorageError
from mesh.names import NAME
from mesh.recordings.index import NAME as NAME_OF_INDEX

LOCK = "index.lock"
QUARANTINE = "quarantine"
OURS = {NAME_OF_INDEX, f"{NAME_OF_INDEX}-wal", f"{NAME_OF_INDEX}-shm", LOCK, QUARANTINE}
LOCKED = ".lock"  # what a locked segment has beside it
DAY = re.compile(r"\d{4}-\d\d-\d\d\Z")

_STEM = r"\d\d-\d\d-\d\d(\.\d+)*-[a-z0-9][a-z0-9_-]*"
_RECORDING = re.compile(_STEM + r"\.(mkv|jsonl)\Z")
_LOCK_FILE = re.compile(_STEM + r"\.lock\Z")


@dataclass(frozen=True, slots=True)
class Holder:
    """Who records to a folder, or changes it: the process, where it said so."""

    pid: int | None

    def __str__(self) -> str:
        return f"process {self.pid}" if self.pid is not None else "another process"


def check_folder(into: Path) -> None:
    """Raises `StorageError` for what is no folder that can be read."""
    try:
        with os.scandir(into):
            return
    except OSError as error:
        raise StorageError(
            f"{into} is no folder of recordings: {(error.strerror or str(error)).lower()}"
        ) from error


def camera_folders(into: Path) -> Iterator[Path]:
    """Where the recordings of each camera lie."""
    for camera in sorted(into.iterdir()):
        if camera.is_dir() and NAME.match(camera.name) and camera.name != QUARANTINE:
            yield camera


def day_folders(camera: Path) -> Iterator[Path]:
    """Where a camera's recordings of each day lie."""
    for day in sorted(camera.iterdir()):
        if DAY.match(day.name) and day.is_dir():
            yield day


def of_day(day: Path) -> list[Path]:
    """A day's segments in order, as the paths of their `.mkv`; of its two files one may be missing."""
    return sorted({file.with_suffix(".mkv") for file in day.iterdir() if _RECORDING.match(file.name)})


def recordings(into: Path) -> Iterator[Path]:
    """Every recorded segment, in order, as the path of its `.mkv`; of its two files one may be missing."""
    for camera in camera_folders(into):
        for day in day_folders(camera):
            yield from of_day(day)


def is_recording(path: Path) -> bool:
    """Whether a file has the name of a recording's video, in a folder as they lie in."""
    return bool(_RECORDING.match(path.name)) and path.suffix == ".mkv" and bool(DAY.match(path.parent.name))


def strangers(into: Path) -> Iterator[Path]:
    """What lies in the folder and is none of ours; of a folder, itself and not what is in it."""
    cameras = set(camera_folders(into))
    yield from (path for path in sorted(into.iterdir()) if path not in cameras and path.name not in OURS)
    for camera in sorted(cameras):
        days = set(day_folders(camera))
        yield from (path for path in sorted(camera.iterdir()) if path not in days)
        for day in sorted(days):
            yield from (path for path in sorted(day.iterdir()) if not _is_ours(path.name))


def _is_ours(name: str) -> bool:
    return bool(_RECORDING.match(name) or _LOCK_FILE.match(name))


def locked(day: Path) -> frozenset[str]:
    """Stems of the segments of a day's folder that are locked; none where it cannot be read."""
    with contextlib.suppress(OSError), os.scandir(day) as found:
        return frozenset(entry.name.removesuffix(LOCKED) for entry in found if _LOCK_FILE.match(entry.name))
    return frozenset()


class Locked:
    """Which segments of a folder are locked, each day's folder read once."""

    def __init__(self, into: Path) -> None:
        self._into = into
        self._days: dict[Path, frozenset[str]] = {}

    def __contains__(self, path: str) -> bool:
        video = self._into / path
        if (stems := self._days.get(video.parent)) is None:
            stems = self._days[video.parent] = locked(video.parent)
        return video.stem in stems


def lock_reason(video: Path) -> str:
    """Why a segment is locked, as who locked it said; empty where that is not known."""
    try:
        return video.with_suffix(LOCKED).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def holder(into: Path) -> Holder | None:
    """Who records to a folder now; None where nobody does."""
    try:
        fd = os.open(into / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        said = os.pread(fd, 32, 0).decode(errors="replace").strip()
        return Holder(int(said) if said.isdigit() else None)
    except OSError:  # a file system without locks: nobody can hold it
        return None
    finally:
        os.close(fd)
