"""On which line of a TOML text each key stands, and each item of a list. Pure.

Rules kept here: a key is looked for only where a statement begins, that is where the statement before it is
whole: so a line within a string or an array of several lines is none, whatever it looks like.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping

Path = tuple[str | int, ...]  # a number is that of an item, from 0

MOST_LINES = 5000

_LIST = "x = [\n"  # a list of which nothing is known yet
_TABLE = re.compile(r"\s*\[\[?(?P<key>[^=#]+?)\]?\]\s*(#.*)?$")
_VALUE = re.compile(r"\s*(?P<key>(?:\"(?:[^\"\\]|\\.)*\"|'[^']*'|[A-Za-z0-9_\-.\s])+?)\s*=")


def lines_of(text: str) -> dict[Path, int]:
    """The line, from 1, of each key that is written in the text, and of each item of a list."""
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


def key_at(text: str, line: int) -> Path:
    """The path of what is being read on a line, from 1, of a text that is no TOML there; empty where nothing
    is that has a name, and in a text of very many lines."""
    if line > MOST_LINES:  # what is never whole is read anew with each
        return ()
    begun = 0
    found: Path = ()
    lines = text.split("\n")[:line]
    for number, path in _statements("\n".join(lines)):
        if not any(isinstance(part, int) for part in path):
            begun, found = number, path
    # What was whole before has nothing to do with it.
    before = "\n".join(lines[max(0, begun - 1) : -1])
    return () if begun < line and _read(before) is not None else found


def _statements(text: str) -> Iterator[tuple[int, Path]]:
    """Every line that begins a table, a value or an item of a list, with the path of what it begins."""
    table: Path = ()
    path: Path = ()  # of the value that is not whole yet
    begun, depth = "", 0  # its text; in a list, what follows on the last whole item; and below how many keys
    counted, since = 0, 0  # items of its list; the line that the next one begins on, or a later one
    for number, line in enumerate(text.split("\n"), 1):  # TOML knows no other end of a line
        if not begun:
            path, counted, since = (), 0, number
            if (found := _TABLE.match(line)) is not None:
                table = _keys(found["key"])
                yield number, table
            elif (found := _VALUE.match(line)) is not None and (keys := _keys(found["key"])):
                path, depth = table + keys, len(keys)
                yield number, path
        elif begun == _LIST and line.lstrip().startswith(","):
            line = line.replace(",", "", 1)
        begun += f"{line}\n"
        whole = _read(begun)
        told = whole if whole is not None else _read(f"{begun}]") if path else None
        if told is not None:
            items = _items(told, depth) if path else 0
            yield from ((since, (*path, counted + item)) for item in range(items))
            counted, since = counted + items, number + 1
            begun, depth = ("", 0) if whole is not None else (_LIST, 1)


def _items(statement: object, depth: int) -> int:
    """How many items the list has that a statement sets, below so many keys."""
    for _ in range(depth):
        statement = next(iter(statement.values()), None) if isinstance(statement, dict) else None
    return len(statement) if isinstance(statement, list) else 0


def _read(statement: str) -> dict[str, object] | None:
    """What a statement says; None where it is not whole."""
    try:
        return tomllib.loads(statement)
    except ValueError:
        return None
    except RecursionError:  # it was read once, with a little more room
        return {}


def _keys(key: str) -> tuple[str, ...]:
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
