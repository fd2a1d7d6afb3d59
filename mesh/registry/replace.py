"""Reading a text file, and replacing it whole.

Rules kept here: whoever reads sees the old text or the new one, and never a part of one, even when the power
fails; the file keeps its permissions, and a new one is its user's alone; bytes that are not UTF-8 go through
unharmed (as lone surrogates); the system's errors become `StorageError`.
"""

import os
import stat
import tempfile
from pathlib import Path

from mesh.errors import StorageError


def read_text(path: Path) -> str | None:
    """The text; None when there is no such file. Raises `StorageError`."""
    try:
        return path.read_bytes().decode(errors="surrogateescape")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error


def replace_text(path: Path, text: str) -> None:
    """Put `text` in place of the file's. Raises `StorageError`, and then the old text stands."""
    if path.exists() and not os.access(path, os.W_OK):
        raise StorageError(f"{path} is read-only: it cannot be changed")
    try:
        aside = _write_aside(path, text)
        os.replace(aside, path)
        sync_directory(path.parent)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}") from error


def sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_aside(path: Path, text: str) -> str:
    handle, aside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(handle, "wb") as file:
            os.fchmod(handle, _mode(path))
            file.write(text.encode(errors="surrogateescape"))
            file.flush()
            os.fsync(handle)
    except BaseException:
        os.unlink(aside)
        raise
    return aside


def _mode(path: Path) -> int:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return 0o600  # a camera's password may come to stand in it
