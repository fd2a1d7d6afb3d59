"""The mark that a running `mesh up` leaves in its state folder, by which `mesh reload` finds it.

Rules kept here: the mark is held by a lock, so that one whose process is gone, however it went, is known for
what it is; of one file, no part is run twice.
"""

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from mesh.errors import MeshError, StorageError
from mesh.site.problems import shown


@dataclass(frozen=True, slots=True)
class Running:
    """A `mesh up` that runs: its process, where it is asked, of which file, and what of it it runs."""

    pid: int
    endpoint: str
    file: str
    only: tuple[str, ...]
    parts: tuple[str, ...]

    def __str__(self) -> str:
        chosen = "".join(f" --only {one}" for one in self.only)
        return f"mesh up {shown(Path(self.file))}{chosen} (process {self.pid})"


class Mark:
    """A context manager: held while `mesh up` runs. Raises `MeshError` when another one runs what it would,
    and `StorageError` where it cannot be left."""

    def __init__(
        self, state: Path, file: Path, only: Sequence[str], parts: Collection[str], endpoint: str
    ) -> None:
        self._state = state
        self._told = Running(os.getpid(), endpoint, str(file.resolve()), tuple(only), tuple(parts))
        name = hashlib.blake2b(repr((self._told.file, sorted(only))).encode(), digest_size=6).hexdigest()
        self._path = state / f"up-{name}.json"

    def __enter__(self) -> Self:
        try:
            self._state.mkdir(parents=True, exist_ok=True)
            # While this is held, no other looks who runs, or says that it does.
            with (self._state / "up.lock").open("w") as turn:
                fcntl.flock(turn, fcntl.LOCK_EX)
                self._leave()
        except OSError as error:
            raise StorageError(
                f"cannot write to {shown(self._state)}: {error.strerror}; choose another place with --state"
            ) from error
        return self

    def _leave(self) -> None:
        for other in running(self._state, Path(self._told.file)):
            twice = sorted(set(other.parts) & set(self._told.parts))
            if twice or other.only == self._told.only:
                what = ", ".join(twice) or "this"
                raise MeshError(f"{what} runs already: {other}; `mesh reload` has it read the file again")
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._write()

    def tell(self, parts: Collection[str]) -> None:
        """It runs these from now on. What the disk refuses is told as it was before."""
        self._told = replace(self._told, parts=tuple(parts))
        with contextlib.suppress(OSError):
            self._write()

    def _write(self) -> None:
        """Those who read it meanwhile find the one or the other: what is left of a longer one is blank."""
        told = json.dumps(asdict(self._told)).encode()
        os.pwrite(self._fd, told.ljust(os.fstat(self._fd).st_size), 0)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._path.unlink()
        os.close(self._fd)


def running(state: Path, file: Path) -> Iterator[Running]:
    """Every `mesh up` of a file that runs with this state folder, as far as that can be read."""
    marks: list[Path] = []
    with contextlib.suppress(OSError):
        marks = sorted(state.glob("up-*.json"))
    for path in marks:
        if _is_held(path) and (found := _read(path)) is not None and found.file == str(file.resolve()):
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
        texts = [str(told[name]) for name in ("endpoint", "file")]
        lists = [tuple(map(str, told[name])) for name in ("only", "parts")]
        return Running(int(told["pid"]), *texts, *lists)  # type: ignore[arg-type]  # as many as it takes
    except (OSError, ValueError, KeyError, TypeError):  # it is being written, or no mark of ours
        return None
