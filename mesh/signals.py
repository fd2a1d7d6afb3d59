"""Signals as something to wait for, and which of them ask for something anew.

Rules kept here: a signal handler does nothing but leave its number in a pipe, so that none comes at a bad
moment, and none is missed; what is forked off has its signals for itself, as it would have them without this;
signals that come together are one: `timeout` tells a process and then its group, and where one sits behind
another, both pass on what they were told.
"""

import contextlib
import os
import select
import signal
from collections.abc import Sequence
from types import FrameType, TracebackType
from typing import Self

POKE = 0  # no signal's number
TOGETHER_S = 0.5


class Requests:
    """Counts how often it was asked for something, by signals."""

    def __init__(self) -> None:
        self._count = 0
        self._last = 0.0

    def came(self, now: float) -> int:
        """Which request the signal that came then is, from 1 on; 0 when it belongs to the last one."""
        if self._count and now - self._last < TOGETHER_S:
            return 0
        self._count, self._last = self._count + 1, now
        return self._count


class Wakeups:
    """A context manager; the signals are this program's to handle while it is open. One at a time."""

    def __init__(self, signals: Sequence[signal.Signals]) -> None:
        self._signals = tuple(signals)

    def wait(self, seconds: float | None) -> list[int]:
        """The numbers of the signals that came, `POKE` among them, within so many seconds; or none."""
        if not select.select([self._reading], [], [], seconds)[0]:
            return []
        return list(os.read(self._reading, 4096))

    def poke(self) -> None:
        """Wake who waits. Any thread may."""
        with contextlib.suppress(BlockingIOError):  # it is full of wake-ups
            os.write(self._writing, bytes([POKE]))

    def __enter__(self) -> Self:
        self._reading, self._writing = os.pipe()
        for end in (self._reading, self._writing):
            os.set_blocking(end, False)
        self._wakeup_fd = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        self._former: dict[int, object] = {n: signal.signal(n, _nothing) for n in self._signals}
        _open.append(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._let_go()
        os.close(self._reading)
        os.close(self._writing)

    def _let_go(self) -> None:
        _open.remove(self)
        signal.set_wakeup_fd(self._wakeup_fd)
        for number, handler in self._former.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal itself gave


def _nothing(number: int, frame: FrameType | None) -> None:
    """The number is in the pipe."""


_open: list[Wakeups] = []


def _in_child() -> None:
    """They share the pipe: else a processor that ends its pool of processes, say, would end its node."""
    for wakeups in reversed(_open):
        wakeups._let_go()
    signal.set_wakeup_fd(-1)


os.register_at_fork(after_in_child=_in_child)
