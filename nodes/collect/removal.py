"""Recordings are removed from the disk.

Rules kept here: whoever calls has taken note that they are to go, so that it can be done again; of the two
files the video goes first: lines alone hold nothing; when this returns, the disk holds that they are gone.
"""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from nodes.collect.segment import sync_folder


def lock_of(into: Path, path: str) -> Path:
    """The file that says that a recording is locked, while it is there."""
    return (into / path).with_suffix(".lock")


def remove_files(into: Path, paths: Iterable[str]) -> None:
    """Remove both files of recordings, and the folders that are empty then. What is gone is gone. Raises
    `OSError`."""
    folders = set()
    for path in paths:
        video = into / path
        for file in (video, video.with_suffix(".jsonl")):
            file.unlink(missing_ok=True)
        folders.add(video.parent)
    for day in sorted(folders):
        _tidy(day)


def _tidy(day: Path) -> None:
    """Have the disk hold what a folder holds, or that it is gone, and its camera's where that is empty."""
    with suppress(FileNotFoundError):
        sync_folder(day)
    for folder in (day, day.parent):
        try:
            folder.rmdir()
        except OSError:  # something is in it: most of them; or somebody was faster
            return
        sync_folder(folder.parent)
