"""What a power cut leaves of a folder, at each moment at which something is asked of its disk.

    disk = PowerCut(into, tmp_path / "after", at=17)    # from now on: killed right before the 17th step

A step is a sync, a write but for that of pictures, a rename, a removal, a cut, a new folder, or a transaction
of the index. `into` is left as
`kill -9` leaves it. After a power cut POSIX promises less: of a file what was synced, and its name where its
folder was synced since. `after/strict` is just that. `after/torn` has all names, and half of what was written
since the sync, with zeros behind it: what a disk that was just writing may have. `after/old` has the index as
it was some steps ago. SQLite syncs by itself, and is trusted with that: its files are taken as they are.

Rules kept here: what was there at the begin was safe; a file is known by its inode, which is held so that no
other file gets it; for a process of its own, which `Forks` starts.
"""

import ctypes
import os
import shutil
import signal
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from mesh.recordings import index, kept
from mesh.recordings.index import NAME
from nodes.collect import syncing

OF_INDEX = (NAME, f"{NAME}-wal", f"{NAME}-shm")
SYNCS = ("fsync", "fdatasync")
OF_DESCRIPTORS = (*SYNCS, "ftruncate", "pwrite")
OF_PATHS = ("rename", "unlink", "rmdir", "mkdir")
BACK = 7  # steps, for the index of some time ago
Names = dict[str, tuple[int, bool]]  # inode, and whether it is a folder


class PowerCut:
    """`steps` are those that were taken so far; with `at` 0 nothing is cut."""

    def __init__(self, into: Path, after: Path, at: int = 0) -> None:
        self.steps: list[str] = []
        self._into, self._after, self._at = into, after, at
        self._lock = threading.RLock()
        self._safe: dict[int, bytes] = {}
        self._names: dict[Path, Names] = {}
        self._held: dict[int, int] = {}  # descriptors, by inode
        self._sync_all()
        for name in OF_DESCRIPTORS:
            setattr(os, name, self._of_descriptor(name, getattr(os, name)))
        for name in OF_PATHS:
            setattr(os, name, self._of_path(name, getattr(os, name)))
        for module in (index, kept):
            setattr(module, "transaction", self._transactions(module.transaction))  # noqa: B010
        setattr(syncing, "_libc", _Libc(self))  # noqa: B010

    def __repr__(self) -> str:
        return f"<PowerCut at {self._at}, {len(self.steps)} steps>"

    def step(self, name: str) -> None:
        self.steps.append(name)
        if len(self.steps) == self._at - BACK:
            self._copy_index(self._after / "old")
        if len(self.steps) == self._at:
            self._cut()

    def sync_file_system(self, fd: int) -> int:
        with self._lock:
            self.step("syncfs")
            done = ctypes.CDLL(None, use_errno=True).syncfs(fd)
            self._sync_all()
        return int(done)

    def _cut(self) -> NoReturn:
        strict, torn = self._after / "strict", self._after / "torn"
        self._write_strict(self._into, strict)
        self._write_torn(torn)
        for folder in (strict, torn):
            self._copy_index(folder)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("unreachable")

    def _of_descriptor(self, name: str, act: Callable[..., Any]) -> Callable[..., Any]:
        def call(fd: Any, *more: Any) -> Any:
            with self._lock:
                self.step(name)
                done = act(fd, *more)
                if name in SYNCS:
                    self._synced(fd)
                return done

        return call

    def _of_path(self, name: str, act: Callable[..., None]) -> Callable[..., None]:
        def call(path: Any, *more: Any, **others: Any) -> None:
            with self._lock:
                self.step(name)
                act(path, *more, **others)
                if name == "mkdir":
                    self._names[Path(path)] = {}

        return call

    def _transactions(self, real: Callable[..., Any]) -> Callable[..., Any]:
        @contextmanager
        def transaction(db: Any) -> Iterator[None]:
            with real(db):
                yield
                with self._lock:
                    self.step("commit")

        return transaction

    def _synced(self, fd: int) -> None:
        found, path = os.fstat(fd), Path(os.readlink(f"/proc/self/fd/{fd}"))
        if stat.S_ISDIR(found.st_mode):
            self._names[path] = self._listed(path)
        elif found.st_nlink:
            self._hold(found.st_ino, path)
            self._safe[found.st_ino] = path.read_bytes()

    def _sync_all(self) -> None:
        for folder, _, files in os.walk(self._into):
            self._names[Path(folder)] = self._listed(Path(folder))
            for file in files:
                if file not in OF_INDEX:
                    path = Path(folder, file)
                    self._safe[path.stat().st_ino] = path.read_bytes()

    def _listed(self, folder: Path) -> Names:
        found: Names = {}
        for entry in os.scandir(folder):
            if entry.name not in OF_INDEX:
                self._hold(entry.inode(), Path(entry.path))
                found[entry.name] = entry.inode(), entry.is_dir()
        return found

    def _hold(self, inode: int, path: Path) -> None:
        if inode not in self._held:
            self._held[inode] = os.open(path, os.O_RDONLY)

    def _write_strict(self, folder: Path, to: Path) -> None:
        """A folder as far as its names, and those of what is in it, are safe."""
        to.mkdir(parents=True)
        for name, (inode, is_folder) in self._names.get(folder, {}).items():
            if is_folder:
                self._write_strict(folder / name, to / name)
            else:
                (to / name).write_bytes(self._safe.get(inode, b""))

    def _write_torn(self, to: Path) -> None:
        shutil.copytree(self._into, to, ignore=shutil.ignore_patterns(*OF_INDEX))
        for file in to.rglob("*"):
            if file.is_file():
                inode = (self._into / file.relative_to(to)).stat().st_ino
                file.write_bytes(self._torn(file.read_bytes(), self._safe.get(inode, b"")))

    def _torn(self, now: bytes, safe: bytes) -> bytes:
        """What was written since over what was safe is there, or is not; of what came behind it a half is."""
        if len(now) <= len(safe):
            return now
        start = safe if self._at % 2 else now[: len(safe)]
        more = now[len(safe) :]
        return start + more[: len(more) // 2] + bytes(len(more) - len(more) // 2)

    def _copy_index(self, to: Path) -> None:
        to.mkdir(parents=True, exist_ok=True)
        for name in OF_INDEX:
            with suppress(FileNotFoundError):
                shutil.copyfile(self._into / name, to / name)


class _Libc:
    """The C library, but for `syncfs`."""

    def __init__(self, disk: PowerCut) -> None:
        self.syncfs = disk.sync_file_system
        self._libc = ctypes.CDLL(None, use_errno=True)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._libc, name)
