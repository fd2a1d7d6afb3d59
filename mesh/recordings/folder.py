"""A folder of recordings, as who reads it finds it.

    DIR/CAMERA/YYYY-MM-DD/HH-MM-SS[.MMM[.N]]-STAGE.mkv, .jsonl   recordings
    DIR/CAMERA/YYYY-MM-DD/HH-MM-SS[.MMM[.N]]-STAGE.lock          keeps the recording beside it; says why
    DIR/index.db (and -wal, -shm), DIR/index.lock            the index, and the lock of the one who writes
    DIR/forward.db (and -wal, -shm)                          how far forwarding has come
    DIR/quarantine/                                          files that could not be read, with reasons

Rules kept here: nothing is changed, and whoever only looks holds nobody up.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mesh.errors import ConfigError, StorageError
from mesh.recordings import names
from mesh.recordings.index import NAME

LOCK = "index.lock"
FORWARD = "forward.db"
QUARANTINE = "quarantine"
OURS = {f"{name}{end}" for name in (NAME, FORWARD) for end in ("", "-wal", "-shm")} | {LOCK, QUARANTINE}
LOCKED = ".lock"  # what a locked segment has beside it


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


def check_cameras(into: Path, wanted: Iterable[str], listed: Iterable[str] = ()) -> None:
    """Raises `ConfigError` for a camera of which the folder holds nothing, and which is not `listed` in its
    index either: who asks for it means another, and must not hear that all is well."""
    there = {*names.cameras(into), *listed}
    for camera in wanted:
        if camera not in there:
            raise no_camera(into, camera, there)


def no_camera(into: Path, camera: str, there: Iterable[str]) -> ConfigError:
    """What is to be said of a camera that is not recorded."""
    known = ", ".join(sorted(there)) or "none"
    return ConfigError(f"{into} holds no recording of camera {camera!r}; it has: {known}")


def put_aside(into: Path) -> int:
    """How many files lie in the quarantine, without the texts that say why."""
    return sum(path.suffix != ".txt" for path in (into / QUARANTINE).glob("*"))


def recordings(into: Path) -> Iterator[Path]:
    """Every recorded segment, in order, as the path of its `.mkv`; of its two files one may be missing.

    Raises `StorageError`.
    """
    for camera in names.cameras(into):
        for day in names.days(into, camera):
            yield from (named.path for named in names.segments(into, camera, day))


def strangers(into: Path) -> Iterator[Path]:
    """What lies in the folder and is none of ours; of a folder, itself and not what is in it.

    Raises `StorageError`, or `OSError`.
    """
    cameras = names.cameras(into)
    yield from (path for path in sorted(into.iterdir()) if path.name not in {*cameras, *OURS})
    for camera in cameras:
        days = {day.isoformat(): day for day in names.days(into, camera)}
        yield from (path for path in sorted((into / camera).iterdir()) if path.name not in days)
        for folder, day in days.items():
            videos = {named.path for named in names.segments(into, camera, day)}
            ours = {video.with_suffix(end) for video in videos for end in (".mkv", ".jsonl", LOCKED)}
            yield from sorted(set((into / camera / folder).iterdir()) - ours)


def locked(day: Path) -> frozenset[str]:
    """Stems of the segments of a day's folder that are locked; none where it cannot be read."""
    with contextlib.suppress(OSError), os.scandir(day) as found:
        return frozenset(each.name.removesuffix(LOCKED) for each in found if each.name.endswith(LOCKED))
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
