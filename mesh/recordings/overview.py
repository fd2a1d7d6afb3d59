"""A folder of recordings as a whole: what there is, how fast it grows, what room is left, who records there.

Rules kept here: how much a day brings is judged by the newest week, and only once there is an hour.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mesh.errors import StorageError
from mesh.recordings import names
from mesh.recordings.catalog import Catalog
from mesh.recordings.folder import Holder, holder, locked, put_aside
from mesh.recordings.query import Total
from mesh.recordings.times import DAY_NS

WEEK_NS, HOUR_NS = 7 * DAY_NS, DAY_NS // 24


@dataclass(frozen=True, slots=True)
class Overview:
    """`bytes_per_day` is None while it cannot be judged; `version` of the index, None where the files were
    read; `locked` and `put_aside` are files."""

    totals: Sequence[Total]
    bytes_per_day: float | None
    free_bytes: int
    locked: int
    put_aside: int
    version: int | None
    holder: Holder | None

    @property
    def bytes(self) -> int:
        return sum(total.bytes for total in self.totals)

    @property
    def days_until_full(self) -> float | None:
        return self.free_bytes / self.bytes_per_day if self.bytes_per_day else None


def overview(catalog: Catalog) -> Overview:
    """Raises `StorageError`."""
    into = catalog.into
    totals = catalog.totals()
    try:
        free = shutil.disk_usage(into).free
    except OSError as error:
        raise StorageError(f"{into} cannot be looked at: {error.strerror}") from error
    rate = bytes_per_day(totals, catalog)
    return Overview(totals, rate, free, _locked(into), put_aside(into), catalog.version, holder(into))


def _locked(into: Path) -> int:
    """How many segments are locked."""
    days = ((camera, day) for camera in names.cameras(into) for day in names.days(into, camera))
    return sum(len(locked(into / camera / day.isoformat())) for camera, day in days)


def bytes_per_day(totals: Sequence[Total], catalog: Catalog) -> float | None:
    """How much a day brings, by the newest week."""
    if not totals:
        return None
    last_ns = max(total.last_ns for total in totals)
    since_ns = max(last_ns - WEEK_NS, min(total.first_ns for total in totals))
    span_ns = last_ns - since_ns
    return catalog.bytes_since(since_ns) * DAY_NS / span_ns if span_ns >= HOUR_NS else None
