"""Whether a collector could begin to record to a folder, asked before it does.

Rules kept here: nothing is left behind; a disk that is full or read-only is no reason not to begin: a
collector waits for it.
"""

import errno
import os
import tempfile
from pathlib import Path

from nodes.collect.recorder import WAITED_FOR, no_folder, storage_error


def check_folder(into: Path) -> None:
    """Raises `StorageError` where `into` can neither be written nor be made."""
    try:
        there = next(folder for folder in (into, *into.parents) if folder.exists())
        _write(there)
    except FileNotFoundError as error:
        raise no_folder(into) from error
    except OSError as error:
        if error.errno not in WAITED_FOR:
            raise storage_error(into, error) from error


def _write(folder: Path) -> None:
    """A file without a name, where there can be one; else a folder that goes at once. Raises `OSError`."""
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    try:
        os.close(os.open(folder, getattr(os, "O_TMPFILE", 0) | os.O_WRONLY, 0o600))
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR):
            raise
        os.rmdir(tempfile.mkdtemp(prefix=".mesh-", dir=folder))
