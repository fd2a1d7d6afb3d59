"""The terminal that `mesh up` was started from."""

import os
import select


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
