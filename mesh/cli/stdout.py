"""The stdout of a command, whose failures are told from all others, such as those of a disk that is full.

Rules kept here: that the reader of a pipe left stays a `BrokenPipeError`; what could not be written is let go
of before the interpreter tries it once more, at its end, with words of its own.
"""

import io
import os
import sys
from typing import Any, TextIO

from mesh.errors import StorageError


class Stdout(io.FileIO):
    """A file descriptor that is written to; raises `StorageError` and `BrokenPipeError`."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise StorageError(f"cannot write to stdout: {error.strerror}") from error


def take_over() -> None:
    """Have what is written to `sys.stdout` raise these; one that was closed takes anything, and so does
    stderr: else errors would be written to stdout."""
    usual = sys.stdout
    if usual is None:
        sys.stdout = _nowhere()
    if sys.stderr is None:
        sys.stderr = _nowhere()
    if usual is None:
        return
    raw = Stdout(usual.fileno(), "w", closefd=False)
    sys.stdout = io.TextIOWrapper(
        raw if usual.write_through else io.BufferedWriter(raw),  # type: ignore[union-attr]  # -u
        encoding=usual.encoding,
        errors=usual.errors,
        line_buffering=bool(usual.line_buffering),
        write_through=usual.write_through,  # type: ignore[union-attr]  # it is what the interpreter made
    )


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")  # as long as the process


def let_go() -> None:
    """Write what waits to be written; where that fails, forget it."""
    try:
        sys.stdout.flush()
    except (StorageError, OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
