"""Signals wake whoever waits for them, whichever thread of the process they came to.

Rules kept here: Python runs a handler on the main thread, which a signal wakes only where the kernel gave it
to that thread. One that came while the process was suspended is given to any of them once it goes on, and a
main thread that waits for a lock would sleep on. So each signal is also written to a pipe, and the thread
that reads it calls `wake`: by that the main thread goes on, and the handler runs.
"""

import contextlib
import os
import signal
from collections.abc import Callable, Collection
from types import TracebackType
from typing import Self

from mesh.scope import Scope

END = 0  # no signal's number


class WakeOnSignal:
    """For the main thread, which handles the signals of these `numbers` as ever; a context manager. `wake` is
    called after each of them, on a thread of its own."""

    def __init__(self, numbers: Collection[int], wake: Callable[[], None]) -> None:
        self._numbers, self._wake = numbers, wake
        self._scope = Scope("signals")

    def __enter__(self) -> Self:
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)
        self._former = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        self._scope.spawn("read", self._read)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(self._former)
        with contextlib.suppress(BlockingIOError):  # it is full of signals: closing it ends the thread, too
            os.write(self._writing, bytes([END]))
        os.close(self._writing)
        self._scope.join()
        os.close(self._reading)

    def _read(self) -> None:
        while came := os.read(self._reading, 4096):
            if any(number in self._numbers for number in came):
                self._wake()
            if END in came:
                return
