"""Which processors there are, and how a command line names one.

    NAME[:OPTIONS]              one of the catalog, or an entry point of the group `mesh.processors`
    MODULE:OBJECT[:OPTIONS]     a class or a function of your own, from the working directory or installed

OPTIONS is `name=value,name=value`. A value with a comma stands in quotes or in brackets.

Rules kept here: the catalog is explicit, nothing registers itself on import; a processor is made once when
its specification is read, so that whatever is wrong shows before a node starts.
"""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import entry_points
from typing import Any

from mesh.errors import ConfigError
from nodes.process.processors.base import NewProcessor
from nodes.process.processors.codes import Codes
from nodes.process.processors.loading import load_object
from nodes.process.processors.motion import Motion
from nodes.process.processors.options import Option, options_of, validated
from nodes.process.processors.passthrough import passthrough

GROUP = "mesh.processors"
CATALOG: Mapping[str, Callable[..., Any]] = {
    "codes": Codes,
    "motion": Motion,
    "passthrough": passthrough,
}

_SPEC = re.compile(r"([A-Za-z0-9_.-]+(?::[A-Za-z_][A-Za-z0-9_.]*(?=:|\Z))?)(?::(.*))?\Z", re.DOTALL)
_OPTION = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)\Z", re.DOTALL)
_OPENING = {"[": "]", "{": "}", "(": ")"}


@dataclass(frozen=True, slots=True)
class ProcessorSpec:
    """What was typed: a name or `module:Object`, and its options, still text."""

    name: str
    options: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ProcessorFactory:
    """Makes processors of one kind with one set of options: one for each camera."""

    name: str
    new: NewProcessor


def parse_spec(text: str) -> ProcessorSpec:
    """`motion:sensitivity=0.7,min_area=0.01` or `pkg.mod:Blur:radius=3`. Raises `ConfigError`."""
    match = _SPEC.match(text)
    if match is None:
        raise ConfigError(
            f"processor {text!r} is neither NAME[:option=value,…] nor MODULE:OBJECT[:option=value,…]"
        )
    options: dict[str, str] = {}
    for item in _split(match[2] or "", text):
        option = _OPTION.match(item)
        if option is None:
            raise ConfigError(f"processor {text!r}: {item!r} is not option=value")
        if option[1] in options:
            raise ConfigError(f"processor {text!r} gives {option[1]!r} twice")
        options[option[1]] = _unquoted(option[2])
    return ProcessorSpec(match[1], options)


def factory(text: str) -> ProcessorFactory:
    """The factory that a specification names. Raises `ConfigError` for whatever is wrong with either."""
    made = loaded(text)
    _try(made)
    return made


def loaded(text: str) -> ProcessorFactory:
    """The same, without a processor being made: what one takes hold of, somebody else may have now."""
    spec = parse_spec(text)
    callee = _find(spec)
    arguments = validated(spec.name, options_of(spec.name, callee), spec.options)
    return ProcessorFactory(spec.name, _new(callee, arguments))


def known() -> tuple[str, ...]:
    """Every name that needs no module: the catalog's and those of installed packages, sorted."""
    return tuple(sorted({*CATALOG, *(point.name for point in entry_points(group=GROUP))}))


def describe(name: str) -> tuple[Option, ...]:
    """The options of a processor by name or `module:Object`; `str()` of each is for people."""
    return options_of(name, _find(ProcessorSpec(name, {})))


def _find(spec: ProcessorSpec) -> Callable[..., Any]:
    if spec.name in CATALOG:
        return CATALOG[spec.name]
    found = _load(spec)
    if not inspect.isclass(found) and not inspect.isroutine(found):
        raise ConfigError(f"processor {spec.name!r} is a {type(found).__name__}: name a class or a function")
    if inspect.isclass(found) and not any("__call__" in vars(each) for each in found.__mro__):
        raise ConfigError(f"processor {spec.name!r} is a class without __call__(self, frame)")
    return found


def _load(spec: ProcessorSpec) -> object:
    module, _, name = spec.name.partition(":")
    if module in CATALOG:
        raise ConfigError(f"processor {spec.name!r}: write an option as {module}:{name}=VALUE")
    if name:
        return load_object(module, name)
    for point in entry_points(group=GROUP, name=spec.name):
        return load_object(point.module, point.attr)
    raise ConfigError(
        f"no processor {spec.name!r}: there are {', '.join(known())}, or write MODULE:CLASS for your own"
    )


def _new(callee: Callable[..., Any], arguments: dict[str, Any]) -> NewProcessor:
    bound: Callable[..., Any] = partial(callee, **arguments)
    return bound if inspect.isclass(callee) else lambda: bound


def _try(made: ProcessorFactory) -> None:
    """Make one and let it go: a constructor that refuses its options does so now, not at the first frame."""
    try:
        processor = made.new()
        close = getattr(processor, "close", None)
        if callable(close):
            close()
    except ConfigError:
        raise
    except Exception as error:  # foreign code: whatever it raises is told, with its cause
        raise ConfigError(
            f"processor {made.name!r} cannot be made: {type(error).__name__}: {error}"
        ) from error


def _split(text: str, spec: str) -> Iterator[str]:
    """The items between commas, leaving alone commas within quotes or brackets."""
    start, quote, closing = 0, "", []
    for at, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char in _OPENING:
            closing.append(_OPENING[char])
        elif closing and char == closing[-1]:
            closing.pop()
        elif char == "," and not closing:
            yield text[start:at]
            start = at + 1
    if quote or closing:
        raise ConfigError(f"processor {spec!r}: a {quote or closing[-1]} is missing")
    if text:
        yield text[start:]


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value
