"""`mesh bench transport --against http,redis,imagezmq`: ours beside the ways that people come from.

The same pictures, pixels to pixels, from one process to another; the other way stands where a floor would.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType, ModuleType

from mesh.bench import ours
from mesh.bench.report import Row, skipped
from mesh.bench.rivals import http, imagezmq, redis
from mesh.bench.setup import Setup
from mesh.bench.transport import link, rows
from mesh.errors import ConfigError

WORK = "transport"
RIVALS: Mapping[str, ModuleType] = MappingProxyType({"http": http, "redis": redis, "imagezmq": imagezmq})


def measure(setup: Setup) -> Iterator[Row]:
    """Two rows for each rival that `setup.against` names (all, where it names none), or one that says why
    there are none."""
    for name in setup.against or RIVALS:
        command = replace(setup, against=(name,)).command(WORK)
        for row in _beside(name, RIVALS[name], setup):
            yield replace(row, work=WORK, command=command)


def _beside(name: str, rival: ModuleType, setup: Setup) -> Iterator[Row]:
    case = f"pixels to pixels as JPEG, {setup.pictures}, beside {name}"
    if why := rival.missing():
        yield skipped(case, why, rival.WHAT)
        return
    found = setup.alternate(
        partial(rival.link, setup.pictures, setup.seconds),
        partial(link, ours, setup.pictures, True, setup.seconds),
    )
    yield from rows(case, "frames", found, rival.WHAT, None, None)


def rivals(listed: str) -> tuple[str, ...]:
    """The rivals of a list with commas. Raises `ConfigError` for one that is none."""
    names = tuple(dict.fromkeys(name.strip() for name in listed.split(",")))
    unknown = [name for name in names if name not in RIVALS]
    if unknown:
        raise ConfigError(f"--against {unknown[0]!r}: there are {', '.join(RIVALS)}")
    return names
