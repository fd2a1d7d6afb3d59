"""A wake-up that a poller can wait for, and that a signal handler may give."""

import contextlib
import socket


class Wake:
    """A socket pair. `set` takes no lock, so it is safe from a signal handler and from any thread."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def fileno(self) -> int:
        """What becomes readable once `set` was called."""
        return self._reader.fileno()

    def set(self) -> None:
        # Full means that it is set already; closed, that nobody waits any more.
        with contextlib.suppress(BlockingIOError, OSError):
            self._writer.send(b"\0")

    def clear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._reader.recv(4096):
                pass

    def close(self) -> None:
        self._reader.close()
        self._writer.close()
