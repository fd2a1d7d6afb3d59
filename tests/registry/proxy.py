"""A TCP link between a client and a registry's server that a test may cut, or have lose a reply."""

import contextlib
import socket
import threading

from mesh.scope import Scope


class Proxy:
    """Two neighbouring ports that lead to the server's two. Use as a context manager; open `url`."""

    def __init__(self, server_url: str) -> None:
        self._target = int(server_url.rpartition(":")[2])
        self._scope = Scope("proxy")
        self._lock = threading.Lock()
        self._links: dict[int, list[socket.socket]] = {0: [], 1: []}
        self._refusing = False
        self._swallow = threading.Event()
        self._passing = 0
        self._listeners = _listen_pair()
        self.port = self._listeners[0].getsockname()[1]

    @property
    def url(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    def swallow_reply(self) -> None:
        """Lose the next thing that the server sends on its first port, and cut that connection."""
        self.swallow_after(0)

    def swallow_after(self, passing: int) -> None:
        """Lose the thing after so many more that pass."""
        self._passing = passing
        self._swallow.set()

    def cut_changes(self) -> None:
        """Cut the port of the changes until `mend`."""
        with self._lock:
            self._refusing = True
            links, self._links[1] = self._links[1], []
        _close(links)

    def close_changes(self) -> None:
        """Listen on the port of the changes no more, as where nobody forwards it."""
        self._listeners[1].shutdown(socket.SHUT_RDWR)
        self._listeners[1].close()

    def mend(self) -> None:
        with self._lock:
            self._refusing = False

    def __enter__(self) -> "Proxy":
        for index, listener in enumerate(self._listeners):
            self._scope.spawn(f"accept-{index}", self._accept, index, listener)
        return self

    def __exit__(self, *exc: object) -> None:
        self._scope.stop()
        for listener in self._listeners:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        with self._lock:
            links = self._links[0] + self._links[1]
        _close(links)
        self._scope.__exit__(None, None, None)
        _close(links)

    def _accept(self, index: int, listener: socket.socket) -> None:
        while not self._scope.stopping.is_set():
            try:
                near, _ = listener.accept()
            except OSError:
                return
            with self._lock:
                refused = self._scope.stopping.is_set() or (self._refusing and index == 1)
                if not refused:
                    far = socket.create_connection(("127.0.0.1", self._target + index))
                    self._links[index] += [near, far]
            if refused:
                near.close()
                continue
            self._scope.spawn("up", self._pump, near, far, False)
            self._scope.spawn("down", self._pump, far, near, index == 0)

    def _pump(self, source: socket.socket, sink: socket.socket, may_swallow: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if may_swallow and self._swallow.is_set():
                    if self._passing == 0:
                        self._swallow.clear()
                        break
                    self._passing -= 1
                sink.sendall(data)
        _close([source, sink])


def _listen_pair() -> tuple[socket.socket, socket.socket]:
    while True:
        first = socket.create_server(("127.0.0.1", 0))
        try:
            return first, socket.create_server(("127.0.0.1", first.getsockname()[1] + 1))
        except OSError:
            first.close()


def _close(links: list[socket.socket]) -> None:
    for link in links:
        with contextlib.suppress(OSError):
            link.shutdown(socket.SHUT_RDWR)
        link.close()
