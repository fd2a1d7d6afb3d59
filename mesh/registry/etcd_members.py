"""The members of an etcd cluster, asked in turn over HTTP.

Rules kept here: this is the only place that knows etcd3gw and requests; one thread at a time uses a
`Members`; a member that cannot be reached, does not answer in time, or has no leader is left for the next
one, and a round of them is followed by a pause; whatever is asked may be asked again, and must bear that.

Of etcd3gw we use its client of one member: etcd's HTTP API, connections that are kept, errors. Its watcher is
not used: it takes a piece of an HTTP stream for a message, and tells nobody when etcd ends a watch.
"""

import contextlib
import json
import math
import random
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import requests
from etcd3gw import Etcd3Client
from etcd3gw.exceptions import ConnectionTimeoutError, Etcd3Exception
from requests.adapters import HTTPAdapter

from mesh.clock import SYSTEM_CLOCK
from mesh.errors import MeshError, RegistryError, RegistryUnavailable, WireError
from mesh.registry.closing import Closing
from mesh.registry.etcd_address import Address, written
from mesh.registry.etcd_json import Body

API = "/v3/"  # of etcd 3.4 and later
PAUSE = 0.1  # seconds between two rounds of the members
CONNECT = 1.0  # seconds for a connection that is to be followed
IDLE = 5.0  # seconds of silence after which a stream is opened anew: its member may hang
# A machine that vanished is noticed in about four seconds: it does not answer the kernel's probes.
SOCKET_OPTIONS = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
)
MAX_MESSAGE = 256 << 20  # bytes of one message of a stream

# gRPC's codes: https://grpc.io/docs/guides/status-codes/
NOT_FOUND, FAILED_PRECONDITION, OUT_OF_RANGE = 5, 9, 11
CANCELED, UNKNOWN, DEADLINE, ABORTED, INTERNAL, UNAVAILABLE = 1, 2, 4, 10, 13, 14
# After these, another member may do better.
AWAY = frozenset((CANCELED, UNKNOWN, DEADLINE, ABORTED, INTERNAL, UNAVAILABLE))


class Refused(RegistryError):
    """etcd's: it answered no. `code` is one of gRPC's."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"etcd refuses: {message.removeprefix('etcdserver: ')}")
        self.code = code


class Away(MeshError):
    """A member does not answer as one of a cluster does."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`again` says that it was asked for more than once, and may have been done before."""

    body: Any
    again: bool


class Members(Closing):
    """The cluster at `address`. A call waits `timeout` seconds for any of them, or until `stopping`."""

    def __init__(self, address: Address, timeout: float, stopping: threading.Event) -> None:
        self._address = address
        self._timeout = timeout
        self._stopping = stopping
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy for the web is none for a cluster
        adapter = HTTPAdapter()
        adapter.init_poolmanager(len(address.members), 2, socket_options=SOCKET_OPTIONS)
        self._session.mount("http://", adapter)
        self._clients = [
            Etcd3Client(host, port, api_path=API, session=self._session) for host, port in address.members
        ]
        self._at = random.randrange(len(self._clients))  # so that a fleet spreads

    def __repr__(self) -> str:
        return f"<Members {self._address}, asking {self.current}>"

    def ask(self, path: str, body: Body, patience: float = math.inf) -> Answer:
        """What etcd answers; a member has `patience` seconds at most. Raises `Refused`, or
        `RegistryUnavailable` when no member answers."""
        end = SYSTEM_CLOCK.monotonic() + self._timeout
        each, left, tries = min(self._timeout / len(self._clients), patience), self._timeout, 0
        away = Away("nothing was asked")
        while left > 0 and not self._stopping.is_set():
            try:
                return Answer(self._post(path, body, min(left, each)), tries > 0)
            except Away as error:
                away, tries = error, tries + 1
            self.turn()
            if tries % len(self._clients) == 0:
                self._stopping.wait(PAUSE)
            left = end - SYSTEM_CLOCK.monotonic()
        if self._stopping.is_set():
            raise RegistryUnavailable(f"the registry at {self._address} was closed by this program")
        raise RegistryUnavailable(
            f"no etcd answers at {self._address} ({away}): start it, most of its members at least, "
            "or set MESH_REGISTRY or --registry"
        )

    def follow(self, path: str, body: Body) -> "Stream":
        """A stream of messages from the member at hand. Raises `Away`."""
        client = self._clients[self._at]
        # "hasleader": a member that loses its leader ends the stream, instead of being silent.
        headers = {"Grpc-Metadata-Hasleader": "true"}
        try:
            response = self._session.post(
                client.get_url(path), json=body, headers=headers, stream=True, timeout=(CONNECT, IDLE)
            )
        except requests.RequestException as error:
            raise Away("it cannot be reached") from error
        if response.status_code != requests.codes["ok"]:
            response.close()
            raise Away(f"it answers {response.status_code}")
        return Stream(response)

    @property
    def current(self) -> str:
        """The member at hand, as a person writes it."""
        return written(*self._address.members[self._at])

    def turn(self) -> None:
        """Ask the next member from now on."""
        self._at = (self._at + 1) % len(self._clients)

    def close(self) -> None:
        self._session.close()

    def _post(self, path: str, body: Body, patience: float) -> Any:
        client = self._clients[self._at]
        client.timeout = patience
        try:
            return client.post(client.get_url(path), json=body)
        except Etcd3Exception as error:
            raise translated(error) from error
        except requests.RequestException as error:
            raise Away("its answer broke off, or is not etcd's") from error


class Stream(Closing):
    """Messages that come one by one. One thread reads; `shutdown`, from any thread, has it end."""

    def __init__(self, response: requests.Response) -> None:
        self._response = response

    def __iter__(self) -> Iterator[Any]:
        """Raises `Away` when it breaks or was silent for long, `WireError` for what is no message."""
        lines = Lines()
        try:
            for data in self._response.iter_content(chunk_size=None):
                for line in lines.feed(data):
                    yield json.loads(line)
            for line in lines.feed(b"\n"):  # the gateway's last word, as of an error, may lack its newline
                yield json.loads(line)
        except requests.RequestException as error:
            raise Away("its stream broke off, or was silent") from error
        except ValueError as error:
            raise WireError(f"a message of etcd's stream was not understood: {error}") from error

    def shutdown(self) -> None:
        with contextlib.suppress(ValueError, RuntimeError, OSError):  # it has ended already
            self._response.raw.shutdown()

    def close(self) -> None:
        self._response.close()


class Lines:
    """Lines out of the pieces that a stream comes in. Pure.

    etcd ends each message with a newline; pieces may end anywhere, and hold several or none.
    """

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that are whole now, without empty ones. Raises `WireError` when one gets too long."""
        *whole, rest = data.split(b"\n")
        if whole:
            whole[0] = bytes(self._rest) + whole[0]
            self._rest.clear()
        self._rest += rest
        if len(self._rest) > MAX_MESSAGE:
            raise WireError(f"a message of etcd's stream is over the limit of {MAX_MESSAGE} bytes")
        return [line for line in whole if line.strip()]


def translated(error: Etcd3Exception) -> MeshError:
    """What a failed call means: `Away`, to ask another member; `Refused`; `RegistryUnavailable`, for now."""
    if isinstance(error, ConnectionTimeoutError):
        return Away("it does not answer in time")
    try:
        told = json.loads(error.detail_text or "")
    except ValueError:
        told = None
    match told:
        case {"code": 8, "message": str(message)}:  # exhausted: no room, or too many requests
            return RegistryUnavailable(f"etcd takes no more for now: {message.removeprefix('etcdserver: ')}")
        case {"code": int(code), "message": str(message)} if code not in AWAY:
            return Refused(code, message)
        case {"message": str(message)}:
            return Away(message)
    return Away("it cannot be reached, or is no etcd")
