"""What a process node takes in: some partitions of some cameras of its input stage.

Rules kept here: it is connected to the publishers of what it takes, and to nobody else; a partition is
entered before it is subscribed to, and left before it is unsubscribed from; what a publisher says about a
stream that is taken (that it is lossless, where it is, in how many partitions it comes) is followed. Not
thread-safe, but for `give_up`.
"""

from collections.abc import Iterable, Sequence
from functools import partial

from mesh.inbox import Inbox, Policy
from mesh.membership.ownership import Key, Mark, parts_of
from mesh.place import this_place
from mesh.registry.records import StreamRecord
from mesh.transport import Subscriber
from mesh.views import Views, choose
from mesh.wire import Topic, View


class Intake:
    """Partitions of `stage`, taken into `inbox` through `subscriber`.

    view:  what to take; None chooses for each camera, see `mesh.views`
    """

    def __init__(self, subscriber: Subscriber, inbox: Inbox, stage: str, view: View | None) -> None:
        self._subscriber = subscriber
        self._inbox = inbox
        self._stage = stage
        self._view = view
        self._views = Views(subscriber, stage)
        self._streams: dict[str, list[StreamRecord]] = {}  # by camera
        self._taken: dict[str, set[int]] = {}  # partitions, by camera
        self._connected: set[str] = set()
        self._consumed: dict[Topic, int] = {}  # and of how many partitions it is one

    def __repr__(self) -> str:
        return f"<Intake of {self._stage}: {self._taken}>"

    @property
    def partitions(self) -> dict[str, int]:
        """How many partitions each camera has that is published."""
        return {camera: _most(records) for camera, records in self._streams.items()}

    @property
    def cameras(self) -> dict[str, StreamRecord]:
        """A publisher's record of each camera of which something is taken."""
        return {camera: self._streams[camera][0] for camera in self._taken if self._streams.get(camera)}

    def publishers(self, camera: str) -> Sequence[StreamRecord]:
        """Who publishes a camera."""
        return self._streams.get(camera, ())

    def meet(self, publishers: Iterable[StreamRecord]) -> None:
        """These publish the stage now. Call `adjust` when all is told."""
        self._streams = {}
        for record in publishers:
            self._streams.setdefault(record.camera, []).append(record)

    def take(self, key: Key) -> None:
        """Take a partition. Call `adjust` when all is told."""
        camera, number = parts_of(key)
        self._inbox.enter(self._stage, camera, number)
        self._taken.setdefault(camera, set()).add(number)

    def leave(self, key: Key) -> None:
        """Take a partition no more; what has come of it is still worked on."""
        camera, number = parts_of(key)
        self._inbox.leave(self._stage, camera, number)
        self._taken[camera].discard(number)
        if not self._taken[camera]:
            del self._taken[camera]
        self._views.leave(camera, number)

    def reached(self, key: Key) -> Mark | None:
        """The number that is expected next of a partition."""
        return self._inbox.reached(self._stage, *parts_of(key))

    def is_drained(self, key: Key) -> bool:
        """Whether all that came of a partition has been worked on."""
        return self._inbox.is_drained(self._stage, *parts_of(key))

    def adjust(self) -> None:
        """Bring subscriptions, credits and connections in line with what is taken, and who publishes it."""
        known = {camera: self._streams[camera] for camera in self._taken if camera in self._streams}
        self._consume(
            {topic: of for camera, records in known.items() for topic, of in self._flows(camera, records)}
        )
        for camera, records in known.items():
            view = choose(self._view, records, this_place(), fresh=self._inbox.policy is Policy.LATEST)
            for number in self._taken[camera]:
                self._views.take(camera, view, number)
        self._connect({record.reach(this_place()) for records in known.values() for record in records})

    def give_up(self, camera: str) -> None:
        """The pixels of this camera in shared memory cannot be read here."""
        self._views.give_up(camera)

    def _flows(self, camera: str, records: Sequence[StreamRecord]) -> list[tuple[Topic, int]]:
        """What is consumed of a camera, where it is lossless."""
        if not any(record.lossless for record in records):
            return []
        return [(Topic(View.FRAME, self._stage, camera, n), _most(records)) for n in self._taken[camera]]

    def _consume(self, wanted: dict[Topic, int]) -> None:
        for topic, of in wanted.items() - self._consumed.items():
            room = partial(self._inbox.room, topic.stage, topic.camera, topic.partition, of)
            self._subscriber.consume(topic, room)
        for topic in self._consumed.keys() - wanted.keys():
            self._subscriber.release(topic)
        self._consumed = wanted

    def _connect(self, wanted: set[str]) -> None:
        for endpoint in wanted - self._connected:
            self._subscriber.connect(endpoint)
        for endpoint in self._connected - wanted:
            self._subscriber.disconnect(endpoint)
        self._connected = wanted


def _most(records: Sequence[StreamRecord]) -> int:
    """Publishers of one camera may differ for a while, as when one starts anew with more partitions."""
    return max(record.partitions for record in records)
