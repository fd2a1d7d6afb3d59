"""A slow link, as a TCP proxy on loopback: what one side sends reaches the other at a bounded rate.

Rules kept here: nothing is buffered beyond a few kilobytes, so that the sender feels the link; every
connection is counted; all threads and sockets are gone when the `with` block ends.
"""

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Self

from mesh.scope import Scope

PIECES_PER_S = 50
BUFFER_BYTES = 8192


class SlowProxy:
    """Forwards connections at `url` to a local port, each way at `bytes_per_s`.

    before:  is called with each piece that is to go to that port, and may hold it up
    """

    def __init__(
        self, port: int, bytes_per_s: int, before: Callable[[bytes], object] = lambda piece: None
    ) -> None:
        self._target, self._before = port, before
        self._piece = max(1, bytes_per_s // PIECES_PER_S)
        self._scope = Scope("slow proxy")
        self._links: list[socket.socket] = []
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self.connections = 0

    @property
    def url(self) -> str:
        return f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._scope.spawn("accept", self._accept)
        return self

    def __exit__(self, *exc: object) -> None:
        self._scope.stop()
        for link in (self._listener, *self._links):
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
        self._scope.__exit__(None, None, None)
        for link in (self._listener, *self._links):
            link.close()

    def _accept(self) -> None:
        while not self._scope.stopping.is_set():
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            far = socket.socket()
            far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
            far.connect(("127.0.0.1", self._target))
            self._links += [near, far]
            self._scope.spawn("up", self._pump, near, far, self._before)
            self._scope.spawn("down", self._pump, far, near, lambda piece: None)

    def _pump(self, source: socket.socket, sink: socket.socket, before: Callable[[bytes], object]) -> None:
        pause = threading.Event()
        with contextlib.suppress(OSError):
            while data := source.recv(self._piece):
                before(data)
                sink.sendall(data)
                pause.wait(len(data) / self._piece / PIECES_PER_S)
        for link in (source, sink):
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
