"""The TOML of a `file:` registry: text to entries, and entries back into the text that a person wrote.

Rules kept here:

- A table whose name holds a `/` is one entry, and that name is its key: `["cameras/door"]`,
  `["streams/raw/door/front"]`. A table whose name holds none is a table of entries: `[cameras.door]` is the
  key `cameras/door`, and whatever stands below it belongs to its value. Both may stand in one file; one key
  twice is an error. What the mesh adds, it adds in the first form, at the end.
- TOML has no null: it is written `{"$null" = true}`. Dates are no values.
- Only what differs is rewritten, so comments, order and layout survive. The new text is read back before it
  is used; should it ever not say what it must, `StorageError` is raised and the file is left alone.
"""

import json
import tomllib
from collections.abc import Mapping, MutableMapping
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from mesh.errors import ConfigError, RegistryError, StorageError
from mesh.registry.values import check_key, check_value

NULL = "$null"
Values = Mapping[str, Mapping[str, Any]]


def read_toml(text: str, path: str) -> dict[str, dict[str, Any]]:
    """The values by key. Raises `ConfigError` that names the file and, for broken syntax, the line."""
    try:
        return _entries(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, RegistryError) as error:
        raise ConfigError(f"{path}: {error}") from error


def write_toml(text: str, wanted: Values, path: str) -> str:
    """`text` changed so that it holds exactly `wanted`. `text` must be what `read_toml` accepts."""
    stand = read_toml(text, path)
    try:
        document = tomlkit.parse(text)
        for key in stand.keys() - wanted.keys():
            _remove(document, key)
        for key, value in wanted.items():
            _write(document, key, stand.get(key), value)
        written = tomlkit.dumps(document)
        faithful = _same(read_toml(written, path), wanted)
    except (TOMLKitError, ConfigError) as error:
        raise StorageError(f"{path} cannot be changed by a program: {error}") from error
    if not faithful:
        raise StorageError(
            f"{path} cannot be changed without loss: keep the parts of each table together in it"
        )
    return written


def _entries(document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name, table in document.items():
        members = (
            {name: table} if "/" in name else {f"{name}/{part}": value for part, value in _map(name, table)}
        )
        for key, value in members.items():
            if key in found:
                raise RegistryError(f"{key} stands in it twice")
            found[check_key(key)] = check_value(key, {part: _value(v) for part, v in _map(key, value)})
    return found


def _map(name: str, table: object) -> Any:
    if not isinstance(table, Mapping):
        raise RegistryError(f"{name} is not a table")
    return table.items()


def _value(value: object) -> object:
    if isinstance(value, Mapping):
        return None if value == {NULL: True} else {name: _value(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_value(member) for member in value]
    return value


def _same(one: object, other: object) -> bool:
    """Equal in types too: TOML tells 1, 1.0 and true apart."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _write(document: tomlkit.TOMLDocument, key: str, stand: object, value: Mapping[str, Any]) -> None:
    if stand is None:
        document.add(key, _table(value))
    elif not _same(stand, value):
        holder, name = _place(document, key)
        _merge(holder[name], value)


def _place(document: tomlkit.TOMLDocument, key: str) -> tuple[MutableMapping[str, Any], str]:
    """The map that holds an entry's table, and its name there."""
    if key in document:
        return document, key
    table, _, member = key.partition("/")
    holder: MutableMapping[str, Any] = document[table]
    return holder, member


def _remove(document: tomlkit.TOMLDocument, key: str) -> None:
    holder, name = _place(document, key)
    del holder[name]


def _merge(table: MutableMapping[str, Any], value: Mapping[str, Any]) -> None:
    """Change what differs in `table`, and nothing else."""
    for name in [name for name in table if name not in value]:
        del table[name]
    for name, member in value.items():
        stand = table.get(name)
        if name in table and _same(_value(_plain(stand)), member):
            continue
        if isinstance(stand, MutableMapping) and isinstance(member, Mapping) and NULL not in stand:
            _merge(stand, member)
        else:
            table[name] = _item(member)


def _plain(item: Any) -> object:
    return item.unwrap() if hasattr(item, "unwrap") else item


def _table(value: Mapping[str, Any]) -> tomlkit.items.Table:
    table = tomlkit.table()
    for name, member in value.items():
        table.add(name, _item(member))
    return table


def _item(value: object) -> Any:
    if value is None:
        return _inline({NULL: tomlkit.item(True)})
    if isinstance(value, Mapping):
        if NULL in value:
            raise RegistryError(f"a file: registry cannot store the name {NULL!r}: there it means null")
        return _inline({name: _item(member) for name, member in value.items()})
    if isinstance(value, list):
        array = tomlkit.array()
        array.extend(_item(member) for member in value)
        return array
    return tomlkit.item(value)


def _inline(items: Mapping[str, Any]) -> tomlkit.items.InlineTable:
    table = tomlkit.inline_table()
    for name, item in items.items():
        table.add(name, item)
    return table
