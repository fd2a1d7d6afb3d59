"""What a publisher knows of each stream that it publishes: its topics, who asks for them, and their numbers.

Pure. Rules kept here: whether a topic is asked for is worked out when somebody subscribes or leaves, and not
with every frame; numbers go on for each of the newest few boots; `frame` and `shm` count as one; a camera has
one preview, and one ring in shared memory, however many partitions it has.
"""

from collections.abc import Iterator, Set
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


class Camera:
    """What the partitions of one camera at one stage have in common."""

    __slots__ = ("parts", "preview", "preview_due", "sharing")

    def __init__(self, stage: str, camera: str, prefixes: Set[bytes]) -> None:
        self.preview = _channel(Topic(View.PREVIEW, stage, camera), prefixes)
        self.preview_due = float("-inf")  # monotonic seconds
        self.sharing: Sharing | None = None
        self.parts: dict[int, Channels] = {}

    @property
    def is_shared(self) -> bool:
        """Whether somebody asks for pixels in shared memory."""
        return any(part.shm.asking for part in self.parts.values())

    def has_ended(self, boot: int) -> bool:
        """Whether that was said in each partition in which there were frames."""
        return all(part.ended == boot for part in self.parts.values() if part.frame.offered)


class Channels:
    """The channels of one partition of a camera: one for each view that it has to itself, and its flow where
    it is lossless."""

    __slots__ = ("_all", "camera", "ended", "flow", "frame", "meta", "shm")

    def __init__(self, camera: Camera, stage: str, name: str, partition: int, prefixes: Set[bytes]) -> None:
        views = (View.FRAME, View.META, View.SHM)
        self._all = tuple(_channel(Topic(view, stage, name, partition), prefixes) for view in views)
        self.frame, self.meta, self.shm = self._all
        self.shm.numbers = self.frame.numbers  # one number a frame, whichever of the two a subscriber takes
        self.camera = camera
        self.flow: Flow | None = None
        self.ended: int | None = None  # the boot whose end was said last

    def __iter__(self) -> Iterator[Channel]:
        return iter(self._all)

    @property
    def taken_in(self) -> bool:
        """Whether somebody takes the frames in: as a consumer, where the stream is lossless."""
        if self.flow is not None:
            return bool(self.flow.consumers)
        return self.frame.asking + self.shm.asking > 0


class Directory:
    """Every channel of a publisher, and the prefixes that are subscribed to."""

    def __init__(self) -> None:
        self.channels: dict[bytes, Channel] = {}  # by name
        self.cameras: dict[tuple[str, str], Camera] = {}  # by stage and name
        self._parts: dict[tuple[str, str, int], Channels] = {}
        self._prefixes: set[bytes] = set()

    def __getitem__(self, key: tuple[str, str, int]) -> Channels:
        """Those of a stage, camera and partition."""
        part = self._parts.get(key)
        return part if part is not None else self._begin(*key)

    def partitions(self, stage: str, camera: str, count: int = 1) -> list[Channels]:
        """All that a camera has, and `count` of them at least."""
        known = self.cameras.get((stage, camera))
        numbers = {*range(count), *(known.parts if known is not None else ())}
        return [self[stage, camera, number] for number in sorted(numbers)]

    def subscribed(self, prefix: bytes, subscribed: bool) -> None:
        """Somebody now asks for what begins with `prefix`, or nobody does any more."""
        if subscribed == (prefix in self._prefixes):
            return
        (self._prefixes.add if subscribed else self._prefixes.discard)(prefix)
        one = self.channels.get(prefix)  # a whole topic is no other one's beginning
        asked = [c for c in self.channels.values() if c.name.startswith(prefix)] if one is None else [one]
        for channel in asked:
            channel.asking += 1 if subscribed else -1

    def _begin(self, stage: str, name: str, partition: int) -> Channels:
        camera = self.cameras.get((stage, name))
        if camera is None:
            camera = self.cameras[stage, name] = Camera(stage, name, self._prefixes)
            self.channels[camera.preview.name] = camera.preview
        part = Channels(camera, stage, name, partition, self._prefixes)
        self._parts[stage, name, partition] = camera.parts[partition] = part
        self.channels.update((channel.name, channel) for channel in part)
        return part


def _channel(topic: Topic, prefixes: Set[bytes]) -> Channel:
    name = bytes(topic)
    return Channel(topic, name, asking=sum(name[:length] in prefixes for length in range(len(name) + 1)))
