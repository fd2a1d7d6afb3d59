"""A folder's index, opened to be read; and what stands in where that cannot be done.

Rules kept here: nothing is written; an index in which a collector writes meanwhile is read beside it, one on
a read-only mount as it is; where it is missing, of an earlier version or damaged the files are read, which
is said once: what cannot be read of them is passed over.
"""

import logging
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mesh.errors import StorageError
from mesh.recordings import names
from mesh.recordings.held import listed, read_lines
from mesh.recordings.index import BUSY_S, NAME, VERSION, Listed, create, put
from mesh.recordings.query import Query

log = logging.getLogger(__name__)

READ_ONLY = "mode=ro"
AS_IT_IS = "immutable=1"  # needs nothing beside the file, and no lock


@dataclass(frozen=True, slots=True)
class Why:
    """Why an index cannot be used."""

    text: str


def open_index(into: Path, *, any_thread: bool = False) -> sqlite3.Connection | Why:
    """The index, to read; or why it cannot be. Raises `StorageError` for one that is newer than this.

    any_thread:  whether other threads than this one may use it, one at a time
    """
    if not (into / NAME).exists():
        return Why("it has no index")
    found = _open(into / NAME, READ_ONLY, any_thread)
    if isinstance(found, Why) and not _has_more(into):
        found = _open(into / NAME, AS_IT_IS, any_thread)
    return found


def _open(path: Path, way: str, any_thread: bool) -> sqlite3.Connection | Why:
    uri = f"{path.absolute().as_uri()}?{way}"
    try:
        db = sqlite3.connect(uri, BUSY_S, uri=True, check_same_thread=not any_thread)
    except sqlite3.Error as error:
        return Why(f"its index cannot be used: {error}")
    found = _looked_at(path, db)
    if isinstance(found, Why):
        db.close()
    return found


def _looked_at(path: Path, db: sqlite3.Connection) -> sqlite3.Connection | Why:
    try:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            db.close()
            raise StorageError(f"{path} was written by a newer version: update this one")
        if version < VERSION:
            return Why(f"its index is of version {version}, before {VERSION}")
        db.execute("SELECT 1 FROM segments, events, gaps LIMIT 1").fetchone()
    except sqlite3.Error as error:
        return Why(f"its index cannot be used: {error}")
    return db


def _has_more(into: Path) -> bool:
    """Whether the newest of the index is beside it, in its write-ahead log."""
    wal = into / f"{NAME}-wal"
    return wal.exists() and wal.stat().st_size > 0


def read_files(into: Path, only: Query, why: str) -> sqlite3.Connection:
    """A database in memory of what the files say."""
    log.warning("%s: %s: reading its files, which takes longer; mesh recordings rebuild %s", into, why, into)
    db = sqlite3.connect(":memory:", isolation_level=None)
    create(db)
    passed: list[str] = []
    for video in _chosen(into, only):
        try:
            put(db, [_listed(into, video)])
        except (OSError, StorageError) as error:
            passed.append(f"{video}: {error}")
    if passed:
        more = f" (and {len(passed) - 1} more)" if passed[1:] else ""
        log.warning("passed over: %s%s", passed[0], more)
    return db


def _chosen(into: Path, only: Query) -> Iterator[Path]:
    """The files of a query's cameras and days: a file lies in the day of its first frame."""
    first = names.beside(names.day_of(only.from_ns), -1)
    last = names.day_of(only.to_ns)
    for camera in names.cameras(into):
        if not only.cameras or camera in only.cameras:
            days = [day for day in names.days(into, camera) if first <= day <= last]
            yield from (named.path for day in days for named in names.segments(into, camera, day))


def _listed(into: Path, video: Path) -> Listed:
    kept, size = read_lines(video.with_suffix(".jsonl"))
    if not kept:
        raise StorageError("its lines cannot be read")
    return listed(str(video.relative_to(into)), kept, video.stat().st_size + size)
