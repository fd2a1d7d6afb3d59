"""On which line of a TOML text a key stands. Pure.

Rules kept here: only a line before which the text is a whole document begins a statement; so a line within a
string or an array of several lines is none, whatever it looks like.
"""

import re
import tomllib
from collections.abc import Iterator

Path = tuple[str, ...]

_TABLE = re.compile(r"\s*\[\[?(?P<key>[^=#]+?)\]?\]\s*(#.*)?$")
_VALUE = re.compile(r"\s*(?P<key>(?:\"(?:[^\"\\]|\\.)*\"|'[^']*'|[A-Za-z0-9_\-.\s])+?)\s*=")


def line_of(text: str, path: Path) -> int | None:
    """The line, from 1, of the key at `path`; where it is not written, of the nearest table around it that
    is; None where nothing of it is. Where a value is one of several within a line, it is that line."""
    found = {stands: number for number, stands in _statements(text)}
    for length in range(len(path), 0, -1):
        if path[:length] in found:
            return found[path[:length]]
    # A table may be there only by what stands below it: [cameras.door] without [cameras].
    below = [number for stands, number in found.items() if path and stands[: len(path)] == path]
    return min(below, default=None)


def _statements(text: str) -> Iterator[tuple[int, Path]]:
    """Every line that begins a table or a value, with the path of what it begins."""
    lines = text.splitlines(keepends=True)
    table: Path = ()
    for number, line in enumerate(lines, 1):
        found = _TABLE.match(line) or _VALUE.match(line)
        if found is None or not _is_whole("".join(lines[: number - 1])):
            continue
        path = _keys(found["key"])
        if found.re is _TABLE:
            table = path
            yield number, table
        elif path:
            yield number, table + path


def _is_whole(text: str) -> bool:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return True


def _keys(key: str) -> Path:
    """The parts of a key as TOML reads it: `a."b.c"` has two. Empty for what is no key."""
    try:
        inner: object = tomllib.loads(f"{key} = 0")
    except tomllib.TOMLDecodeError:
        return ()
    parts = []
    while isinstance(inner, dict):
        ((name, inner),) = inner.items()
        parts.append(name)
    return tuple(parts)
