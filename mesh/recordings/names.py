"""Where recordings lie in their folder, by name: `CAMERA/YYYY-MM-DD/HH-MM-SS[.MMM[.N]]-STAGE.mkv`, UTC.

Rules kept here: what is named otherwise is somebody else's, and passed over; names of one stage sort as their
segments began; of a segment's two files one may be missing.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from mesh.errors import StorageError
from mesh.names import NAME

DAY_NS = 86_400_000_000_000
_RECORDING = re.compile(r"\d\d-\d\d-\d\d(?:\.\d{3}(?:\.\d+)?)?-([a-z0-9][a-z0-9_-]*)\.(?:mkv|jsonl)")


@dataclass(frozen=True, slots=True, order=True)
class Named:
    """A segment, as the path of its `.mkv` says: whose it is, and of which stage."""

    path: Path
    stage: str


def cameras(root: Path) -> list[str]:
    """The cameras that have a day of recordings, by name. Raises `StorageError`."""
    return sorted(
        folder.name for folder in _folders(root) if NAME.match(folder.name) and days(root, folder.name)
    )


def days(root: Path, camera: str) -> list[date]:
    """The days on which segments of a camera begin, in order. Raises `StorageError`."""
    found = (_day(folder.name) for folder in _folders(root / camera))
    return sorted(day for day in found if day is not None)


def segments(root: Path, camera: str, day: date) -> list[Named]:
    """The segments of a camera that begin on a day, in order. Raises `StorageError`."""
    folder = root / camera / day.isoformat()
    try:
        matches = [(file, _RECORDING.fullmatch(file.name)) for file in folder.iterdir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StorageError(f"{folder} cannot be read: {error.strerror}") from error
    return sorted({Named(file.with_suffix(".mkv"), found[1]) for file, found in matches if found})


def day_of(time_ns: int) -> date:
    """The day of a time, UTC."""
    return datetime.fromtimestamp(time_ns // 1_000_000_000, UTC).date()


def beside(day: date, by: int) -> date:
    """The day so many days later, or the last there is."""
    try:
        return day + timedelta(by)
    except OverflowError:
        return date.max if by > 0 else date.min


def begin_of(day: date) -> int:
    """When a day begins, UTC, in nanoseconds since the epoch."""
    return (day - date(1970, 1, 1)).days * DAY_NS


def _folders(root: Path) -> Iterator[Path]:
    try:
        yield from (each for each in root.iterdir() if each.is_dir())
    except FileNotFoundError:
        return
    except OSError as error:
        raise StorageError(f"{root} cannot be read: {error.strerror}") from error


def _day(name: str) -> date | None:
    try:
        day = date.fromisoformat(name)
    except ValueError:
        return None
    return day if day.isoformat() == name else None
