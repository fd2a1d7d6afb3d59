"""What is asked of etcd, and what it answers: its JSON, as bodies to send and replies to read. No I/O.

Rules kept here:

- A key of the registry stands in etcd under the mesh's prefix. Its value is `{"write": …, "value": …}` in
  JSON, to be read with etcdctl, too. `write` is drawn for each write: a writer whose reply was lost knows its
  own by it.
- Every write is conditional on the key's revision. So one that was sent twice, or that a member carries out
  long after its caller has turned to another, is done once or not at all.
- Somebody else's keys under the prefix are passed over; what no etcd says is a `WireError`.

The messages are those of etcd's `rpc.proto`; its HTTP gateway writes bytes as base64 and integers as text.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mesh.errors import RegistryError, WireError
from mesh.registry.base import Change, Delete, Entry, Put, Value
from mesh.registry.values import check_key, check_value

PAGE = 256  # keys of a listing in one reply, so that none is large beyond reason

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """A key as it stands in etcd. `entry` is None for what no registry wrote."""

    revision: int
    lease: int
    write: str
    entry: Entry | None


@dataclass(frozen=True, slots=True)
class Page:
    """Keys under a prefix as they stood at `revision`; `last` of these, and whether `more` follow it."""

    revision: int
    entries: tuple[Entry, ...]
    last: bytes
    more: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of a conditional write: `done` at `revision`, or what was `found` instead, if anything."""

    done: bool
    revision: int
    found: Found | None = None


@dataclass(frozen=True, slots=True)
class News:
    """A message of a watch: changes up to `revision`. `opened` marks the first, which has none.

    `partial`: the rest of it follows in another message. `compacted`: the changes that were asked for are no
    longer kept. `canceled`: no more will come, and why.
    """

    revision: int
    changes: tuple[Change, ...] = ()
    opened: bool = False
    partial: bool = False
    compacted: bool = False
    canceled: str = ""


def put_body(path: str, value: Value, write: str, lease: int, expect: int) -> Body:
    """Write a key that is at revision `expect` (0: that is not there), else read it.

    Nothing is put under a lease over an entry that has none.
    """
    text = json.dumps({"write": write, "value": value}, ensure_ascii=False, separators=(",", ":"))
    put = {"key": _packed(path), "value": _packed(text), "lease": str(lease)}
    compare = [_is_at(path, expect)]
    if lease and expect:
        compare.append({"key": _packed(path), "target": "LEASE", "result": "NOT_EQUAL", "lease": "0"})
    return {"compare": compare, "success": [{"request_put": put}], "failure": [_read(path)]}


def delete_body(path: str, expect: int) -> Body:
    """Remove a key that is at revision `expect`, else read it."""
    delete = {"request_delete_range": {"key": _packed(path)}}
    return {"compare": [_is_at(path, expect)], "success": [delete], "failure": [_read(path)]}


def page_body(prefix: str, after: bytes = b"", revision: int = 0) -> Body:
    """Read a page of keys under `prefix`: those behind the key `after`, as they stood at `revision`."""
    start = after + b"\0" if after else prefix.encode()
    return {
        "key": b64encode(start).decode(),
        "range_end": _range_end(prefix),
        "limit": str(PAGE),
        "revision": str(revision),
    }


def key_body(path: str) -> Body:
    return {"key": _packed(path)}


def watch_body(prefix: str, after: int) -> Body:
    """Follow what changes under `prefix` after a revision."""
    create = {
        "key": _packed(prefix),
        "range_end": _range_end(prefix),
        "start_revision": str(after + 1),
        "progress_notify": True,
        "fragment": True,  # in messages of bounded size
    }
    return {"create_request": create}


def read_outcome(reply: Any, prefix: str) -> Outcome:
    """Raises `WireError`."""
    match reply:
        case {"header": {"revision": str(revision)}, "succeeded": True}:
            return Outcome(True, _number(revision))
        case {"header": {"revision": str(revision)}, "responses": [{"response_range": dict(found)}]}:
            return Outcome(False, _number(revision), read_found(found, prefix))
    raise WireError("etcd's answer to a transaction was not understood")


def read_found(reply: Any, prefix: str) -> Found | None:
    """The one key in a reply, if it is there. Raises `WireError`."""
    kvs = _list_of(reply, "kvs")
    if not kvs:
        return None
    revision, lease, key, data = _parts(kvs[0])
    write, value = _unpacked(data)
    return Found(revision, lease, write, _entry(key, value, revision, lease, prefix))


def read_page(reply: Any, prefix: str) -> Page:
    """Raises `WireError`."""
    match reply:
        case {"header": {"revision": str(revision)}}:
            kvs = [_parts(kv) for kv in _list_of(reply, "kvs")]
            last = kvs[-1][2] if kvs else b""
            return Page(_number(revision), tuple(_entries(kvs, prefix)), last, reply.get("more") is True)
    raise WireError("etcd's listing was not understood")


def read_news(message: Any, prefix: str) -> News:
    """Raises `WireError`."""
    match message:
        case {"result": {"header": dict(header), **result}}:
            pass
        case {"error": dict(error)}:  # what the gateway says of a stream that its member ended
            return News(0, canceled=str(error.get("message") or "it ended"))
        case _:
            raise WireError("etcd's message to a watch was not understood")
    compacted = _number(result.get("compact_revision", "0")) > 0
    if result.get("canceled") is True:
        return News(0, compacted=compacted, canceled=str(result.get("cancel_reason") or "it was canceled"))
    events = _list_of(result, "events")
    changes = [_change(event, prefix) for event in events]
    revision = _parts(events[-1]["kv"])[0] if events else _number(header.get("revision", "0"))
    return News(
        revision,
        tuple(change for change in changes if change is not None),
        opened=result.get("created") is True,
        partial=result.get("fragment") is True,
    )


def read_number(reply: Any, name: str) -> int:
    """The number `name` in a reply; 0 where it is left out, as etcd does with zeros. Raises `WireError`."""
    if not isinstance(reply, dict):
        raise WireError("etcd's answer was not understood")
    return _number(reply.get(name, "0"))


def _change(event: Any, prefix: str) -> Change | None:
    if not isinstance(event, dict):
        raise WireError("etcd's event was not understood")
    revision, lease, key, data = _parts(event.get("kv"))
    if event.get("type") != "DELETE":
        entry = _entry(key, _unpacked(data)[1], revision, lease, prefix)
        return None if entry is None else Put(entry)
    name = _name(key, prefix)
    return None if name is None else Delete(name, revision)


def _entries(kvs: Iterable[tuple[int, int, bytes, bytes]], prefix: str) -> Iterable[Entry]:
    for revision, lease, key, data in kvs:
        entry = _entry(key, _unpacked(data)[1], revision, lease, prefix)
        if entry is not None:
            yield entry


def _entry(key: bytes, value: Any, revision: int, lease: int, prefix: str) -> Entry | None:
    name = _name(key, prefix)
    if name is None or value is None:
        return None
    try:
        return Entry(name, check_value(name, value), revision, lease)
    except RegistryError:
        return None


def _name(key: bytes, prefix: str) -> str | None:
    """The registry's key; None for what is none."""
    try:
        return check_key(key.decode().removeprefix(prefix))
    except (UnicodeDecodeError, RegistryError):
        return None


def _unpacked(data: bytes) -> tuple[str, Any]:
    """Who wrote a value, and the value; None for what no registry wrote."""
    try:
        packed = json.loads(data)
    except (ValueError, RecursionError):
        return "", None
    match packed:
        case {"write": str(write), "value": dict(value)}:
            return write, value
    return "", None


def _parts(kv: Any) -> tuple[int, int, bytes, bytes]:
    """Revision, lease, key and value."""
    match kv:
        case {"key": str(key), "mod_revision": str(revision)}:
            lease, data = kv.get("lease", "0"), kv.get("value", "")
            try:
                return _number(revision), _number(lease), _raw(key), _raw(data)
            except (ValueError, TypeError) as error:
                raise WireError(f"etcd's key was not understood: {error}") from error
    raise WireError("etcd's key was not understood")


def _raw(text: str) -> bytes:
    return b64decode(text, validate=True)


def _list_of(reply: Any, name: str) -> list[Any]:
    found = reply.get(name, []) if isinstance(reply, dict) else None
    if not isinstance(found, list):
        raise WireError(f"etcd's {name} were not understood")
    return found


def _number(text: Any) -> int:
    if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) <= 19:
        return int(text)
    raise WireError(f"etcd's number {text!r:.40} was not understood")


def _is_at(path: str, revision: int) -> Body:
    return {"key": _packed(path), "target": "MOD", "result": "EQUAL", "mod_revision": str(revision)}


def _read(path: str) -> Body:
    return {"request_range": {"key": _packed(path)}}


def _range_end(prefix: str) -> str:
    """Where the keys under a prefix end: its last byte one higher, as no byte of UTF-8 is the highest."""
    data = prefix.encode()
    return b64encode(data[:-1] + bytes((data[-1] + 1,))).decode()


def _packed(text: str) -> str:
    return b64encode(text.encode()).decode()
