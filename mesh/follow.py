"""Following the registry: a live picture of a prefix, and a subscriber kept connected by one.

Rules kept here: what the registry has forgotten is kept for ten seconds, because one that restarts forgets
everything until its nodes have announced themselves again, and no stream may stop for that; whoever follows
says how long what is known to be gone is kept; a picture is handed on only when it changed.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.errors import RegistryError
from mesh.inbox import Inbox, Policy
from mesh.names import check_name
from mesh.place import this_place
from mesh.registry import Delete, Entry, Event, Put, Registry
from mesh.registry.records import StreamRecord
from mesh.scope import Scope
from mesh.transport import Subscriber
from mesh.views import Views, choose
from mesh.wire import Topic, View

GRACE_S = 10.0
FADING_LOOK_S = 1.0
BATCH = 256  # events that are taken in together, where they have come together


class Picture:
    """The entries of a prefix as events tell them. Pure.

    What is gone fades after `gone_s`, what a registry that started anew forgot after `forgotten_s`; what is
    put meanwhile stays.
    """

    def __init__(self, gone_s: float, forgotten_s: float = GRACE_S) -> None:
        self._gone_s, self._forgotten_s = gone_s, forgotten_s
        self._fading: dict[str, float] = {}
        self.entries: dict[str, Entry] = {}
        self.synced = False

    def apply(self, event: Event, now: float) -> bool:
        """Take in an event; whether there is something new to tell."""
        if isinstance(event, Put):
            self._fading.pop(event.entry.key, None)
            changed = self.entries.get(event.entry.key) != event.entry
            self.entries[event.entry.key] = event.entry
            return changed and self.synced
        if isinstance(event, Delete):
            self._fading.setdefault(event.key, now + (self._gone_s if event.known else self._forgotten_s))
            return False
        first, self.synced = not self.synced, True
        return first

    def patience(self, now: float) -> float | None:
        """How many seconds may pass until the next look at what fades; None while nothing does."""
        if not self._fading:
            return None
        return min(FADING_LOOK_S, max(0.0, min(self._fading.values()) - now))

    def fade(self, now: float) -> bool:
        """Forget what has been gone for long enough; whether anything was forgotten."""
        gone = [key for key, until in self._fading.items() if until <= now]
        for key in gone:
            del self._fading[key]
            self.entries.pop(key, None)
        return bool(gone)


def follow(
    scope: Scope,
    registry: Registry,
    prefix: str,
    on_change: Callable[[Mapping[str, Entry]], None],
    *,
    gone_s: float = GRACE_S,
    forgotten_s: float = GRACE_S,
    clock: Clock = SYSTEM_CLOCK,
) -> None:
    """Call `on_change` with the entries under `prefix`, now and after each change, on a thread of `scope`.

    gone_s:       how long an entry is kept that was deleted or whose lease ended
    forgotten_s:  the same, for what a registry that has started anew does not know (yet)
    """

    def run() -> None:
        picture = Picture(gone_s, forgotten_s)
        with registry.watch(prefix) as watch:
            scope.on_stop(watch.close)
            while not watch.closed:
                events = [watch.get(picture.patience(clock.monotonic()))]
                while events[-1] is not None and len(events) < BATCH:
                    events.append(watch.get(0))
                now = clock.monotonic()
                changed = [picture.apply(event, now) for event in events if event is not None]
                if picture.fade(now) or any(changed):
                    on_change(dict(picture.entries))

    scope.spawn(f"follow {prefix}", run)


def publishers(entries: Iterable[Entry], camera: str | None, but_not: str = "") -> list[StreamRecord]:
    """The publishers of one camera, or of all: origins, and relays where there is no origin. Pure.

    Of all cameras of a stage, relays are taken only where nobody is an origin of any: topics go to every
    publisher that a subscriber is connected to, so that a relay of one camera would give all others twice.
    Entries that are malformed, as a newer or broken writer may leave them, are passed over.
    """
    streams: dict[tuple[str, str | None], list[StreamRecord]] = {}
    for entry in entries:
        try:
            record = StreamRecord.of(entry)
        except RegistryError:
            continue
        if camera in (None, record.camera) and record.node != but_not:
            streams.setdefault((record.stage, camera), []).append(record)
    return [
        record for records in streams.values() for record in [r for r in records if not r.relay] or records
    ]


def follow_streams(
    scope: Scope,
    registry: Registry,
    subscriber: Subscriber,
    stage: str,
    camera: str | None = None,
    *,
    view: View | None = View.FRAME,
    views: Views | None = None,
    inbox: Inbox | None = None,
    but_not: str = "",
    on_stream: Callable[[StreamRecord], None] = lambda record: None,
    clock: Clock = SYSTEM_CLOCK,
) -> None:
    """Keep `subscriber` connected to whoever publishes `stage`: one camera, or every one that ever appears.

    view:   what to take; None chooses for each camera, and takes pixels in shared memory from its host, for
            an `inbox` of policy `latest`
    views:  where that is kept, for who reads such pixels
    Lossless streams are consumed as such where `inbox` does so.
    `but_not` names a node whose own streams are left out; `on_stream` is called with a stream of each camera
    that is found, or found to be of another kind, before the subscriber connects to it.
    """
    check_name("stage", stage)
    views = views or Views(subscriber, stage)
    chooses, with_images = view in (None, View.SHM), view in (None, View.SHM, View.FRAME)
    fresh = inbox is not None and inbox.policy is Policy.LATEST
    if view is not None and not chooses:
        views.take(camera, view)
    connected: set[str] = set()
    known: set[tuple[str, bool, int]] = set()
    consumed: dict[str, int] = {}  # partitions, by camera

    def meet(record: StreamRecord) -> None:
        on_stream(record)
        if record.lossless and with_images and inbox is not None and inbox.consumes:
            consume(inbox, record.camera, record.partitions)

    def consume(inbox: Inbox, camera: str, partitions: int) -> None:
        for number in range(partitions):
            room = partial(inbox.room, stage, camera, number, partitions)
            subscriber.consume(Topic(View.FRAME, stage, camera, number), room)
        for number in range(partitions, consumed.get(camera, 0)):
            subscriber.release(Topic(View.FRAME, stage, camera, number))
        consumed[camera] = partitions

    def choose_views(found: list[StreamRecord]) -> None:
        cameras = {record.camera for record in found}
        for each in cameras:
            records = [record for record in found if record.camera == each]
            views.take(each, choose(view, records, this_place(), fresh=fresh))
        for gone in set(views.cameras()) - cameras:
            views.leave(gone)

    def on_change(entries: Mapping[str, Entry]) -> None:
        found = publishers(entries.values(), camera, but_not)
        kinds = {(record.camera, record.lossless, record.partitions): record for record in found}
        for new in kinds.keys() - known:
            meet(kinds[new])
        known.clear()
        known.update(kinds)
        if chooses:
            choose_views(found)
        wanted = {record.reach(this_place()) for record in found}
        for endpoint in wanted - connected:
            subscriber.connect(endpoint)
        for endpoint in connected - wanted:
            subscriber.disconnect(endpoint)
        connected.clear()
        connected.update(wanted)

    follow(scope, registry, f"streams/{stage}/", on_change, clock=clock)
