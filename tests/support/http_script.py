"""An HTTP server for tests that says exactly the bytes that it is told to.

    with HttpScript(lambda request: [b"HTTP/1.0 200 OK\\r\\n\\r\\n", b"body"]) as server:
        server.url       # http://127.0.0.1:PORT/stream
        server.requests  # the heads of the requests so far

After its bytes a connection is closed; with `HOLD` as the last piece it is held open until the client goes.
"""

import socket
import ssl
from collections.abc import Callable, Iterable

from tests.support.answering import Answering, drained

HOLD = b"\0HOLD"

Answer = Callable[[str], Iterable[bytes]]  # the head of a request, as text


class HttpScript(Answering):
    """The server. Serving on entry; on exit every thread and connection has ended."""

    def __init__(self, answer: Answer, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[str] = []
        self._says = answer
        super().__init__(self._converse, tls)

    @property
    def url(self) -> str:
        return self.url_as("")

    def url_as(self, userinfo: str) -> str:
        """The stream's address, with `user:password@` exactly as given."""
        return f"http{'s' if self.tls else ''}://{userinfo}127.0.0.1:{self.port}/stream"

    def _converse(self, connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            if not (more := connection.recv(4096)):
                return
            head += more
        self.requests.append(head.decode())
        for piece in self._says(head.decode()):
            if piece == HOLD:
                drained(connection)
                return
            connection.sendall(piece)
