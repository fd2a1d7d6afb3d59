"""Passwords kept out of configurations: `rtsp://user:{DOOR_PASSWORD}@192.0.2.7/stream`.

Rules kept here: a placeholder stands only where `redact` hides what is there (or is the user's name), so that
what is filled in shows nowhere; a secret is looked up anew at each start of what needs it; no error shows
one.
"""

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from mesh.errors import ConfigError
from nodes.redact import HIDDEN, redact

PLACEHOLDER = re.compile(r"\{([A-Z][A-Z0-9_]*)\}")
_LINE = re.compile(r"([A-Z][A-Z0-9_]*)\s*=\s*(.*)")
_MARK = "0placeholder0"
_UNSAFE_IN_EXPRESSION = re.compile(r"[\s\"'\\!]")


def has_secret(url: str) -> bool:
    """Whether a password stands in `url` itself."""
    bare = PLACEHOLDER.sub(HIDDEN, url)
    return redact(bare) != bare


def shown(url: str) -> str:
    """`url` without its secrets; one whose secrets are all placeholders is shown as it is."""
    return redact(url) if has_secret(url) else url


def check_placeholders(url: str) -> None:
    """Refuse a placeholder whose secret would show. Raises `ConfigError`."""
    if not PLACEHOLDER.search(url):
        return
    filled = redact(PLACEHOLDER.sub(_MARK, url))
    if _MARK in filled.replace(f"//{_MARK}:{HIDDEN}@", "//"):
        raise ConfigError(
            f"{shown(url)}: a placeholder can stand for a user's name and password, as in "
            "//{DOOR_USER}:{DOOR_PASSWORD}@, or for the value of a parameter such as password= or token="
        )


def fill(url: str, secrets: Mapping[str, str]) -> str:
    """`url` with its placeholders filled in. Raises `ConfigError` that names the one that is missing."""
    check_placeholders(url)
    as_it_is = url.lower().startswith("opencv:")

    def value(found: "re.Match[str]") -> str:
        name = found[1]
        if not secrets.get(name):
            raise ConfigError(
                f"the secret {name} is not known here: set it in the node's environment, "
                "or in its --secrets FILE"
            )
        if not as_it_is:
            return quote(secrets[name], safe="")
        if _UNSAFE_IN_EXPRESSION.search(secrets[name]):
            raise ConfigError(
                f"the secret {name} cannot stand in an opencv: expression: it holds a space, quote, \\ or !"
            )
        return secrets[name]

    return PLACEHOLDER.sub(value, url)


class Secrets:
    """The secrets of this node: its environment, and a file of `NAME=value` lines that goes before it."""

    def __init__(self, file: Path | None = None, environment: Mapping[str, str] = os.environ) -> None:
        self._file, self._environment = file, environment
        self.read()

    def __repr__(self) -> str:
        return f"<Secrets of the environment and {self._file}>"

    def read(self) -> Mapping[str, str]:
        """All of them, as they are now. Raises `ConfigError`."""
        return {**self._environment, **(read_secrets(self._file) if self._file else {})}


def read_secrets(path: Path) -> dict[str, str]:
    """The `NAME=value` lines of a file that nobody else may read. Raises `ConfigError`."""
    try:
        with path.open(encoding="utf-8") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"--secrets {path}: {why}") from error
    if mode & 0o077:
        raise ConfigError(f"--secrets {path} can be read by others: chmod 600 {path}")
    return dict(
        _secret(path, number, line)
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.lstrip().startswith("#")
    )


def _secret(path: Path, number: int, line: str) -> tuple[str, str]:
    found = _LINE.fullmatch(line.strip())
    if found is None:
        raise ConfigError(f"--secrets {path}, line {number}: write NAME=value, the name in capitals")
    return found[1], found[2]
