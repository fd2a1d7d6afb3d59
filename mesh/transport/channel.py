"""What a publisher knows of each stream that it publishes: its topics, who asks for them, and their numbers.

Pure. Rules kept here: whether a topic is asked for is worked out when somebody subscribes or leaves, and not
with every frame; numbers go on for each of the newest few boots; `frame` and `shm` count as one.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from mesh.transport.credit import Flow
from mesh.transport.sharing import Sharing
from mesh.wire import Topic, View

BOOTS_KEPT = 8


@dataclass(slots=True)
class Channel:
    """One topic. `asking` counts the prefixes subscribed to that it begins with."""

    topic: Topic
    name: bytes
    asking: int = 0
    offered: int = 0
    sent: int = 0
    numbers: dict[int, int] = field(default_factory=dict)  # the next `n`, by boot

    def next(self, boot: int) -> int:
        """The next number of a boot. Several boots may take turns, as when results that waited for long are
        forwarded between new ones; those of the newest few go on."""
        number = self.numbers.get(boot)
        if number is None:
            number = self._begin(boot)
        return number

    def take(self, boot: int) -> int:
        """The next number of a boot, for a frame that is offered now."""
        number = self.next(boot)
        self.numbers[boot] = number + 1
        self.offered += 1
        return number

    def _begin(self, boot: int) -> int:
        self.numbers[boot] = 0
        for old in sorted(self.numbers)[:-BOOTS_KEPT]:
            if old != boot:
                del self.numbers[old]
        return 0


class Channels:
    """The channels of one stage and camera, one for each view, and its flow where it is lossless."""

    __slots__ = ("_all", "flow", "frame", "meta", "preview", "preview_due", "sharing", "shm")

    def __init__(self, stage: str, camera: str, prefixes: Iterable[bytes]) -> None:
        self._all = {view: _channel(Topic(view, stage, camera)) for view in View}
        self.frame, self.meta, self.preview, self.shm = self._all.values()
        self.shm.numbers = self.frame.numbers  # one number a frame, whichever of the two a subscriber takes
        self.sharing: Sharing | None = None
        self.flow: Flow | None = None
        self.preview_due = float("-inf")  # monotonic seconds
        for prefix in prefixes:
            self.subscribed(prefix)

    def __getitem__(self, view: View) -> Channel:
        return self._all[view]

    def __iter__(self) -> Iterator[Channel]:
        return iter(self._all.values())

    @property
    def taken_in(self) -> bool:
        """Whether somebody takes the frames in: as a consumer, where the stream is lossless."""
        if self.flow is not None:
            return bool(self.flow.consumers)
        return self.frame.asking + self.shm.asking > 0

    def subscribed(self, prefix: bytes, change: int = 1) -> None:
        """Somebody now asks for what begins with `prefix`; with a `change` of -1, nobody does any more."""
        for channel in self._all.values():
            if channel.name.startswith(prefix):
                channel.asking += change


def _channel(topic: Topic) -> Channel:
    return Channel(topic, bytes(topic))
