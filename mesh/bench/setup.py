"""How a bench is to be run: for how long, how often, on which pictures.

Rules kept here: floor and ours take turns, so that what else the machine does meets both.
"""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from mesh.bench.pictures import Pictures

F = TypeVar("F")
O = TypeVar("O")  # noqa: E741 - of ours

MAX_SECONDS = 600.0
SIZES = ((640, 480), (1920, 1080))


@dataclass(frozen=True, slots=True)
class Setup:
    """What all benches are told.

    seconds:  how long each measurement takes
    runs:     how often each is made; figures are medians
    video:    a file whose pictures to use; empty for the synthetic source's
    against:  other people's ways to set beside ours, by name
    """

    seconds: float = 3.0
    runs: int = 5
    video: str = ""
    against: tuple[str, ...] = ()

    @property
    def sizes(self) -> tuple[Pictures, ...]:
        """The pictures to measure with, one set a size."""
        return tuple(Pictures(width, height, self.video) for width, height in SIZES)

    @property
    def pictures(self) -> Pictures:
        """Those of 640x480."""
        return self.sizes[0]

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

    def command(self, bench: str) -> str:
        """The command line that measures this again."""
        words = ["mesh", "bench", bench, "--seconds", f"{self.seconds:g}", "--runs", str(self.runs)]
        words += ["--video", self.video] if self.video else []
        words += ["--against", ",".join(self.against)] if self.against else []
        return shlex.join(words)
