"""Recordings are removed from the disk.

Rules kept here: whoever calls has taken note that they are to go, so that it can be done again; of the two
files the video goes first: lines alone hold nothing; when this returns, the disk holds that they are gone.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from nodes.collect.segment import sync_folder


def lock_of(into: Path, path: str) -> Path:
    """The file that says that a recording is locked, while it is there."""
    return (into / path).with_suffix(".lock")


@dataclass(slots=True)
class Removal:
    """Recordings that were there and are `gone`, and those that the disk `refused` to remove. Others were not
    there: perhaps their disk was not."""

    gone: list[str] = field(default_factory=list)
    refused: dict[str, OSError] = field(default_factory=dict)


def remove_files(into: Path, paths: Iterable[str]) -> Removal:
    """Remove both files of recordings, and the folders that are empty then."""
    done, folders = Removal(), defaultdict(list)
    for path in paths:
        try:
            if _remove(into / path):
                folders[(into / path).parent].append(path)
        except OSError as error:
            done.refused[path] = error
    for day, removed in folders.items():
        try:
            _tidy(day)
            done.gone += removed
        except OSError as error:
            done.refused |= dict.fromkeys(removed, error)
    return done


def _remove(video: Path) -> bool:
    """Whether one of the files was there."""
    before = [file for file in (video, video.with_suffix(".jsonl")) if file.exists()]
    for file in before:
        file.unlink(missing_ok=True)
    return bool(before)


def _tidy(day: Path) -> None:
    """Have the disk hold what a folder holds, or that it is gone, and its camera's where that is empty."""
    sync_folder(day)
    for folder in (day, day.parent):
        try:
            folder.rmdir()
        except OSError:  # something is in it: most of them; or somebody was faster
            return
        sync_folder(folder.parent)
