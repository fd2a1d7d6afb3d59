"""Cameras read from a file: our own TOML, JSON, CSV or YAML, Frigate's config.yml, MediaMTX's mediamtx.yml.

Rules kept here: a file is read whole or refused in one line; what a foreign file has that is no camera to be
fetched is left out, and said; no message shows a URL. Pure, but for reading the file.
"""

import csv
import io
import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mesh.errors import ConfigError

ALIASES = {"stall": "stall_s", "give_up": "give_up_s"}  # as the options are called
NOT_FETCHED = ("", "publisher", "redirect", "rpiCamera")  # sources of MediaMTX that nobody can connect to

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Imported:
    """Cameras by name, as they were written, and what was left out."""

    cameras: Mapping[str, Values]
    left_out: tuple[str, ...] = ()


@dataclass(slots=True)
class _Found:
    path: Path
    cameras: dict[str, Values] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def add(self, name: object, values: object) -> None:
        if not isinstance(name, str) or not isinstance(values, Mapping):
            raise ConfigError(f"{self.path}: camera {name!r} is not a table of options")
        if name in self.cameras:
            raise ConfigError(f"{self.path}: camera {name!r} stands in it twice")
        if not values.get("url"):
            raise ConfigError(f"{self.path}: camera {name!r} has no url")
        self.cameras[name] = {
            ALIASES.get(str(option), str(option)): value for option, value in values.items()
        }


def read_cameras(path: Path) -> Imported:
    """The cameras of a file, by its suffix. Raises `ConfigError`."""
    readers: dict[str, Callable[[str], Any]] = {
        ".toml": tomllib.loads,
        ".json": json.loads,
        ".yml": _yaml,
        ".yaml": _yaml,
    }
    found, suffix = _Found(path), path.suffix.lower()
    try:
        text = path.read_text(encoding="utf-8-sig")
        if suffix == ".csv":
            _of_rows(found, text)
        elif suffix in readers:
            _of_document(found, readers[suffix](text))
        else:
            raise ConfigError(f"{path}: give a .toml, .json, .csv, .yml or .yaml file")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except RecursionError:
        raise ConfigError(f"{path} cannot be read: it is nested too deeply") from None
    except (ValueError, csv.Error) as error:
        raise ConfigError(f"{path} cannot be read: {_first_line(error)}") from None
    if not found.cameras:
        raise ConfigError(f"{path}: it holds no camera; write [cameras.NAME] with url = …")
    return Imported(found.cameras, tuple(found.left_out))


def _of_rows(found: _Found, text: str) -> None:
    rows = csv.DictReader(io.StringIO(text), skipinitialspace=True)
    if not {"name", "url"} <= set(rows.fieldnames or ()):
        raise ConfigError(f"{found.path}: its first line must name the columns, name and url among them")
    for row in rows:
        if None in row:
            raise ConfigError(f"{found.path}, line {rows.line_num}: more values than columns")
        found.add(row.pop("name"), {option: text for option, text in row.items() if text})


def _of_document(found: _Found, document: object) -> None:
    if isinstance(document, Mapping) and isinstance(document.get("paths"), Mapping):
        _of_mediamtx(found, document["paths"])
        return
    cameras = document.get("cameras") if isinstance(document, Mapping) else document
    if not isinstance(cameras, Mapping | list):
        raise ConfigError(f"{found.path}: it has no table `cameras`")
    for name, values in cameras.items() if isinstance(cameras, Mapping) else map(_named, cameras):
        if isinstance(values, Mapping) and "ffmpeg" in values:
            _of_frigate(found, name, values)
        else:
            found.add(name, values)


def _of_frigate(found: _Found, name: object, values: Mapping[str, Any]) -> None:
    """The stream that Frigate records, else its first; its `{FRIGATE_…}` placeholders are ours, too."""
    ffmpeg = values["ffmpeg"]
    listed = ffmpeg.get("inputs") if isinstance(ffmpeg, Mapping) else None
    inputs = [each for each in listed if isinstance(each, Mapping)] if isinstance(listed, list) else []
    chosen = [each for each in inputs if "record" in _roles(each)] or inputs
    if not chosen:
        found.left_out.append(f"{name}: it has no input")
        return
    found.add(str(name).lower(), {"url": chosen[0].get("path"), "enabled": bool(values.get("enabled", True))})


def _roles(source: Mapping[str, Any]) -> Sequence[object]:
    roles = source.get("roles")
    return roles if isinstance(roles, list) else [roles]


def _of_mediamtx(found: _Found, paths: Mapping[object, Any]) -> None:
    for name, values in paths.items():
        source = values.get("source", "") if isinstance(values, Mapping) else ""
        if source in NOT_FETCHED or name in ("all", "all_others") or str(name).startswith("~"):
            found.left_out.append(f"{name}: nothing is fetched for it")
        else:
            found.add(str(name).lower().replace("/", "-"), {"url": source})


def _named(values: object) -> tuple[object, object]:
    """A camera of a list, by the name that stands in it."""
    if not isinstance(values, Mapping):
        return values, None
    return values.get("name"), {option: value for option, value in values.items() if option != "name"}


def _yaml(text: str) -> Any:
    try:
        import yaml
    except ImportError:
        raise ConfigError(
            "a YAML file needs PyYAML: install it with `pip install framemesh[import]`"
        ) from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        raise ValueError(f"{getattr(error, 'problem', None) or 'it is no YAML'}{where}") from None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]
