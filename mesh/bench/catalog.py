"""The catalog of benches: explicit, in the order in which `all` runs them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from mesh.bench import (
    against,
    cameras,
    codec,
    fleet,
    idle,
    latency,
    overload,
    pipeline,
    record,
    registry,
    transport,
)
from mesh.bench.children import BenchError
from mesh.bench.report import Row
from mesh.bench.setup import Setup
from mesh.errors import ConfigError

ALL = "all"
TRANSPORT = "transport"
AGAINST = "against"


@dataclass(frozen=True, slots=True)
class Bench:
    """How a bench measures, and what in a line."""

    measure: Callable[[Setup], Iterator[Row]]
    what: str


CATALOG: Mapping[str, Bench] = MappingProxyType(
    {
        "codec": Bench(codec.measure, "pixels to JPEG and back, beside simplejpeg itself"),
        TRANSPORT: Bench(transport.measure, "frames from process to process, beside pyzmq alone"),
        AGAINST: Bench(against.measure, "the same, beside the ways people come from (transport --against …)"),
        "latency": Bench(latency.measure, "a camera's pixels to pixels in another process"),
        "pipeline": Bench(pipeline.measure, "MJPEG in, motion, recorded: three nodes, beside one process"),
        "cameras": Bench(cameras.measure, "how many cameras at what pace, through three nodes to the disk"),
        "idle": Bench(idle.measure, "nodes that have nothing to do"),
        "overload": Bench(overload.measure, "a consumer that is too slow, and one that stops"),
        "record": Bench(record.measure, "results onto the disk, beside a stream copy with PyAV"),
        "registry": Bench(registry.measure, "requests to the registry, beside an echo with pyzmq"),
        "fleet": Bench(fleet.measure, "the registry under many nodes that join, renew and come back"),
    }
)


def chosen(name: str, against: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The benches that `name` stands for; `transport` against somebody is a bench of its own.

    Raises `ConfigError` for one that is none, and where `against` has no meaning.
    """
    if name not in (*CATALOG, ALL):
        raise ConfigError(f"{name!r} is no bench; there are: {', '.join((*CATALOG, ALL))}")
    if against and name not in (TRANSPORT, AGAINST, ALL):
        raise ConfigError(f"--against belongs to {TRANSPORT}, not to {name}")
    if name == ALL:
        return tuple(CATALOG)
    return (AGAINST,) if against else (name,)


def measured(name: str, setup: Setup) -> Iterator[Row]:
    """Every row of a bench, as soon as it is known; the last one says so where the bench failed."""
    command = replace(setup, against=()).command(name)
    try:
        for row in CATALOG[name].measure(setup):
            yield replace(row, work=row.work or name, command=row.command or command)
    except BenchError as error:
        yield Row("the rest", "", failed=str(error), work=name, command=command)
