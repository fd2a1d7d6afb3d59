"""`mesh bench transport`: frames from one process to another through the public API, beside pyzmq alone.

Three kinds of link, each with figures for frames received a second and for the CPU of both ends: pixels that
are encoded and decoded again; a camera's own JPEG that the receiver does not decode; and pixels in shared
memory (see `shm`).
"""

from collections.abc import Iterator
from functools import partial
from types import ModuleType

from mesh.bench import ours, raw, shm
from mesh.bench.flow import Flow, flow, lost
from mesh.bench.pictures import Pictures
from mesh.bench.report import Row, Target, at_least, at_most
from mesh.bench.setup import Setup


def measure(setup: Setup) -> Iterator[Row]:
    """The rows of each kind of link and size."""
    for pictures in setup.pictures_of_each_size:
        yield from _pixels(setup, pictures)
    yield from _passed_through(setup)
    for pictures in setup.pictures_of_each_size:
        yield from shm.rows(setup, pictures)


def link(way: ModuleType, pictures: Pictures, pixels: bool, seconds: float) -> Flow:
    """One run of a link: `way` is the module that holds its roles, `send` and `receive`."""
    return flow(way.send, way.receive, pictures, seconds, pixels=pixels)


def rows(
    case: str,
    unit: str,
    found: tuple[list[Flow], list[Flow]],
    floor_is: str,
    rate: Target | None,
    cpu: Target | None,
) -> Iterator[Row]:
    """The two rows of a link: its rate in `unit` a second, and the CPU of both ends."""
    floors, flows = found
    note = f"{lost(flows)}, floor {lost(floors)}"
    yield Row(
        case,
        f"{unit}/s",
        [one.fps for one in flows],
        [one.fps for one in floors],
        floor_is,
        rate,
        note,
    )
    yield Row(
        case,
        f"CPU ms/{unit.removesuffix('s')}, both ends",
        [one.cpu_ms for one in flows],
        [one.cpu_ms for one in floors],
        floor_is,
        cpu,
        note,
    )


def _pixels(setup: Setup, pictures: Pictures) -> Iterator[Row]:
    found = setup.alternate(
        partial(link, raw, pictures, True, setup.seconds), partial(link, ours, pictures, True, setup.seconds)
    )
    case = f"pixels to pixels as JPEG, {pictures}"
    yield from rows(case, "frames", found, "pyzmq PUB/SUB + simplejpeg", at_least(0.97), at_most(1.05))


def _passed_through(setup: Setup) -> Iterator[Row]:
    found = setup.alternate(
        partial(link, raw, setup.pictures, False, setup.seconds),
        partial(link, ours, setup.pictures, False, setup.seconds),
    )
    case = f"JPEG passed through, not decoded, {setup.pictures}"
    yield from rows(case, "messages", found, "pyzmq PUB/SUB, three parts", at_least(0.7), None)
