"""`tcp://host:port`: a client of the registry's server.

Rules kept here:

- Calls take turns on one DEALER socket: one request is in flight, and is sent again, with the same id, until
  it is answered or the time is over. Then the socket is made anew, so that nothing is executed long after its
  caller has given up; the outcome of that request is unknown.
- One thread (`remote_watch`) reads the changes for every watch.
- `close` wakes whoever waits, joins the thread and drops what was not sent.
"""

import logging
import secrets
import threading
from typing import Any

import zmq

from mesh.clock import SYSTEM_CLOCK
from mesh.errors import ConfigError, RegistryError, RegistryUnavailable, WireError
from mesh.registry.about import About
from mesh.registry.base import Entry, Registry, Start, Value, Watch
from mesh.registry.closing import Closing
from mesh.registry.remote_watch import Listing, Watcher
from mesh.registry.service import error_of
from mesh.registry.values import check_key, check_ttl, check_value
from mesh.registry.wake import Wake
from mesh.registry.wire import (
    CLIENT_BYTES,
    MAX_REPLY,
    Reply,
    Request,
    decode_entry,
    decode_reply,
    encode_request,
    split_address,
)

RESEND = 1.0  # seconds without a reply after which a request is sent again

log = logging.getLogger(__name__)


class RemoteRegistry(Closing, Registry):
    """A client of the server at `url`. Without an answer in `timeout` s, `RegistryUnavailable`."""

    def __init__(self, url: str, timeout: float = 3.0) -> None:
        self._host, port = split_address(url)
        if port is None:
            raise ConfigError(f"{url!r} has no port: write tcp://HOST:PORT")
        self._url, self._port, self._timeout = url, port, timeout
        self._turn = threading.Lock()
        self._stop = Wake()
        self._closed = False
        self._client, self._id = secrets.token_bytes(CLIENT_BYTES), 0
        self._context = zmq.Context()
        try:
            self._socket = self._connect(zmq.DEALER, port)
        except ConfigError:
            self._context.destroy(linger=0)
            self._stop.close()
            raise
        self._watcher = Watcher(lambda: self._connect(zmq.SUB, port + 1), self._snapshot, self._stop)

    def __repr__(self) -> str:
        return f"<RemoteRegistry {self._url} {'closed' if self._closed else 'open'} requests={self._id}>"

    @property
    def url(self) -> str:
        return self._url

    def get(self, key: str) -> Entry | None:
        found = self._call("get", check_key(key)).body
        return None if found is None else decode_entry(found)

    def list(self, prefix: str = "") -> list[Entry]:
        return self._snapshot(prefix).entries

    def put(self, key: str, value: Value, *, lease: int = 0, expect: int | None = None) -> Entry:
        stored = check_value(check_key(key), value)
        revision = self._call("put", key, stored, lease, expect).body
        return Entry(key, stored, int(revision), lease)

    def delete(self, key: str, *, expect: int | None = None) -> bool:
        return bool(self._call("delete", check_key(key), expect).body)

    def grant(self, ttl: float) -> int:
        return int(self._call("grant", check_ttl(ttl)).body)

    def keep_alive(self, lease: int) -> None:
        self._call("keep_alive", lease)

    def revoke(self, lease: int) -> None:
        self._call("revoke", lease)

    def watch(self, prefix: str = "") -> Watch:
        if self._closed:
            raise self._was_closed()
        return self._watcher.watch(prefix)

    def now_ns(self) -> int:
        return int(self._call("time").body)

    def start(self) -> Start | None:
        match self._call("start").body:
            case [float(age_s), int(revision)]:
                return Start(age_s, revision)
        raise WireError(f"the registry at {self._url} answered something that is no start")

    def about(self) -> About:
        match self._call("about").body:
            case dict(told):
                return About.read(told)
        raise WireError(f"the registry at {self._url} answered something that does not say what it is")

    def close(self) -> None:
        self._closed = True
        self._watcher.close()
        with self._turn:
            if not self._context.closed:
                self._context.destroy(linger=0)
                self._stop.close()

    def _snapshot(self, prefix: str) -> Listing:
        reply = self._call("list", prefix)
        match reply.body:
            case [int(revision), list(entries)]:
                return Listing(reply.epoch, revision, [decode_entry(entry) for entry in entries])
        raise WireError(f"the registry at {self._url} answered something that is no listing")

    def _call(self, operation: str, *arguments: Any) -> Reply:
        end = SYSTEM_CLOCK.monotonic() + self._timeout
        if not self._turn.acquire(timeout=self._timeout):
            raise self._unavailable()
        try:
            self._id += 1
            reply = self._ask(Request(self._client, self._id, operation, arguments), end)
        finally:
            self._turn.release()
        if reply.status != "ok":
            raise error_of(reply.status, reply.body)
        return reply

    def _ask(self, request: Request, end: float) -> Reply:
        data = _encode(request)
        while not self._closed and (left := end - SYSTEM_CLOCK.monotonic()) > 0:
            if not self._ready(zmq.POLLOUT, left) or not self._send(data):
                continue
            reply = self._reply(request.id, min(end, SYSTEM_CLOCK.monotonic() + RESEND))
            if reply is not None:
                return reply
        if self._closed:
            raise self._was_closed()
        self._socket.close(linger=0)
        self._socket = self._connect(zmq.DEALER, self._port)
        raise self._unavailable()

    def _send(self, data: bytes) -> bool:
        try:
            self._socket.send(data, zmq.NOBLOCK)
        except zmq.Again:  # the connection has gone since it was ready
            return False
        return True

    def _reply(self, id: int, end: float) -> Reply | None:
        """The reply to the request `id`; None when it does not come before `end`."""
        while not self._closed and (left := end - SYSTEM_CLOCK.monotonic()) > 0:
            if not self._ready(zmq.POLLIN, left):
                continue
            try:
                reply = decode_reply(self._socket.recv(zmq.NOBLOCK))
            except WireError as error:
                log.warning("%s: %s", self._url, error)
                continue
            if reply.id == id:
                return reply
        return None

    def _ready(self, event: int, seconds: float) -> bool:
        poller = zmq.Poller()
        poller.register(self._socket, event)
        poller.register(self._stop.fileno(), zmq.POLLIN)
        return self._socket in dict(poller.poll(1 + int(seconds * 1000)))

    def _connect(self, kind: int, port: int) -> zmq.Socket[bytes]:
        """A socket that notices a server that died silently, and comes back to one that returned."""
        socket = self._context.socket(kind)
        socket.set(zmq.LINGER, 0)
        socket.set(zmq.MAXMSGSIZE, MAX_REPLY)
        socket.set_hwm(10_000 if kind == zmq.SUB else 16)
        socket.set(zmq.RECONNECT_IVL, 50)
        socket.set(zmq.RECONNECT_IVL_MAX, 1000)
        socket.set(zmq.HEARTBEAT_IVL, 1000)
        socket.set(zmq.HEARTBEAT_TIMEOUT, 3000)
        socket.set(zmq.CONNECT_TIMEOUT, 3000)
        socket.set(zmq.IPV6, int("[" in self._host))
        if kind == zmq.DEALER:
            socket.set(zmq.IMMEDIATE, 1)  # queue nothing for a server that is not there
        try:
            socket.connect(f"tcp://{self._host}:{port}")
        except zmq.ZMQError as error:
            socket.close()
            raise ConfigError(
                f"{self._url!r} is not an address that can be reached: {error.strerror}"
            ) from error
        return socket

    def _unavailable(self) -> RegistryUnavailable:
        start = f'start one with "mesh registry --bind {self._url} --state DIR"'
        return RegistryUnavailable(
            f"no registry answers at {self._url}: {start}, or set MESH_REGISTRY or --registry"
        )

    def _was_closed(self) -> RegistryUnavailable:
        return RegistryUnavailable(f"the registry {self._url} was closed by this program")


def _encode(request: Request) -> bytes:
    try:
        return encode_request(request)
    except (TypeError, ValueError, OverflowError) as error:
        raise RegistryError(f"cannot ask the registry to {request.operation}: {error}") from error
