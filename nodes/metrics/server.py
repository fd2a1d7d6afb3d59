"""The port on which metrics are read: a small HTTP server on one thread.

Rules kept here: one answer a connection, which is then closed; a client that hangs or is slow costs its own
connection, five seconds long, and no thread; there are so many connections at most, and who comes beyond that
is sent away; a request is some lines, never much; every connection ends with the node.
"""

import asyncio
import contextlib
import errno
import io
import logging
import socket
from collections.abc import Callable, Iterable
from http import HTTPStatus
from http.client import HTTPException, parse_headers
from typing import Any

from mesh.errors import TransportError
from mesh.scope import Scope

PATH = "/metrics"
ANSWER_S = 5.0
MOST_CLIENTS = 64
MOST_HEAD_BYTES = 16 * 1024
END = b"\r\n\r\n"

App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]  # WSGI's own

log = logging.getLogger(__name__)


class MetricsServer:
    """Listens on a port from the start, and answers from `run_in` on. Port 0 is any that is free.

    answer_s:  so many seconds a client has to ask, and to take its answer

    Raises `TransportError` when it cannot listen there.
    """

    def __init__(self, host: str, port: int, answer_s: float = ANSWER_S) -> None:
        self._answer_s = answer_s
        self._socket = _listening(host, port)
        self.host, self.port = self._socket.getsockname()[:2]
        self._clients: set[asyncio.StreamWriter] = set()
        self._app: App | None = None

    def __repr__(self) -> str:
        return f"<MetricsServer at {self.url}>"

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}{PATH}"

    def run_in(self, scope: Scope, app: App) -> None:
        """Answer by `app` on a thread of `scope`, until that stops."""
        self._app = app
        scope.spawn("metrics", lambda: asyncio.run(self._run(scope)))

    def close(self) -> None:
        """Let go of the port. The scope's threads have ended."""
        self._socket.close()

    async def _run(self, scope: Scope) -> None:
        loop, over = asyncio.get_running_loop(), asyncio.Event()

        def stop() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended already
                loop.call_soon_threadsafe(over.set)

        scope.on_stop(stop)
        server = await asyncio.start_server(self._serve, sock=self._socket, limit=MOST_HEAD_BYTES)
        await over.wait()
        server.close()
        for client in list(self._clients):
            client.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._clients) >= MOST_CLIENTS:
            writer.transport.abort()
            return
        self._clients.add(writer)
        writer.transport.set_write_buffer_limits(high=0)  # so that `drain` waits until all is gone
        try:
            async with asyncio.timeout(self._answer_s):
                head = await reader.readuntil(END)
                writer.write(self._answer(head))
                await writer.drain()
            writer.close()
        except (OSError, EOFError, asyncio.LimitOverrunError) as error:  # OSError: TimeoutError too
            log.debug("a reader of metrics was let go: %r", error)
            writer.transport.abort()
        finally:
            self._clients.discard(writer)

    def _answer(self, head: bytes) -> bytes:
        """The whole answer to a request's head."""
        try:
            environ = _environ(head)
        except (ValueError, HTTPException):
            return _plain(HTTPStatus.BAD_REQUEST, "this is no HTTP request")
        if environ["PATH_INFO"] != PATH or self._app is None:
            return _plain(HTTPStatus.NOT_FOUND, f"metrics are at {PATH}")
        said: list[Any] = []
        body = b"".join(self._app(environ, lambda status, headers: said.extend((status, headers))))
        return _answer(said[0], said[1], body)


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if error.errno == errno.EADDRINUSE:
            raise TransportError(f"--metrics {where} is in use: choose another port") from error
        raise TransportError(f"--metrics cannot listen at {where}: {error.strerror}") from error


def _environ(head: bytes) -> dict[str, Any]:
    """What an app asks of a request. Raises `ValueError` or `HTTPException` when it is none."""
    line, _, rest = head.partition(b"\r\n")
    method, target, version = line.decode("ascii").split(" ")
    if not version.startswith("HTTP/1."):
        raise ValueError(version)
    path, _, query = target.partition("?")
    headers = parse_headers(io.BytesIO(rest))
    return {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "HTTP_ACCEPT": headers.get("Accept"),
        "HTTP_ACCEPT_ENCODING": headers.get("Accept-Encoding"),
    }


def _plain(status: HTTPStatus, text: str) -> bytes:
    return _answer(
        f"{status.value} {status.phrase}",
        [("Content-Type", "text/plain; charset=utf-8")],
        f"{text}\n".encode(),
    )


def _answer(status: str, headers: Iterable[tuple[str, str]], body: bytes) -> bytes:
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers)]
    lines += [f"Content-Length: {len(body)}", "Connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body
