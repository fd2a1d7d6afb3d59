"""`etcd://HOST:PORT[,HOST:PORT…][/PREFIX]`: the registry in an etcd cluster, which survives its machines.

Rules kept here:

- Calls take turns on one set of connections; each watch has its own, and a thread.
- A write is sent with the revision that it replaces. One whose reply was lost is sent again, and knows its
  own work by what it wrote; one that a member still does after its caller went to another finds a newer
  revision, and changes nothing.
- A lease's number is drawn here, so that asking for it twice gives one lease. etcd counts whole seconds, and
  gives no fewer than one and a half of its election timeouts: a lease lasts as long as was asked for, or
  somewhat longer, never shorter.
- Leases are kept by the cluster: what is gone is gone, whichever member tells it.
"""

import logging
import math
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from mesh.errors import LeaseExpired, RegistryError, RegistryUnavailable
from mesh.registry.about import About
from mesh.registry.base import Entry, Registry, Value, Watch
from mesh.registry.closing import Closing
from mesh.registry.etcd_address import parse_address
from mesh.registry.etcd_json import (
    Body,
    Found,
    delete_body,
    key_body,
    put_body,
    read_found,
    read_number,
    read_outcome,
)
from mesh.registry.etcd_listing import read_listing
from mesh.registry.etcd_members import FAILED_PRECONDITION, NOT_FOUND, Answer, Members, Refused
from mesh.registry.etcd_watch import EtcdWatch
from mesh.registry.store import check_expected, is_configuration
from mesh.registry.values import check_key, check_ttl, check_value
from mesh.scope import Scope

TRIES = 100  # of a write, against writers that are always first
SHARE = 4  # of its shortest lease a client waits so much for one member: a hung one ends no lease
WRITTEN = 4096  # keys whose revision is remembered

log = logging.getLogger(__name__)


class EtcdRegistry(Closing, Registry):
    """A client of the cluster at `url`. Without an answer in `timeout` s, `RegistryUnavailable`."""

    def __init__(self, url: str, timeout: float = 3.0) -> None:
        self._url, self._timeout = url, timeout
        self._address = parse_address(url)
        self._stopping = threading.Event()
        self._turn = threading.Lock()  # of whoever asks
        self._lock = threading.Lock()  # of the watches
        self._members = Members(self._address, timeout, self._stopping)
        self._patience = math.inf  # seconds that one member may take, listings apart
        self._written: dict[str, int] = {}  # by key, the revision of this client's own latest write
        self._watches: list[EtcdWatch] = []
        self._scope = Scope("registry-watch")

    def __repr__(self) -> str:
        return f"<EtcdRegistry {self._url} {'closed' if self._stopping.is_set() else 'open'}>"

    @property
    def url(self) -> str:
        return self._url

    def get(self, key: str) -> Entry | None:
        found = self._find(check_key(key))
        return found.entry if found else None

    def list(self, prefix: str = "") -> list[Entry]:
        with self._taking_turns():
            return read_listing(self._members, self._address.prefix, prefix).entries

    def put(self, key: str, value: Value, *, lease: int = 0, expect: int | None = None) -> Entry:
        stored, write = check_value(check_key(key), value), secrets.token_hex(8)
        known = self._written.get(key, 0) if expect is None else expect
        for _ in range(TRIES):
            body = put_body(self._path(key), stored, write, lease, known)
            outcome = read_outcome(self._write(key, body).body, self._address.prefix)
            found = outcome.found
            if outcome.done or (found is not None and found.write == write):
                revision = outcome.revision if found is None else found.revision
                self._remember(key, revision)
                return Entry(key, stored, revision, lease)
            known = _check(key, found, lease, expect)
        raise RegistryError(f"{key} could not be written: other writers were always first")

    def delete(self, key: str, *, expect: int | None = None) -> bool:
        found = self._find(check_key(key))
        for _ in range(TRIES):
            known = _check(key, found, 0, expect)
            if known == 0:
                return False
            answer = self._write(key, delete_body(self._path(key), known))
            outcome = read_outcome(answer.body, self._address.prefix)
            # Gone, though it stood at `known`: where a reply was lost, it was this that deleted it.
            if outcome.done or (outcome.found is None and answer.again):
                return True
            found = outcome.found
        raise RegistryError(f"{key} could not be deleted: other writers were always first")

    def grant(self, ttl: float) -> int:
        lease, seconds = 1 + secrets.randbits(62), math.ceil(check_ttl(ttl))
        try:
            self._patience = min(self._patience, seconds / SHARE)
            answer = self._ask("lease/grant", {"ID": str(lease), "TTL": str(seconds)})
        except Refused as refused:
            if refused.code != FAILED_PRECONDITION:  # else it was granted, and the reply was lost
                raise
        else:
            log.debug("a lease of %g s lasts %d s in etcd", ttl, read_number(answer.body, "TTL"))
        return lease

    def keep_alive(self, lease: int) -> None:
        match self._ask("lease/keepalive", {"ID": str(lease)}).body:
            case {"result": dict(result)} if read_number(result, "TTL") > 0:
                return
        raise LeaseExpired("the lease has ended")

    def revoke(self, lease: int) -> None:
        try:
            self._ask("lease/revoke", {"ID": str(lease)})
        except Refused as refused:
            if refused.code != NOT_FOUND:
                raise

    def watch(self, prefix: str = "") -> Watch:
        stopping = threading.Event()
        with self._lock:
            if self._stopping.is_set():
                raise self._was_closed()
            members = Members(self._address, self._timeout, stopping)
            watch = EtcdWatch(self._address.prefix, prefix, members, stopping)
            self._watches = [*(each for each in self._watches if not each.closed), watch]
            self._scope.spawn(f"watch {prefix}", watch.run)
        return watch

    def now_ns(self) -> int:
        raise RegistryError(
            "an etcd cluster has no clock that can be read: keep the clocks of the nodes in step, as by NTP"
        )

    def about(self) -> About:
        return About(keeps=True)

    def close(self) -> None:
        with self._lock:
            if self._stopping.is_set():
                return
            self._stopping.set()
            watches, self._watches = self._watches, []
        for watch in watches:
            watch.close()
        try:
            self._scope.__exit__(None, None, None)
        finally:
            with self._turn:
                self._members.close()

    def _find(self, key: str) -> Found | None:
        return read_found(self._ask("kv/range", key_body(self._path(key))).body, self._address.prefix)

    def _write(self, key: str, body: Body) -> Answer:
        try:
            return self._ask("kv/txn", body)
        except Refused as refused:
            if refused.code == NOT_FOUND:
                raise LeaseExpired(f"cannot put {key}: its lease has ended") from refused
            raise

    def _ask(self, path: str, body: Body) -> Answer:
        with self._taking_turns():
            return self._members.ask(path, body, self._patience)

    @contextmanager
    def _taking_turns(self) -> Iterator[None]:
        if not self._turn.acquire(timeout=self._timeout):
            raise RegistryUnavailable(f"etcd at {self._address} keeps an earlier call waiting")
        try:
            if self._stopping.is_set():
                raise self._was_closed()
            yield
        finally:
            self._turn.release()

    def _path(self, key: str) -> str:
        return self._address.prefix + key

    def _remember(self, key: str, revision: int) -> None:
        if len(self._written) >= WRITTEN:
            self._written.clear()
        self._written[key] = revision

    def _was_closed(self) -> RegistryUnavailable:
        return RegistryUnavailable(f"the registry {self._url} was closed by this program")


def _check(key: str, found: Found | None, lease: int, expect: int | None) -> int:
    """The revision of what may be written over. Raises `Conflict` when it may not."""
    revision = found.revision if found else 0
    check_expected(key, revision, expect)
    if lease and found and found.lease == 0:
        raise is_configuration(key)
    return revision
