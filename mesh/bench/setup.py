"""How a bench is to be run: for how long, how often, on which pictures.

Rules kept here: floor and ours take turns, so that what else the machine does meets both.
"""

import re
import shlex
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from mesh.bench.pictures import Pictures
from mesh.errors import ConfigError, StorageError

F = TypeVar("F")
O = TypeVar("O")  # noqa: E741 - of ours

MAX_SECONDS = 120.0
MAX_RUNS = 100
SIZES = ((640, 480), (1920, 1080))
MIN_SIDE, MAX_SIDE = 32, 8192
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")


@dataclass(frozen=True, slots=True)
class Setup:
    """What all benches are told.

    seconds:  how long each measurement takes
    runs:     how often each is made; figures are medians
    sizes:    of the pictures, (width, height); benches that need one size take the first
    video:    a file whose pictures to use; empty for the synthetic source's
    against:  other people's ways to set beside ours, by name
    into:     the folder below which benches record; empty for the system's temporary one
    cameras, fps:  how many cameras, and at what pace, where a bench is to measure that case alone
    nodes:    how many nodes `fleet` simulates; None for its usual number
    """

    seconds: float = 2.0
    runs: int = 5
    sizes: tuple[tuple[int, int], ...] = SIZES
    video: str = ""
    against: tuple[str, ...] = ()
    into: str = ""
    cameras: int | None = None
    fps: float | None = None
    nodes: int | None = None

    @property
    def pictures_of_each_size(self) -> tuple[Pictures, ...]:
        """The pictures to measure with, one set a size."""
        return tuple(Pictures(width, height, self.video) for width, height in self.sizes)

    @property
    def pictures(self) -> Pictures:
        """Those of the first size."""
        return self.pictures_of_each_size[0]

    def alternate(self, floor: Callable[[], F], ours: Callable[[], O]) -> tuple[list[F], list[O]]:
        """What each gave, measured by turns `runs` times; whoever is first changes with each turn."""
        floors: list[F] = []
        found: list[O] = []
        for turn in range(self.runs):
            if turn % 2:
                found.append(ours())
                floors.append(floor())
            else:
                floors.append(floor())
                found.append(ours())
        return floors, found

    def repeat(self, ours: Callable[[], O]) -> list[O]:
        """What it gave in each run, where there is no floor to measure."""
        return [ours() for _ in range(self.runs)]

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A folder to record to, which is removed at the end. Raises `StorageError`."""
        try:
            folder = tempfile.TemporaryDirectory(prefix="mesh-bench-", dir=self.into or None)
        except OSError as error:
            raise StorageError(f"cannot record below {self.into}: {error.strerror}") from error
        with folder as path:
            yield Path(path)

    def command(self, bench: str) -> str:
        """The command line that measures this again."""
        words = ["mesh", "bench", bench, "--seconds", f"{self.seconds:g}", "--runs", str(self.runs)]
        words += ["--sizes", shown_sizes(self.sizes)] if self.sizes != SIZES else []
        words += ["--video", self.video] if self.video else []
        words += ["--against", ",".join(self.against)] if self.against else []
        words += ["--into", self.into] if self.into else []
        words += ["--cameras", str(self.cameras)] if self.cameras else []
        words += ["--fps", f"{self.fps:g}"] if self.fps else []
        words += ["--nodes", str(self.nodes)] if self.nodes else []
        return shlex.join(words)


def shown_sizes(sizes: tuple[tuple[int, int], ...]) -> str:
    """`640x480,1920x1080`."""
    return ",".join(f"{width}x{height}" for width, height in sizes)


def read_sizes(listed: str) -> tuple[tuple[int, int], ...]:
    """What `shown_sizes` gave. Raises `ConfigError`."""
    found = [_SIZE.fullmatch(size.strip()) for size in listed.split(",")]
    sizes = tuple((int(size[1]), int(size[2])) for size in found if size)
    if len(sizes) < len(found) or not all(MIN_SIDE <= side <= MAX_SIDE for size in sizes for side in size):
        raise ConfigError(
            f"--sizes {listed}: give WIDTHxHEIGHT, sides of {MIN_SIDE} to {MAX_SIDE}, with commas between"
        )
    return sizes
