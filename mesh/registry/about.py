"""What a registry says of itself: whether it keeps what was configured, and where.

Rules kept here: values, checked when they come from a server; nothing here changes a folder.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mesh.errors import WireError


class Folder(BaseModel):
    """A folder that a program keeps things in, as it sees it. `path` is the program's own."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    path: str
    free_bytes: int = Field(ge=0)  # for a user who is not root
    total_bytes: int = Field(ge=0)  # of the file system
    writable: bool

    @classmethod
    def at(cls, path: Path) -> Self:
        """The folder at `path`. Raises `OSError` where there is none."""
        disk = os.statvfs(path)
        return cls(
            path=os.fsencode(path).decode(errors="replace"),  # what is no text cannot be told
            free_bytes=disk.f_bavail * disk.f_frsize,
            total_bytes=disk.f_blocks * disk.f_frsize,
            writable=os.access(path, os.W_OK | os.X_OK),
        )


class About(BaseModel):
    """What a registry is.

    keeps:              whether what is configured outlasts the registry
    version, host, pid: its server's, where there is one; `bind` is the host that it listens on
    folders:            where it keeps things
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    keeps: bool
    version: str = ""
    host: str = ""
    pid: int = 0
    bind: str = ""
    folders: tuple[Folder, ...] = ()

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Self:
        """What a server told. Raises `WireError`."""
        try:
            return cls.model_validate(told)
        except ValidationError as error:
            raise WireError(
                f"what a registry says of itself is malformed: {error.errors()[0]['msg']}"
            ) from error
