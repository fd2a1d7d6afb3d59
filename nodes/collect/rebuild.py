"""A folder's index, made again from its files alone.

Rules kept here: nobody records there meanwhile; the rows of segments, events and gaps are those that the
files give, all written in one transaction; what the index alone knows, where it can be read, stays: its
number, duplicates, where senders go on, and how much was removed. What is damaged is put aside, never cut:
what was once whole is no tail that a crash has cost. Damaged pictures alone put nothing aside: the others are
as good as ever.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mesh.errors import StorageError
from mesh.recordings.folder import check_folder, holder, put_aside, recordings
from nodes.collect.folder import FolderLock
from nodes.collect.recorder import storage_error
from nodes.collect.recovery import Lacking, counted, mend, sound_index
from nodes.collect.removal import remove_files


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What there is now: recordings and their frames; and how many files were put aside."""

    segments: int
    frames: int
    aside: int


def rebuild(into: Path, tell: Callable[[int, int], None] = lambda done, total: None) -> Rebuilt:
    """Make the index again. `tell` hears how many files are done, of how many. Raises `StorageError`."""
    check_folder(into)
    if (who := holder(into)) is not None:
        raise StorageError(f"{who} records to {into}: stop it first, then rebuild")
    lock = FolderLock(into)
    try:
        return _rebuild(into, tell)
    except OSError as error:
        raise storage_error(into, error) from error
    finally:
        lock.release()


def _rebuild(into: Path, tell: Callable[[int, int], None]) -> Rebuilt:
    aside = put_aside(into)
    index = sound_index(into)
    try:
        remove_files(into, index.removing())
        index.removed()
        known = {row.path: row for row in index.segments()}
        paths = [str(path.relative_to(into)) for path in recordings(into)]
        made = []
        for done, path in enumerate(paths):
            tell(done, len(paths))
            made.append(mend(into, path, known.get(path), Lacking.DAMAGE))
        kept = [each for each in made if each.row.frames]
        index.write(kept, counted(index.streams(), [each.row for each in kept]).values(), anew=True)
        return Rebuilt(len(kept), sum(each.row.frames for each in kept), put_aside(into) - aside)
    finally:
        index.close()
