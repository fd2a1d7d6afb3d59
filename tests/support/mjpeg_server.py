"""A real HTTP camera for tests: an MJPEG multipart server in this process.

    with MjpegServer(jpegs, stall_after=5) as server:
        server.url      # http://127.0.0.1:PORT/stream.mjpg

A stream sends its pictures in order, over and over, until the client goes or the server is closed.
"""

import itertools
import socket
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

BOUNDARY = "framemesh"


class MjpegServer:
    """The camera. A context manager: serving on entry; on exit every thread and connection has ended.

    jpegs:        the pictures.
    period_s:     how long it waits between two.
    stall_after:  so many pictures are sent on each connection, then silence, the connection held open.
    close_after:  so many pictures are sent on each connection, then it is closed.
    status:       another status than 200 (401, 404, 503, …) is all that is ever answered.
    authorization: the header that a client must send, else it is answered 401; for instance "Basic dTpw".
    `served` counts the streams that were asked for, `open` those that go on; `hold` keeps them from sending.
    """

    def __init__(
        self,
        jpegs: Sequence[bytes],
        *,
        period_s: float = 0.005,
        stall_after: int | None = None,
        close_after: int | None = None,
        status: int = 200,
        authorization: str = "",
        port: int = 0,
    ) -> None:
        self.jpegs, self.period_s = list(jpegs), period_s
        self.stall_after, self.close_after = stall_after, close_after
        self.status, self.authorization = status, authorization
        self.closing, self.go = threading.Event(), threading.Event()
        self.go.set()
        self.served = self.open = 0
        self.counting = threading.Lock()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.camera = self
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="mjpeg-server")

    def hold(self) -> None:
        """Send nothing until `release`."""
        self.go.clear()

    def release(self) -> None:
        self.go.set()

    @property
    def url(self) -> str:
        """The stream's address."""
        return f"http://127.0.0.1:{self.port}/stream.mjpg"

    def url_as(self, user: str, password: str) -> str:
        """The stream's address with credentials, exactly as given."""
        return f"http://{user}:{password}@127.0.0.1:{self.port}/stream.mjpg"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self.go.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()  # joins the connections' threads


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True
    allow_reuse_address = True
    request_queue_size = 128  # a whole fleet of cameras is asked for at once
    camera: MjpegServer

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news here."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        camera = self.server.camera
        status = camera.status
        if camera.authorization and self.headers.get("Authorization") != camera.authorization:
            status = 401
        if status != 200:
            self._refuse(status)
            return
        self.send_response(200)
        self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={BOUNDARY}")
        self.end_headers()
        with camera.counting:
            camera.served, camera.open = camera.served + 1, camera.open + 1
        try:
            self._stream(camera)
        finally:
            with camera.counting:
                camera.open -= 1

    def _refuse(self, status: int) -> None:
        self.send_response(status)
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _stream(self, camera: MjpegServer) -> None:
        for count, jpeg in enumerate(itertools.cycle(camera.jpegs)):
            camera.go.wait()
            if count == camera.stall_after:
                self._hold()
                return
            if count == camera.close_after or camera.closing.wait(camera.period_s):
                return
            head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            self.wfile.write(head.encode() + jpeg + b"\r\n")

    def _hold(self) -> None:
        """Keep the connection open and silent until the client or the server closes it."""
        connection: socket.socket = self.connection
        connection.settimeout(0.05)
        while not self.server.camera.closing.is_set():
            try:
                if not connection.recv(1):
                    return
            except TimeoutError:
                continue

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: tests read their own output."""
