"""A TCP server for tests whose every connection is handed to a function, on a thread of its own.

    with Answering(lambda connection: connection.sendall(b"\\0" * 100)) as server:
        server.port

Rules kept here: a connection is closed when the function returns; on exit all of them are shut, so that a
function that waits for the other end returns, and every thread has ended.
"""

import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Self

from mesh.scope import Scope


class Answering:
    """Serving on entry, with TLS where that is given. `connections` counts those that came."""

    def __init__(self, answer: Callable[[socket.socket], object], tls: ssl.SSLContext | None = None) -> None:
        self.connections, self.tls = 0, tls
        self._answer = answer
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._scope = Scope("answering")

    def __enter__(self) -> Self:
        self._scope.spawn("accept", self._accept)
        self._scope.on_stop(lambda: _shut(self._listening))
        return self

    def __exit__(self, *exc: object) -> None:
        self._scope.stop()
        self._scope.join()
        self._listening.close()
        if self._scope.error is not None:
            raise self._scope.error

    def _accept(self) -> None:
        while not self._scope.stopping.is_set():
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            self._scope.on_stop(lambda taken=connection: _shut(taken))  # type: ignore[misc]
            self._scope.spawn("answer", self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            if self.tls is not None:
                connection = self.tls.wrap_socket(connection, server_side=True)
            with connection:
                self._answer(connection)


def relayed(
    connection: socket.socket, port: int, before: Callable[[bytes], object] = lambda piece: True
) -> None:
    """Hand on what comes to a local port, and its answers back, until either end closes.

    before:  is called with each piece that is to go there; once it returns nothing, both are cut off
    """
    with socket.create_connection(("127.0.0.1", port)) as far, Scope("back") as scope:
        scope.on_stop(lambda: _shut(far))
        scope.spawn("back", _copy, far, connection)
        with contextlib.suppress(OSError):
            while (piece := connection.recv(1 << 16)) and before(piece):
                far.sendall(piece)


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(1 << 16):
            sink.sendall(piece)
    _shut(sink)


def drained(connection: socket.socket) -> None:
    """Read until the other end closes."""
    while connection.recv(1 << 16):
        pass


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
