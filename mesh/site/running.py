"""The mark that a running `mesh up` leaves in its state folder, by which `mesh reload` finds it.

Rules kept here: the mark is held by a lock, so that one whose process is gone, however it went, is known for
what it is; of one file and one choice of parts, one runs at a time.
"""

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from mesh.errors import MeshError, StorageError


@dataclass(frozen=True, slots=True)
class Running:
    """A `mesh up` that runs: its process, where it is asked, and what it was told to run."""

    pid: int
    endpoint: str
    only: tuple[str, ...]

    def __str__(self) -> str:
        chosen = "".join(f" --only {one}" for one in self.only)
        return f"mesh up{chosen} (process {self.pid})"


class Mark:
    """A context manager: held while `mesh up` runs. Raises `MeshError` when another one does."""

    def __init__(self, state: Path, only: Sequence[str], endpoint: str) -> None:
        self._path = state / f"up{''.join(f'-{_plain(one)}' for one in sorted(only))}.json"
        self._told = json.dumps({"pid": os.getpid(), "endpoint": endpoint, "only": list(only)})

    def __enter__(self) -> Self:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError(
                f"cannot write to {self._path.parent}: {error.strerror}; choose another place with --state"
            ) from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = _read(self._path)
            os.close(self._fd)
            raise MeshError(
                f"this runs already: {other or 'another mesh up'}; `mesh reload` has it read the file again"
            ) from None
        os.ftruncate(self._fd, 0)
        os.write(self._fd, self._told.encode())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._path.unlink()
        os.close(self._fd)


def running(state: Path) -> Iterator[Running]:
    """Every `mesh up` that runs with this state folder."""
    for path in sorted(state.glob("up*.json")):
        if _is_held(path) and (found := _read(path)) is not None:
            yield found


def _is_held(path: Path) -> bool:
    with contextlib.suppress(OSError), path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _read(path: Path) -> Running | None:
    try:
        told = json.loads(path.read_text())
        return Running(int(told["pid"]), str(told["endpoint"]), tuple(map(str, told["only"])))
    except (OSError, ValueError, KeyError, TypeError):  # it is being written, or no mark of ours
        return None


def _plain(one: str) -> str:
    return re.sub(r"[^a-z0-9_@-]", "_", one.lower())
