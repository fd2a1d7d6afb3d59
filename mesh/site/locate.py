"""On which line of a TOML text each key stands. Pure.

Rules kept here: a line is looked at only where a statement begins, that is where the statement before it is
whole: so a line within a string or an array of several lines is none, whatever it looks like.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping

Path = tuple[str, ...]

_TABLE = re.compile(r"\s*\[\[?(?P<key>[^=#]+?)\]?\]\s*(#.*)?$")
_VALUE = re.compile(r"\s*(?P<key>(?:\"(?:[^\"\\]|\\.)*\"|'[^']*'|[A-Za-z0-9_\-.\s])+?)\s*=")


def lines_of(text: str) -> dict[Path, int]:
    """The line, from 1, of each key that is written in the text."""
    found: dict[Path, int] = {}
    for number, path in _statements(text):
        found.setdefault(path, number)
    return found


def line_of(lines: Mapping[Path, int], path: Path) -> int | None:
    """The line of the key at `path`; where it is not written, of the nearest table around it that is; None
    where nothing of it is. Where a value is one of several within a line, it is that line."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    # A table may be there only by what stands below it: [cameras.door] without [cameras].
    below = [number for stands, number in lines.items() if path and stands[: len(path)] == path]
    return min(below, default=None)


def _statements(text: str) -> Iterator[tuple[int, Path]]:
    """Every line that begins a table or a value, with the path of what it begins."""
    table: Path = ()
    begun = ""  # a statement that is not whole yet
    for number, line in enumerate(text.split("\n"), 1):  # TOML knows no other end of a line
        if not begun and (found := _TABLE.match(line) or _VALUE.match(line)) is not None:
            path = _keys(found["key"])
            if found.re is _TABLE:
                table = path
                yield number, table
            elif path:
                yield number, table + path
        begun += f"{line}\n"
        if _is_whole(begun):
            begun = ""


def _is_whole(statement: str) -> bool:
    try:
        tomllib.loads(statement)
    except ValueError:
        return False
    except RecursionError:  # it was read once, with a little more room
        return True
    return True


def _keys(key: str) -> Path:
    """The parts of a key as TOML reads it: `a."b.c"` has two. Empty for what is no key."""
    try:
        inner: object = tomllib.loads(f"{key} = 0")
    except ValueError:
        return ()
    parts = []
    while isinstance(inner, dict):
        ((name, inner),) = inner.items()
        parts.append(name)
    return tuple(parts)
