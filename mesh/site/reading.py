"""A site's file, read and checked: a `Site`, or everything that is wrong with it.

Rules kept here: a file is used whole or not at all; what a table says is told before what they say together;
whatever is in a file, it is one error.
"""

import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from mesh.registry.setups import CameraSetup
from mesh.site.cameras import cameras_of
from mesh.site.checks import Checks, of_addresses, of_destinations, of_passwords, stages_of
from mesh.site.locate import line_of, lines_of
from mesh.site.problems import Problem, SiteError, Wrong, of_model, of_syntax, shown
from mesh.site.sections import SiteFile
from mesh.site.together import doubts, of_devices, together

T = TypeVar("T")

MAX_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Site:
    """What a site's file says. `folder` is the file's: what is relative is so to it. `stages` are those that
    the process nodes publish, by the name of their tables. `text` is the file as it was read."""

    path: Path
    file: SiteFile
    cameras: tuple[CameraSetup, ...]
    stages: Mapping[str, str]
    text: str = field(default="", repr=False)

    @property
    def folder(self) -> Path:
        return self.path.parent

    @property
    def doubts(self) -> list[str]:
        """What may be wrong with it, or may not, a line each."""
        return self.told(doubts(self.file))

    def told(self, problems: Iterable[Problem]) -> list[str]:
        """What is to be said of it, a line each, by line and key."""
        return _told(self.path, self.text, problems)


def read_site(path: Path, checks: Checks) -> Site:
    """The site of a file, which is absolute or below the working directory. Raises `SiteError`."""
    return _read(path, lambda document, text: replace(_site(path, document, checks), text=text))


def _read(path: Path, of: Callable[[dict[str, Any], str], T]) -> T:
    """What is made of a file's document and text. Raises `SiteError`, also where making it raises `Wrong`."""
    text = _text(path)
    try:
        return of(tomllib.loads(text), text)
    except Wrong as wrong:
        raise SiteError(_told(path, text, wrong.problems)) from None
    except (ValueError, RecursionError) as error:  # tomllib's own, and Python's where it does not look
        raise SiteError([of_syntax(error, text).told(path)]) from None


def registry_of(path: Path) -> tuple[str, bool]:
    """Where a site's registry is, and whether its `mesh up` runs it: by what its file says of registry and
    devices, whatever is wrong with the rest. Raises `SiteError`."""
    return _read(path, _registry)


def _registry(document: dict[str, Any], text: str) -> tuple[str, bool]:
    known = {name: table for name, table in document.items() if name in ("registry", "devices")}
    try:
        file = SiteFile.model_validate(known)
    except ValidationError as error:
        raise Wrong(list(of_model(error, SiteFile))) from None
    if problems := list(of_devices(file)):
        raise Wrong(problems)
    return file.registry_url, file.registry.url is None


def _told(path: Path, text: str, problems: Iterable[Problem]) -> list[str]:
    found = list(problems)
    lines = lines_of(text) if found else {}
    located = [Problem(p.where, p.what, line_of(lines, p.where)) for p in found]
    return [problem.told(path) for problem in sorted(located, key=lambda problem: problem.line or 0)]


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise SiteError([f"{shown(path)}: it is larger than {MAX_BYTES} bytes: is it a site's file?"])
        return content.decode("utf-8-sig")
    except FileNotFoundError:
        raise SiteError([f"{shown(path)}: no such file: `mesh config init > mesh.toml` makes one"]) from None
    except UnicodeDecodeError:
        raise SiteError([f"{shown(path)}: it is not UTF-8 text"]) from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise SiteError([f"{shown(path)}: {why}"]) from error


def _site(path: Path, document: dict[str, Any], checks: Checks) -> Site:
    """Raises `Wrong`: of what each table says, before what they say together."""
    try:
        file, problems = SiteFile.model_validate(document), []
    except ValidationError as error:
        problems = list(of_model(error, SiteFile))
        raise Wrong([*problems, *cameras_of(document.get("cameras"), checks)[1]]) from None
    cameras, problems = cameras_of(file.cameras, checks)
    stages, of_stages = stages_of(file, checks)
    problems += [*of_stages, *of_addresses(file, checks), *of_destinations(file, checks), *of_devices(file)]
    if problems:
        raise Wrong(problems)
    named = tuple(setup.model_copy(update={"site": file.site.name}) for setup in cameras)
    problems = [*together(file, stages), *of_passwords(file, named, checks)]
    if problems:
        raise Wrong(problems)
    return Site(path, file, named, stages)
