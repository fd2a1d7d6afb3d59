"""A processor's options: their names, types and defaults are read off its signature, and strings are turned
into those types.

Rules kept here: the annotations are the only declaration; whatever is wrong is one `ConfigError` line that
says which options there are; nothing is evaluated.
"""

import inspect
import json
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import PydanticUserError, TypeAdapter, ValidationError

from mesh.errors import ConfigError

REQUIRED = inspect.Parameter.empty


@dataclass(frozen=True, slots=True)
class Option:
    """One option. `default` is `REQUIRED` where there is none."""

    name: str
    adapter: TypeAdapter[Any]
    default: Any = REQUIRED

    def __str__(self) -> str:
        kind = _kind(self.adapter)
        return f"{self.name} ({', '.join([*kind, _default(self.default)])})"

    def parse(self, text: str) -> Any:
        """The value that `text` stands for. JSON where it begins with `[` or `{`. Raises `ValueError`."""
        value = json.loads(text) if text[:1] in ("[", "{") else text
        return self.adapter.validate_python(value)


def options_of(what: str, callee: Callable[..., Any]) -> tuple[Option, ...]:
    """The options of a processor: a class's constructor parameters, or a function's after the frame.

    Raises `ConfigError` for an annotation that no text can stand for. `what` is for the message.
    """
    try:
        parameters = list(inspect.signature(callee).parameters.values())
    except ValueError as error:
        raise ConfigError(
            f"{what} has no signature to read its options from: wrap it in a function"
        ) from error
    if not inspect.isclass(callee):
        parameters = parameters[1:]
    hints = _hints(what, callee)
    named = (p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY))
    return tuple(_option(what, parameter, hints) for parameter in named)


def validated(what: str, options: tuple[Option, ...], given: Mapping[str, str]) -> dict[str, Any]:
    """`given` as typed arguments. Raises `ConfigError` for an unknown, missing or malformed option."""
    known = {option.name: option for option in options}
    for name in given:
        if name not in known:
            raise ConfigError(f"{what} has no option {name!r}: {_listed(options)}")
    for option in options:
        if option.default is REQUIRED and option.name not in given:
            raise ConfigError(f"{what} needs the option {option.name!r}: {_listed(options)}")
    return {name: _value(what, known[name], text, options) for name, text in given.items()}


def _value(what: str, option: Option, text: str, options: tuple[Option, ...]) -> Any:
    try:
        return option.parse(text)
    except ValidationError as error:
        why = error.errors()[0]["msg"].removeprefix("Value error, ")
    except ValueError as error:
        why = str(error)
    raise ConfigError(f"{what}: {option.name}={text} is wrong ({why}): {_listed(options)}")


def _hints(what: str, callee: Callable[..., Any]) -> dict[str, Any]:
    function = callee.__init__ if inspect.isclass(callee) else callee
    if not inspect.isfunction(function):  # a class without a constructor of its own, or one written in C
        return {}
    try:
        return typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        raise ConfigError(f"{what}: an annotation of its options cannot be resolved: {error}") from error


def _option(what: str, parameter: inspect.Parameter, hints: Mapping[str, Any]) -> Option:
    annotation = hints.get(parameter.name, _implied(parameter.default))
    try:
        return Option(parameter.name, TypeAdapter(annotation), parameter.default)
    except PydanticUserError as error:
        raise ConfigError(
            f"{what}: option {parameter.name!r} is annotated {annotation!r}, for which nothing can be typed: "
            "use str, int, float, bool, Path, Literal, a list or tuple of those, or an Enum"
        ) from error


def _implied(default: Any) -> Any:
    return type(default) if isinstance(default, (bool, int, float, str)) else str


def _listed(options: tuple[Option, ...]) -> str:
    if not options:
        return "it takes no options"
    return "its options are " + ", ".join(map(str, options))


def _default(default: Any) -> str:
    if default is REQUIRED:
        return "required"
    return f"default {'none' if default in (None, (), '', []) else _shown(default)}"


def _shown(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return "+".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _kind(adapter: TypeAdapter[Any]) -> list[str]:
    """What may be typed, in words, from the type's JSON schema: ["number", "0 to 1"]."""
    try:
        schema = adapter.json_schema()
    except PydanticUserError:  # a type that pydantic can check but JSON cannot name
        return []
    if "description" in schema:
        return [schema["description"]]
    branches = [branch for branch in schema.get("anyOf", [schema]) if branch.get("type") != "null"]
    words = {"integer": "whole number", "boolean": "true or false", "string": "text", "array": "JSON list"}
    kinds = [
        "one of " + " ".join(map(str, b["enum"])) if "enum" in b else b.get("type", "") for b in branches
    ]
    kind = " or ".join(words.get(kind, kind) for kind in kinds if kind)
    return [part for part in (kind, _range(branches[0] if branches else {})) if part]


def _range(schema: Mapping[str, Any]) -> str:
    low, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    high, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    least = f"{low:g}" if low is not None else f"above {above:g}" if above is not None else ""
    most = f"{high:g}" if high is not None else f"below {below:g}" if below is not None else ""
    if least and most:
        return f"{least} to {most}"
    return f"{least} or more" if low is not None else least or (most and f"up to {most}")
