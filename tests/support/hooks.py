"""A real web server (`http.server`) that takes webhooks, and answers as it is told.

    with Hooks(lambda hook: 503 if hook.nth == 0 else 204) as server:
        server.url("/hook?unsigned=1")
        server.taken     # what was answered with success, in order

Rules kept here: a connection is kept as long as the client likes; on exit all connections and threads ended.
"""

import http.server
import json
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

from mesh.scope import Scope


@dataclass(frozen=True)
class Hook:
    """A request, the `nth` of all, from the client's `port`; `headers` by lower-case names."""

    nth: int
    port: int
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def said(self) -> Any:
        return json.loads(self.body)

    @property
    def sequences(self) -> list[int]:
        return [frame["seq"] for frame in self.said["data"]["frames"]]


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]


Answers = Callable[[Hook], int | Reply]


class Hooks:
    """Serving on entry."""

    def __init__(self, answers: Answers = lambda hook: 200, tls: ssl.SSLContext | None = None) -> None:
        self._lock = threading.Lock()
        self._all: list[tuple[Hook, int]] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                hook = Hook(outer.count, self.client_address[1], self.path, headers, body)
                reply = answers(hook)
                reply = reply if isinstance(reply, Reply) else Reply(reply, {})
                with outer._lock:
                    outer._all.append((hook, reply.status))
                self.send_response(reply.status)
                for name, value in {"Content-Length": "0", **reply.headers}.items():
                    self.send_header(name, value)
                self.end_headers()

            def setup(self) -> None:
                outer._scope.on_stop(lambda: _shut(self.request))
                super().setup()

            def log_message(self, *_: object) -> None: ...

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._scheme = "http"
        if tls is not None:
            self._scheme = "https"
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._scope = Scope("hooks")

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def url(self, rest: str = "/hook?unsigned=1", user: str = "") -> str:
        return f"{self._scheme}://{user}127.0.0.1:{self.port}{rest}"

    @property
    def count(self) -> int:
        with self._lock:
            return len(self._all)

    @property
    def all(self) -> list[Hook]:
        """Every request that was answered, in order."""
        with self._lock:
            return [hook for hook, _ in self._all]

    @property
    def taken(self) -> list[Hook]:
        """Those that were answered with success."""
        with self._lock:
            return [hook for hook, status in self._all if 200 <= status < 300]

    def __enter__(self) -> Self:
        self._scope.spawn("serve", self._server.serve_forever, 0.02)
        self._scope.on_stop(self._server.shutdown)
        return self

    def __exit__(self, *exc: object) -> None:
        self._scope.stop()
        self._scope.join()
        self._server.server_close()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client went in the middle of a request."""


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
