"""What wakes the main thread of `mesh up`: signals, children that end, and other threads.

Rules kept here: a signal handler does nothing but leave its number in a pipe, so that none comes at a bad
moment, and none is missed.
"""

import contextlib
import os
import select
import signal
from types import FrameType, TracebackType
from typing import Self

POKE = 0  # no signal's number
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


class Wakeups:
    """A context manager; its signals are this program's to handle while it is open. One at a time."""

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
        self._former: dict[int, object] = {n: signal.signal(n, _nothing) for n in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(self._wakeup_fd)
        for number, handler in self._former.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal itself gave
        os.close(self._reading)
        os.close(self._writing)


class Terminal:
    """The terminal that this program was started from, if it was."""

    def __init__(self) -> None:
        self._ends = [fd for fd in (0, 1, 2) if os.isatty(fd)]

    @property
    def is_closed(self) -> bool:
        """Whether there was one, and it has been closed."""
        poller = select.poll()
        for fd in self._ends:
            poller.register(fd, 0)  # of a hang-up it tells anyway
        return any(event & select.POLLHUP for _, event in poller.poll(0))


def _nothing(number: int, frame: FrameType | None) -> None:
    """The number is in the pipe."""
