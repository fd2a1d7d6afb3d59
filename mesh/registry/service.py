"""What the registry's server does with a request: a reply, and what to publish. No sockets, no threads.

Rules kept here: a change to the configuration is kept before it is made and before it is answered; a request
that comes again is answered again and executed once; one that is off is refused and counted.
"""

import logging
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.errors import Conflict, LeaseExpired, MeshError, RegistryError, StorageError
from mesh.registry.base import Change
from mesh.registry.listings import Listings
from mesh.registry.persist import Keeper
from mesh.registry.values import INT64, table_of
from mesh.registry.view import key_of, revision_of
from mesh.registry.wire import Beat, Published, Reply, Request, encode_entry, pack, pack_array
from mesh.stats import Counters, Rarely

MAX_CLIENTS = 4096  # whose last reply is remembered
READING = frozenset(
    ("get", "list", "time", "start", "about")
)  # harmless to execute twice, and their replies may be large

EMPTY: Mapping[str, Any] = {}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """`reply` is None for a request that is older than the client's latest."""

    reply: Reply | None
    published: Sequence[Published] = ()


class Service:
    """The store behind the sockets. Not thread-safe: one thread serves.

    `identity` is what it says of itself when asked `about`: the fields of `About` that its server knows.
    """

    def __init__(
        self, keeper: Keeper, clock: Clock = SYSTEM_CLOCK, identity: Mapping[str, Any] = EMPTY
    ) -> None:
        self.epoch = 1 + secrets.randbits(62)
        self.counters = Counters()
        self._keeper = keeper
        self._identity = identity
        self._began = self._now = clock.monotonic()  # `_now`: of the request at hand
        self._store = keeper.load()
        self._first = self._store.revision
        self._listings = Listings(self._store)
        self._latest: dict[str, int] = {}
        self._replies: OrderedDict[bytes, Reply] = OrderedDict()
        self._changes: list[Change] = []
        self._trouble = Rarely(10.0)
        self._operations: Mapping[str, Callable[..., Any]] = {
            "get": self._get,
            "list": self._list,
            "put": self._put,
            "delete": self._delete,
            "grant": self._grant,
            "keep_alive": self._keep_alive,
            "revoke": self._revoke,
            "time": clock.wall_ns,
            "start": self._start,
            "about": self._about,
        }

    def __repr__(self) -> str:
        return f"<Service epoch={self.epoch} {self._store!r}>"

    def handle(self, request: Request, now: float) -> Outcome:
        """Execute a request at the monotonic time `now`."""
        last = self._replies.get(request.client)
        if last is not None and request.id <= last.id:
            self.counters.add("repeated")
            return Outcome(last if request.id == last.id else None)
        self.counters.add("requests")
        self._now = now
        reply = self._execute(request)
        if request.operation not in READING:
            self._remember(request.client, reply)
        return Outcome(reply, self._publish())

    def expire(self, now: float, waiting: Iterable[Request] = ()) -> Sequence[Published]:
        """End the leases whose time is over, but for those that one of the `waiting` requests renews."""
        self._changes.extend(self._store.expire(now, {lease for r in waiting for lease in _renewed(r)}))
        self._reserve_late(now)
        return self._publish()

    def forgive(self, seconds: float, now: float) -> None:
        """Do not count so many seconds against the leases: the server was held up, and heard nobody."""
        self._store.forgive(seconds, now)

    def next_deadline(self) -> float | None:
        return self._store.next_deadline()

    def beat(self) -> Beat:
        return Beat(self.epoch, dict(self._latest))

    def _execute(self, request: Request) -> Reply:
        try:
            operation = self._operations.get(request.operation)
            if operation is None:
                raise RegistryError(f"the registry has no operation {request.operation!r:.40}")
            return Reply(request.id, self.epoch, "ok", operation(*_checked(request)))
        except MeshError as error:
            self.counters.add("refused")
            return Reply(request.id, self.epoch, status_of(error), str(error))

    def _remember(self, client: bytes, reply: Reply) -> None:
        self._replies[client] = reply
        self._replies.move_to_end(client)
        if len(self._replies) > MAX_CLIENTS:
            self._replies.popitem(last=False)

    def _publish(self) -> Sequence[Published]:
        changes, self._changes = self._changes, []
        published = []
        for change in changes:
            table = table_of(key_of(change))
            published.append(Published(self.epoch, self._latest.get(table, 0), change))
            self._latest[table] = revision_of(change)
        return published

    def _apply(self, change: Change, configuration: bool) -> None:
        self._keeper.reserve(revision_of(change))
        if configuration:
            self._keeper.write((change,))
        self._store.apply((change,))
        self._changes.append(change)

    def _reserve_late(self, now: float) -> None:
        """Reserve what the end of a lease took: a full disk must not keep dead nodes alive."""
        try:
            self._keeper.reserve(self._store.revision)
        except StorageError as error:
            if (held := self._trouble.ready(now)) is not None:
                log.error("%s (and %d times before)", error, held)

    def _get(self, key: str) -> Any:
        entry = self._store.get(key)
        return None if entry is None else encode_entry(entry)

    def _list(self, prefix: str) -> Any:
        return pack_array((pack(self._store.revision), self._listings.of(prefix)))

    def _put(self, key: str, value: Mapping[str, Any], lease: int, expect: int | None) -> int:
        change = self._store.plan_put(key, value, lease=lease, expect=expect)
        self._apply(change, configuration=lease == 0)
        return change.entry.revision

    def _delete(self, key: str, expect: int | None) -> bool:
        change = self._store.plan_delete(key, expect=expect)
        if change is not None:
            self._apply(change, self._store.is_configuration(key))
        return change is not None

    def _grant(self, ttl: float) -> int:
        return self._store.grant(1 + secrets.randbits(62), ttl, self._now).id

    def _keep_alive(self, lease: int) -> None:
        self._store.renew(lease, self._now)

    def _revoke(self, lease: int) -> None:
        self._changes.extend(self._store.revoke(lease))
        self._reserve_late(self._now)

    def _start(self) -> Any:
        return [self._now - self._began, self._first]

    def _about(self) -> Any:
        folders = [folder.model_dump() for folder in self._keeper.folders()]
        return {**self._identity, "keeps": self._keeper.keeps, "folders": folders}


_ARGUMENTS: Mapping[str, tuple[type[Any] | tuple[type[Any], ...], ...]] = {
    "get": (str,),
    "list": (str,),
    "put": (str, dict, int, (int, type(None))),
    "delete": (str, (int, type(None))),
    "grant": ((int, float),),
    "keep_alive": (int,),
    "revoke": (int,),
    "time": (),
    "start": (),
    "about": (),
}

_STATUSES: Mapping[str, type[MeshError]] = {
    "conflict": Conflict,
    "lease": LeaseExpired,
    "storage": StorageError,
    "refused": RegistryError,
}


def _renewed(request: Request) -> Iterable[int]:
    """The lease that a request renews, if it renews one."""
    if request.operation == "keep_alive":
        yield from (lease for lease in request.arguments[:1] if isinstance(lease, int))


def _checked(request: Request) -> tuple[Any, ...]:
    """The arguments. Raises `RegistryError` unless they are of the operation's types."""
    wanted, given = _ARGUMENTS[request.operation], request.arguments
    fits = len(given) == len(wanted) and all(map(isinstance, given, wanted))
    if not fits or any(map(_is_no_number, given)):
        raise RegistryError(f"the arguments of {request.operation} are malformed")
    return given


def _is_no_number(argument: object) -> bool:
    return isinstance(argument, bool) or (isinstance(argument, int) and not 0 <= argument < INT64)


def status_of(error: MeshError) -> str:
    """The word that stands for an error in a reply."""
    return next((word for word, kind in _STATUSES.items() if isinstance(error, kind)), "refused")


def error_of(status: str, message: object) -> MeshError:
    """The error that a word in a reply stands for."""
    return _STATUSES.get(status, RegistryError)(str(message))
