"""The registry's protocol over TCP: requests, replies, changes and beats as msgpack, without I/O.

Rules kept here:

- A server at port P answers requests on P (ROUTER) and publishes changes on P + 1 (XPUB). So a client needs
  nothing but the one address, and a firewall or a port mapping needs two neighbouring ports.
- Request, one part: `[1, client, id, operation, arguments]`. `client` is 16 random bytes. A client has one
  request in flight; `id` grows. A request that is sent again keeps its id and is executed once.
- The operation `time` asks for the server's wall clock, in nanoseconds since the epoch; a node finds its own
  clock's offset by it. `start` asks how long ago the server started, in seconds, and at which revision.
- `about` asks what the server is: a map with `keeps` (whether configuration outlasts it), `version`, `host`,
  `pid`, `bind`, and `folders`, each `{path, free_bytes, total_bytes, writable}`. An older server refuses.
- Reply, one part: `[1, id, epoch, status, body]`. `epoch` is drawn anew each time that a server starts.
- Change, two parts: the table (`nodes/`), then `[1, epoch, before, revision, key, value or nil, lease]`.
  `before` is the revision of the table's change before this one, so each change shows whether one was lost.
- Beat, two parts: `\\0beat`, then `[1, epoch, {table: revision of its latest change}]`, every second: so
  the loss of the latest change shows too.
- A subscription to a topic of the client's own, `\\0sync/` and text that it never used, is answered with
  a beat on that topic. Then the subscriptions made before it are in force, and a snapshot may be asked for.
- Whatever is off raises `WireError`; lengths are checked before anything is unpacked.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgpack

from mesh.errors import ConfigError, WireError
from mesh.registry.base import Change, Delete, Entry, Put
from mesh.registry.values import INT64, table_of

VERSION = 1
BEAT = b"\0beat"
SYNC = b"\0sync/"
MAX_REQUEST = 1 << 20  # bytes
MAX_MEMBERS = 4096  # of one array in a request: nested headers must not reserve memory that no bytes back
MAX_REPLY = 256 << 20
CLIENT_BYTES = 16


@dataclass(frozen=True, slots=True)
class Request:
    client: bytes
    id: int
    operation: str
    arguments: tuple[Any, ...]


class Packed(bytes):
    """A part of a message that is packed already."""


@dataclass(frozen=True, slots=True)
class Reply:
    """`status` is "ok", or the name of an error whose message is `body`."""

    id: int
    epoch: int
    status: str
    body: Any = None


@dataclass(frozen=True, slots=True)
class Published:
    """A change, and the revision `before` of the last one in its table."""

    epoch: int
    before: int
    change: Change


@dataclass(frozen=True, slots=True)
class Beat:
    epoch: int
    latest: Mapping[str, int]


def encode_request(request: Request) -> bytes:
    return _pack([VERSION, request.client, request.id, request.operation, list(request.arguments)])


def decode_request(data: bytes) -> Request:
    """Raises `WireError`. The arguments are the operation's to check."""
    match _unpack(data, MAX_REQUEST, MAX_MEMBERS):
        case [1, bytes(client), int(id), str(operation), list(arguments)] if len(client) == CLIENT_BYTES:
            return Request(client, _number(id), operation, tuple(arguments))
    raise WireError("not a registry request of version 1")


def encode_reply(reply: Reply) -> bytes:
    return pack_array(map(pack, (VERSION, reply.id, reply.epoch, reply.status, reply.body)))


def pack(part: Any) -> Packed:
    """A part of a message; one that is packed already stays as it is."""
    return part if isinstance(part, Packed) else Packed(msgpack.packb(part, use_bin_type=True))


def pack_entry(entry: Entry) -> Packed:
    return pack(encode_entry(entry))


def pack_array(members: Iterable[bytes]) -> Packed:
    """An array of what is packed already."""
    packed = tuple(members)
    return Packed(msgpack.Packer().pack_array_header(len(packed)) + b"".join(packed))


def decode_reply(data: bytes) -> Reply:
    """Raises `WireError`."""
    match _unpack(data, MAX_REPLY, MAX_REPLY):
        case [1, int(id), int(epoch), str(status), body]:
            return Reply(id, epoch, status, body)
    raise WireError("not a registry reply of version 1")


def encode_entry(entry: Entry) -> list[Any]:
    return [entry.key, entry.value, entry.revision, entry.lease]


def decode_entry(data: object) -> Entry:
    """Raises `WireError`."""
    match data:
        case [str(key), dict(value), int(revision), int(lease)]:
            return Entry(key, value, revision, lease)
    raise WireError("not a registry entry")


def encode_published(published: Published) -> tuple[bytes, bytes]:
    change = published.change
    head = [VERSION, published.epoch, published.before]
    if isinstance(change, Put):
        entry = change.entry
        return _topic(entry.key), _pack([*head, entry.revision, entry.key, entry.value, entry.lease])
    return _topic(change.key), _pack([*head, change.revision, change.key, None, 0])


def encode_beat(beat: Beat, topic: bytes = BEAT) -> tuple[bytes, bytes]:
    return topic, _pack([VERSION, beat.epoch, dict(beat.latest)])


def decode_published(parts: list[bytes]) -> Published | Beat:
    """What came on the port of the changes. Raises `WireError`."""
    if len(parts) != 2:
        raise WireError("a registry message has two parts")
    match _unpack(parts[1], MAX_REQUEST, MAX_REQUEST):
        case [1, int(epoch), dict(latest)] if parts[0].startswith((BEAT, SYNC)):
            return Beat(epoch, latest)
        case [1, int(epoch), int(before), int(revision), str(key), None, 0]:
            return Published(epoch, before, Delete(key, revision))
        case [1, int(epoch), int(before), int(revision), str(key), dict(value), int(lease)]:
            return Published(epoch, before, Put(Entry(key, value, revision, lease)))
    raise WireError("not a registry change of version 1")


def topics_of(prefix: str) -> frozenset[bytes]:
    """What a watch of `prefix` subscribes to: its table, or everything, and always the beat."""
    table = prefix[: prefix.index("/") + 1] if "/" in prefix else ""
    return frozenset((BEAT, table.encode()))


def split_address(url: str) -> tuple[str, int | None]:
    """Host and port of `tcp://host:port`; the port is None for `*`. Raises `ConfigError`."""
    scheme, _, rest = url.partition("://")
    host, _, port = rest.rpartition(":")
    if scheme == "tcp" and host and port == "*":
        return host, None
    if scheme == "tcp" and host and port.isascii() and port.isdigit() and 0 < int(port) < 65535:
        return host, int(port)
    raise ConfigError(f"{url!r} is not an address: write tcp://HOST:PORT with a port from 1 to 65534")


def _topic(key: str) -> bytes:
    return table_of(key).encode()


def _pack(message: list[Any]) -> bytes:
    packed: bytes = msgpack.packb(message, use_bin_type=True)
    return packed


def _unpack(data: bytes, limit: int, members: int) -> Any:
    if len(data) > limit:
        raise WireError(f"a message of {len(data)} bytes is over the limit of {limit}")
    try:
        return msgpack.unpackb(
            data, raw=False, strict_map_key=True, max_array_len=members, max_map_len=members
        )
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise WireError(f"not msgpack: {error}") from error


def _number(id: int) -> int:
    if not 0 <= id < INT64:
        raise WireError("a request's id is out of range")
    return id
