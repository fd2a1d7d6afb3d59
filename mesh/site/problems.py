"""What is wrong with a site's file: one line each, that names file, line and key, and says what to write.

Rules kept here: no line shows what stands in the file: it may be a URL, in which a password may stand.
"""

import contextlib
import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from mesh.errors import ConfigError
from mesh.site.locate import key_at, line_of, lines_of
from mesh.site.words import SIZE, is_twice, of_toml, of_value

CALLED = {"stall_s": "stall", "give_up_s": "give_up"}  # options of cameras, as the command line has them

_CREDENTIALS = re.compile(r"://[^/@\s]*@")
_AT_END = " (at end of document)"
_AT_LINE = re.compile(r" \(at line (\d+), column \d+\)$")
_IN_BRACES = re.compile(r"Duplicate inline table key '(.+)'\Z")

Where = tuple[str | int, ...]  # keys, and the number of an item in a list, from 0
NAMED = "names_itself"  # the kind of a message that shows which item it is about


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where in the file, and what."""

    where: Where
    what: str
    line: int | None = None

    def told(self, path: Path) -> str:
        place = f"{shown(path)}:{self.line}" if self.line is not None else shown(path)
        key = ".".join(_quoted(part) for part in self.where if isinstance(part, str))
        told = ": ".join(part for part in (place, key, self.what) if part)
        return _CREDENTIALS.sub("://***@", told)


class SiteError(ConfigError):
    """Yours: a site's file is wrong. `problems` are all of it, one line each."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        more = len(problems) - 1
        also = f" (and {more} more: `mesh config check` tells them all)" if more else ""
        super().__init__(problems[0] + also)


class Wrong(Exception):
    """Problems that were found on the way, not yet by line."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__()
        self.problems = tuple(problems)


def of_keys(where: Where, values: Mapping[str, Any], known: Iterable[str]) -> Iterator[Problem]:
    known = set(known)
    for key in values:
        if key not in known:
            yield Problem((*where, key), unknown_key(key, known))


def of_model(error: ValidationError, model: type[BaseModel], above: Where = ()) -> Iterator[Problem]:
    """The problems that pydantic found, in our words."""
    found: dict[Problem, None] = {}  # each once: both sides of a size are one
    for each in error.errors(include_input=False, include_url=False):
        parts = (CALLED.get(part, part) if isinstance(part, str) else part for part in each["loc"])
        where: Where = (*above, *(part for part in parts if part != "[key]"))
        keys = tuple(part for part in where if isinstance(part, str))
        match each["type"]:
            case "extra_forbidden":
                what = unknown_key(keys[-1], keys_of(model, keys[:-1]))
            case "model_type" | "dict_type":
                what = f"it is a table: write [{'.'.join(keys)}]"
            case _ if keys[-1:] == ("size",):
                where, what = keys, SIZE
            case kind:
                what = of_value(kind, each.get("ctx", {}), each["msg"])
                if kind != NAMED and where and isinstance(number := where[-1], int):
                    what = f"item {number + 1}: {what}"
        found[Problem(where, what)] = None
    yield from found


def keys_of(model: type[BaseModel], where: Sequence[str]) -> set[str]:
    """The keys that a table may have."""
    fields = model.model_fields
    if not where:
        return set(fields)
    annotation: Any = fields[where[0]].annotation if where[0] in fields else None
    section = annotation.__args__[-1] if hasattr(annotation, "__args__") else annotation
    return set(getattr(section, "model_fields", ()))


def unknown_key(key: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(key, sorted(known), n=1)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted(known))}"
    return f"there is no such key: {hint}"


def shown(path: Path) -> str:
    """A path as a person would write it, in characters that can be written anywhere."""
    with contextlib.suppress(OSError, ValueError):  # the working directory may be gone
        path = path.relative_to(Path.cwd())
    return printable(str(path))


def printable(text: str) -> str:
    """A text in which a path may stand that is no UTF-8."""
    return text.encode(errors="backslashreplace").decode()


def of_syntax(error: Exception, text: str) -> Problem:
    """What makes a text no TOML."""
    if isinstance(error, RecursionError):
        return Problem((), "it is nested too deeply")
    if "int_max_str_digits" in str(error):  # Python's own, which knows no line
        return Problem((), "a number in it has too many digits")
    found = _AT_LINE.search(str(error))
    said = _AT_LINE.sub("", str(error).removesuffix(_AT_END))
    line = int(found[1]) if found else max(1, text.rstrip("\n").count("\n") + 1)
    where = key_at(text, line)
    if (twice := _IN_BRACES.match(said)) is not None:
        return Problem((*where, twice[1]), "it stands there twice", line)
    return Problem(where, _twice(where, text, line) if is_twice(said) else of_toml(said), line)


def _twice(where: Where, text: str, line: int) -> str:
    """That something is written already, and where: it, or what it would be a part of."""
    before = lines_of("\n".join(text.split("\n")[: line - 1]))
    known = line_of(before, where)
    if known is None:
        return "it stands there twice"
    if where in before:
        return f"it stands there twice: on line {known}, too"
    return f"it stands there already, in what line {known} says"


def _quoted(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else f'"{key}"'
