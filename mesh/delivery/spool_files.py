"""The files of a stage's spools: one a process node, held under a lock for as long as the node lives.

    FOLDER/00001789-….spool      SQLite, with its -wal and -shm; the name sorts by when it was made

Rules kept here: a file is used by whoever holds its lock, and a lock ends with its process, however that
ends; what cannot be read is put aside as `.damaged`, never deleted; no other user may read what is in it.
"""

import contextlib
import fcntl
import os
import secrets
import time
from pathlib import Path

SUFFIX = ".spool"
BESIDE = ("", "-wal", "-shm")


class SpoolFile:
    """A spool's file, locked. Raises `OSError`."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self._fd = fd

    def __repr__(self) -> str:
        return f"<SpoolFile {self.path}>"

    def put_aside(self) -> Path:
        """Rename it, so that it is found by people only, and let go of it. The database must be closed."""
        aside = self.path.with_suffix(".damaged")
        for end in BESIDE:
            with contextlib.suppress(FileNotFoundError):
                os.rename(f"{self.path}{end}", f"{aside}{end}")
        self.release()
        return aside

    def remove(self) -> None:
        """Delete it and let go of it. The database must be closed."""
        for end in BESIDE:
            Path(f"{self.path}{end}").unlink(missing_ok=True)
        self.release()

    def release(self) -> None:
        """Let go of it. A second time does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def new_file(folder: Path) -> SpoolFile:
    """Make a file in `folder`, which is made, too, where it is missing."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    while True:
        path = folder / f"{time.time_ns():020d}-{secrets.token_hex(4)}{SUFFIX}"
        path.touch(mode=0o600, exist_ok=False)
        if (file := lock(path)) is not None:  # else somebody who looked for old ones was faster
            return file


def unlocked_files(folder: Path) -> list[SpoolFile]:
    """Every file in `folder` that nobody held, oldest first; they are held now."""
    found = map(lock, sorted(folder.glob(f"*{SUFFIX}")))
    return [file for file in found if file is not None]


def lock(path: Path) -> SpoolFile | None:
    """Take a file, unless somebody holds it or it has gone."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(fd), os.stat(path)):  # else it was replaced as it was opened
            return SpoolFile(path, fd)
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None
