"""What the registry's tests share: patient waiting, and the registry's own threads under a deadline."""

from collections.abc import Callable

from mesh.errors import LeaseExpired
from mesh.registry import Entry, Event, Put, Registry, Synced, Watch
from tests.support.waiting import WITHIN_S, wait_for

DEADLINE = WITHIN_S


def take(watch: Watch) -> Event:
    """The next event, which must come."""
    event = watch.get(DEADLINE)
    assert event is not None, "the watch gave nothing"
    return event


def take_snapshot(watch: Watch) -> tuple[list[Entry], int]:
    """The entries until `Synced`, and its revision."""
    entries = []
    while not isinstance(event := take(watch), Synced):
        assert isinstance(event, Put)
        entries.append(event.entry)
    return entries, event.revision


def exhaust(watch: Watch) -> None:
    """Read until the watch is closed."""
    while watch.get() is not None:
        continue


def until(condition: Callable[[], object], what: str) -> None:
    """Wait until `condition` holds."""
    wait_for(condition, what, DEADLINE)


def hold(registry: Registry, *keys: str, ttl: float) -> int:
    """A lease of a short time under which all of these keys were written. One that was over before that, as
    this machine was busy, is followed by another."""
    while True:
        lease = registry.grant(ttl)
        try:
            for key in keys:
                registry.put(key, {}, lease=lease)
        except LeaseExpired:
            until(lambda: not any(map(registry.get, keys)), "what stood under a lease that is over has gone")
            continue
        return lease
