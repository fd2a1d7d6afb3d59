"""An HTTP server for tests that says exactly the bytes that it is told to.

    with HttpScript(lambda request: [b"HTTP/1.0 200 OK\\r\\n\\r\\n", b"body"]) as server:
        server.url       # http://127.0.0.1:PORT/stream
        server.requests  # the heads of the requests so far

After its bytes a connection is closed; with `HOLD` as the last piece it is held open until the client goes.
"""

import socket
import ssl
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Self

from mesh.scope import Scope

HOLD = b"\0HOLD"

Answer = Callable[[str], Iterable[bytes]]  # the head of a request, as text


class HttpScript:
    """The server. Serving on entry; on exit every thread and connection has ended."""

    def __init__(self, answer: Answer, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[str] = []
        self._answer, self._tls = answer, tls
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._scope = Scope("http-script")

    @property
    def url(self) -> str:
        return self.url_as("")

    def url_as(self, userinfo: str) -> str:
        """The stream's address, with `user:password@` exactly as given."""
        return f"http{'s' if self._tls else ''}://{userinfo}127.0.0.1:{self.port}/stream"

    def __enter__(self) -> Self:
        self._scope.spawn("accept", self._accept)
        self._scope.on_stop(lambda: self._listening.shutdown(socket.SHUT_RDWR))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._scope.stop()
        self._scope.join()
        self._listening.close()
        if self._scope.error is not None and value is None:
            raise self._scope.error

    def _accept(self) -> None:
        while not self._scope.stopping.is_set():
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self._scope.on_stop(lambda taken=connection: _shut(taken))  # type: ignore[misc]
            self._scope.spawn("serve", self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with suppress(ConnectionError, OSError), connection:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with connection:
                self._converse(connection)

    def _converse(self, connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            if not (more := connection.recv(4096)):
                return
            head += more
        self.requests.append(head.decode())
        for piece in self._answer(head.decode()):
            if piece == HOLD:
                while connection.recv(4096):
                    continue
                return
            connection.sendall(piece)


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
