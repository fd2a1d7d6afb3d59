"""Processors with faults in them, for tests: named on the command line as `tests.faults.processors:NAME`."""

import threading
from typing import Annotated

from pydantic import Field

from mesh.frame import Frame


class Doze:
    """Passes frames on, and sleeps now and then: `seconds`, before every N-th frame."""

    def __init__(
        self, every: Annotated[int, Field(ge=1)] = 100, seconds: Annotated[float, Field(ge=0)] = 0.5
    ) -> None:
        self._every = every
        self._seconds = seconds
        self._seen = 0
        self._never = threading.Event()

    def __call__(self, frame: Frame) -> Frame:
        self._seen += 1
        if self._seen % self._every == 0:
            self._never.wait(self._seconds)
        return frame


class Take:
    """Passes frames on, each after so many `ms` of real time, as a slow device would."""

    def __init__(self, ms: Annotated[float, Field(ge=0)] = 10.0) -> None:
        self._seconds = ms / 1000
        self._never = threading.Event()

    def __call__(self, frame: Frame) -> Frame:
        self._never.wait(self._seconds)
        return frame
