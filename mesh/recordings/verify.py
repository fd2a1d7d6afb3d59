"""Whether recordings are what they should be: every file against its lines, and against the index.

Rules kept here: nothing is changed; whatever is wrong with one file is a line of its own, and the next one is
looked at all the same; what a collector changes meanwhile is looked at again, so that it is no problem. What
lies in the folder and is none of ours is noted. A picture and its times are checked by their checksum, lines
by their times, their order and what the index says of them; a file's head, and its table to seek by, have no
checksum of their own.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from mesh.errors import StorageError
from mesh.recordings.catalog import Catalog
from mesh.recordings.ebml import places, said_length
from mesh.recordings.files import FileBytes
from mesh.recordings.folder import (
    LOCKED,
    QUARANTINE,
    check_cameras,
    holder,
    put_aside,
    recordings,
    strangers,
)
from mesh.recordings.held import listed, read_lines
from mesh.recordings.index import NAME, Listed
from mesh.recordings.lines import Entry, next_pts_ms

LOOKS = 3  # at a file that changes meanwhile
_CHECKED = ("camera", "stage", "boot", "frames", "late", "first_ns", "last_ns", "bytes", "skipped_ns")

Tell = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Finding:
    """What is to be said of a file, by its path below the folder: a problem, or worth a note."""

    path: str
    text: str
    is_problem: bool = True


@dataclass(frozen=True, slots=True)
class Pictures:
    """A video, as it was read: the time of each picture in milliseconds, those of the damaged ones, its
    bytes, and how many it says that it has."""

    times_ms: tuple[int, ...]
    damaged_ms: tuple[int, ...]
    bytes: int
    says_bytes: int | None


def verify(
    into: Path, cameras: Sequence[str] = (), tell: Tell = lambda done, total: None
) -> Iterator[Finding]:
    """What is to be said of the recordings of these cameras, or of all. `tell` hears how many files are done,
    of how many.

    Raises `StorageError` when there is no such folder, and `ConfigError` for a camera that it does not know.
    """
    try:
        opened: Catalog | nullcontext[None] = Catalog(into, files=False)
    except StorageError as error:
        if not into.is_dir():
            raise
        opened = nullcontext()
        yield Finding(NAME, str(error))
    with opened as catalog:
        _check_cameras(into, catalog, cameras)
        if catalog is not None and (fault := catalog.fault()):
            yield Finding(NAME, f"{fault}; make it again with: mesh recordings rebuild {into}")
        yield from _verified(into, catalog, cameras, tell)
    if not cameras:
        yield from _noted(into)


def _check_cameras(into: Path, catalog: Catalog | None, cameras: Sequence[str]) -> None:
    if catalog is None:
        check_cameras(into, cameras)
    else:
        catalog.check_cameras(cameras)


def _verified(into: Path, catalog: Catalog | None, cameras: Sequence[str], tell: Tell) -> Iterator[Finding]:
    there = {str(path.relative_to(into)) for path in recordings(into)}
    known = {row.path for row in catalog.segments()} if catalog is not None else set()
    wanted = [path for path in sorted(there | known) if not cameras or path.partition("/")[0] in cameras]
    for done, path in enumerate(wanted):
        tell(done, len(wanted))
        yield from (Finding(path, text) for text in _looked_at(into, path, catalog))
    tell(len(wanted), len(wanted))


def _looked_at(into: Path, path: str, catalog: Catalog | None) -> list[str]:
    """What is wrong with a file, once it holds still."""
    found: list[str] = []
    for _ in range(LOOKS):
        known = catalog.segment(path) if catalog is not None else None
        found = faults(into, path, known)
        if catalog is not None and known is None and not found and (into / path).exists():
            found = [] if holder(into) else ["the index does not know it"]
        if known is not None and known.row.open and not holder(into):
            found.append("nobody has ended it: a collector does when it starts, or mesh recordings rebuild")
        if not found or catalog is None or catalog.segment(path) == known:
            return found
    return found


def faults(into: Path, path: str, known: Listed | None) -> list[str]:
    """What is wrong with one recording: of its two files, and of what the index says of it."""
    video = into / path
    if known is None and not video.exists() and not video.with_suffix(".jsonl").exists():
        return []  # it was removed just now
    found: list[str] = []
    is_open = known is not None and known.row.open
    entries, line_bytes, pictures = None, 0, None
    try:
        entries, line_bytes = read_lines(video.with_suffix(".jsonl"))
        found += of_lines(entries, line_bytes, is_open=is_open)
    except StorageError as error:
        found.append(str(error))
    try:
        pictures = read_pictures(video)
        found += of_video(pictures, is_open=is_open)
    except StorageError as error:
        found.append(str(error))
    if entries and pictures:
        found += of_both(entries, pictures, is_open=is_open)
        if known is not None:
            found += of_index(known, entries, pictures.bytes + line_bytes)
    return found


def read_pictures(video: Path) -> Pictures:
    """Raises `StorageError` for what cannot be read, or is no video."""
    try:
        fd = os.open(video, os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = FileBytes(fd, os.fstat(fd).st_size)
            read = [(place.time_ms, place.read(data) is None) for place in places(data)]
            return Pictures(
                tuple(time_ms for time_ms, _ in read),
                tuple(time_ms for time_ms, is_damaged in read if is_damaged),
                len(data),
                said_length(data),
            )
        finally:
            os.close(fd)
    except FileNotFoundError:
        raise StorageError("its video is missing") from None
    except OSError as error:
        raise StorageError(f"its video cannot be read: {error.strerror}") from error


def of_video(pictures: Pictures, *, is_open: bool) -> Iterator[str]:
    """What is wrong with a video itself. Pure."""
    if pictures.damaged_ms:
        at = f"the first {pictures.damaged_ms[0] / 1000:.3f} s after its begin"
        yield f"{len(pictures.damaged_ms)} of its {len(pictures.times_ms)} pictures are damaged, {at}"
    if is_open or pictures.says_bytes == pictures.bytes:
        return
    if pictures.says_bytes is None:
        yield "its video was not ended"
    elif pictures.says_bytes > pictures.bytes:
        yield f"its video was cut short: {pictures.bytes} bytes of {pictures.says_bytes}"
    else:
        yield f"its video has {pictures.bytes - pictures.says_bytes} bytes behind its end"


def of_lines(entries: Sequence[Entry], size: int, *, is_open: bool) -> Iterator[str]:
    """What is wrong with lines themselves. Pure."""
    if not is_open and (not entries or entries[-1].end != size):
        yield f"its lines cannot be read from the {_th(len(entries) + 1)} on"
    if not entries:
        return
    first, last_ms = entries[0], None
    seen = set()
    for number, entry in enumerate(entries, 1):
        if entry.identity[:3] != first.identity[:3]:
            yield f"its {_th(number)} line is of another camera, stage or boot"
            return
        if entry.identity in seen:
            yield f"its {_th(number)} line is of a frame that was there before"
            return
        last_ms = next_pts_ms(first.captured_ns, entry.captured_ns, last_ms)
        if entry.pts_ms != last_ms:
            yield f"the times in its {_th(number)} line do not agree"
            return
        seen.add(entry.identity)


def of_both(entries: Sequence[Entry], pictures: Pictures, *, is_open: bool) -> Iterator[str]:
    """Whether lines and pictures are of the same frames. Pure."""
    if not is_open and len(entries) != len(pictures.times_ms):
        yield f"its video has {len(pictures.times_ms)} pictures, and its lines tell of {len(entries)}"
        return
    pairs = zip(entries, pictures.times_ms, strict=False)
    if (
        number := next((n for n, (entry, ms) in enumerate(pairs, 1) if entry.pts_ms != ms), None)
    ) is not None:
        yield f"its {_th(number)} line is not of its {_th(number)} picture"


def of_index(known: Listed, entries: Sequence[Entry], size: int) -> Iterator[str]:
    """Whether the index says what the lines say; of a file that still grows, of what is safe of it. Pure."""
    row = known.row
    if len(entries) < row.frames:
        yield f"the index says that {row.frames} frames are safe, and {len(entries)} lines can be read"
        return
    held = listed(row.path, entries[: row.frames] if row.open else entries, size)
    there = replace(held.row, open=row.open, bytes=row.bytes if row.open else size)
    for name in _CHECKED:
        said, found = getattr(row, name), getattr(there, name)
        if said != found:
            yield f"the index says {name} {said}, and its files {found}"
    for what, said, found in (("events", known.events, held.events), ("gaps", known.gaps, held.gaps)):
        if set(said) != set(found):
            yield f"the index says other {what} than its lines"


def _noted(into: Path) -> Iterator[Finding]:
    for path in strangers(into):
        what = "locks nothing" if path.suffix == LOCKED else "is none of ours"
        yield Finding(str(path.relative_to(into)), what, is_problem=False)
    if aside := put_aside(into):
        why = f"{aside} files were put aside; the .txt beside them says why"
        yield Finding(QUARANTINE, why, is_problem=False)


def _th(number: int) -> str:
    teens = 10 <= number % 100 <= 20
    return f"{number}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"
