"""The catalog of benches: explicit, in the order in which `all` runs them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from mesh.bench import codec, transport
from mesh.bench.report import Row
from mesh.bench.setup import Setup
from mesh.errors import ConfigError

ALL = "all"


@dataclass(frozen=True, slots=True)
class Bench:
    """How a bench measures, and what in a line."""

    measure: Callable[[Setup], Iterator[Row]]
    what: str


CATALOG: Mapping[str, Bench] = MappingProxyType(
    {
        "codec": Bench(codec.measure, "pixels to JPEG and back, beside simplejpeg itself"),
        "transport": Bench(transport.measure, "frames from process to process, beside pyzmq alone"),
    }
)


def chosen(name: str) -> tuple[str, ...]:
    """The benches that `name` stands for. Raises `ConfigError` for one that is none."""
    if name == ALL:
        return tuple(CATALOG)
    if name not in CATALOG:
        raise ConfigError(f"{name!r} is no bench; there are: {', '.join((*CATALOG, ALL))}")
    return (name,)


def measured(name: str, setup: Setup) -> Iterator[Row]:
    """Every row of a bench, as soon as it is known."""
    for row in CATALOG[name].measure(setup):
        yield replace(row, work=row.work or name, command=row.command or setup.command(name))
