"""What a segment holds, from its own files."""

from collections.abc import Sequence
from pathlib import Path

from mesh.errors import StorageError
from mesh.recordings.contents import Contents
from mesh.recordings.index import Listed, SegmentRow
from mesh.recordings.lines import Entry, entries


def read_lines(lines: Path) -> tuple[list[Entry], int]:
    """The lines of a `.jsonl`, up to the first that is none of ours, and the file's bytes.

    Raises `StorageError` when there is none.
    """
    try:
        text = lines.read_bytes()
    except FileNotFoundError:
        raise StorageError("its lines are missing") from None
    except OSError as error:
        raise StorageError(f"its lines cannot be read: {error.strerror}") from error
    return list(entries(text)), len(text)


def listed(path: str, kept: Sequence[Entry], size: int) -> Listed:
    """A segment that is closed as the index has it, from its lines. Pure."""
    stage, camera, boot, _, _ = kept[0].identity
    holds = Contents()
    for entry in kept:
        holds.add(entry.captured_ns, entry.found, late=entry.late, skipped_ns=entry.skipped_ns)
    times = holds.first_ns, holds.last_ns
    counts = holds.frames, holds.late
    row = SegmentRow(path, stage, camera, boot, False, *counts, *times, size, holds.skipped_ns)
    return Listed(row, tuple(holds.events), tuple(holds.gaps))
