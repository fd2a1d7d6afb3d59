"""The Registry protocol: a small store of keys with leases, watched by prefix.

Rules that every backend keeps, and `tests/conformance/` holds them to:

- A key is a path of two or more parts, such as `nodes/ID`; a value is a JSON-like map (see `values.py`).
  Every change to the store takes the next revision, a number that only grows, over restarts too.
- An entry put under a lease goes when the lease is revoked or runs out. An entry put without one is
  configuration: it stays, over restarts too, and cannot be put under a lease (`Conflict`).
- `expect` makes a write conditional: 0 means "there is no such key", a revision means "it is still the one
  that I read". Otherwise `Conflict`, and nothing is written.
- A watch gives first the matching entries as they are, then every change to them in order.
- The registry is never on the path of a frame. While it is away, calls raise `RegistryUnavailable` and
  watches wait.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

from mesh.registry.about import About

Value = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """One key as it stands. `lease` is 0 for configuration."""

    key: str
    value: Value
    revision: int
    lease: int = 0


@dataclass(frozen=True, slots=True)
class Put:
    """A watched key was written."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Delete:
    """A watched key is gone: deleted, or its lease ended. `revision` is that of the deletion.

    Not `known` is a leased key that a server which has started anew has not heard of: forgotten, as all of
    them are, and perhaps alive.
    """

    key: str
    revision: int
    known: bool = True


@dataclass(frozen=True, slots=True)
class Start:
    """When a registry that forgets what was leased last did: `age_s` seconds ago, at `revision`."""

    age_s: float
    revision: int


@dataclass(frozen=True, slots=True)
class Synced:
    """All entries that stood when the watch began (or was resumed) have been given."""

    revision: int


Change = Put | Delete
Event = Put | Delete | Synced


class Watch(Protocol):
    """A live view of a prefix. Closing it ends the iteration."""

    def __iter__(self) -> Iterator[Event]: ...

    def get(self, timeout: float | None = None) -> Event | None:
        """The next event; None when `timeout` seconds pass first or the watch is closed."""
        ...

    @property
    def closed(self) -> bool: ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


class Registry(Protocol):
    """The store. Any thread may call every method; all raise `RegistryUnavailable` when it is away."""

    @property
    def url(self) -> str:
        """What `open_registry` was given."""
        ...

    def get(self, key: str) -> Entry | None: ...

    def list(self, prefix: str = "") -> list[Entry]:
        """Every entry whose key starts with `prefix`, ordered by key."""
        ...

    def put(self, key: str, value: Value, *, lease: int = 0, expect: int | None = None) -> Entry:
        """Write an entry. Raises `Conflict`, or `LeaseExpired` when the lease is gone."""
        ...

    def delete(self, key: str, *, expect: int | None = None) -> bool:
        """Remove an entry; False when there was none. Raises `Conflict`."""
        ...

    def grant(self, ttl: float) -> int:
        """A new lease of `ttl` seconds; a number above 0."""
        ...

    def keep_alive(self, lease: int) -> None:
        """Renew a lease for its full time. Raises `LeaseExpired` when it is gone."""
        ...

    def revoke(self, lease: int) -> None:
        """End a lease and delete its entries. A lease that is gone already is no error."""
        ...

    def watch(self, prefix: str = "") -> Watch: ...

    def now_ns(self) -> int:
        """The registry's wall clock, nanoseconds since the epoch: what nodes measure their own clocks by.

        Raises `RegistryError` when a server is too old to say, or has no clock that can be read.
        """
        ...

    def start(self) -> Start | None:
        """The registry's latest start; None where leases and what is under them outlast it.

        Raises `RegistryError` when a server is too old to say.
        """
        return None

    def about(self) -> About:
        """What it is, and whether it keeps what is configured.

        Raises `RegistryError` when a server is too old to say.
        """
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...
