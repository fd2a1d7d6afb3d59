"""Topics: `VIEW/STAGE/CAMERA/PARTITION/`, always with the closing slash, because ZeroMQ matches prefixes."""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import NoReturn

from mesh.codec import Buffer
from mesh.wire.fields import refuse

_TOPIC = re.compile(
    rb"(frame|meta|preview|shm)/([a-z0-9][a-z0-9_-]{0,62})/([a-z0-9][a-z0-9_-]{0,62})/(0|[1-9][0-9]{0,3})/\Z"
)


class View(StrEnum):
    """The form in which a subscriber asks for a frame."""

    FRAME = "frame"  # the stream's own codec
    META = "meta"  # identity and annotations, no image
    PREVIEW = "preview"  # a small JPEG at a low rate
    SHM = "shm"  # pixels in shared memory, where there are any; else as `frame`


MAX_TOPIC = 256
TOPICS_KEPT = 1024


@dataclass(frozen=True)  # no slots: it keeps its bytes
class Topic:
    """`VIEW/STAGE/CAMERA/PARTITION/`."""

    view: View
    stage: str
    camera: str
    partition: int = 0

    def __bytes__(self) -> bytes:
        return self._packed

    @cached_property
    def checked(self) -> bytes:
        """Its bytes, once they are known to be what a receiver takes. Raises `WireError`."""
        _check_topic(self._packed)
        return self._packed

    @cached_property
    def _packed(self) -> bytes:
        return f"{self.view}/{self.stage}/{self.camera}/{self.partition}/".encode()


@lru_cache(TOPICS_KEPT)
def frame_topic(stage: str, camera: str, partition: int = 0) -> Topic:
    """The topic of a stream's frames; those that were asked for lately are kept, with their bytes."""
    return Topic(View.FRAME, stage, camera, partition)


def topic_prefix(view: View, stage: str, camera: str | None = None, partition: int | None = None) -> bytes:
    """What to subscribe to: all cameras of a stage, all partitions of one, or a single partition."""
    named = (part for part in (view, stage, camera, partition) if part is not None)
    return "".join(f"{part}/" for part in named).encode()


def parse_topic(part: Buffer) -> Topic:
    """Raises `WireError`. The topics that came lately are kept: they come with every frame."""
    if len(part) > MAX_TOPIC:
        _refuse_topic()
    return _parsed(bytes(part))


@lru_cache(TOPICS_KEPT)
def _parsed(part: bytes) -> Topic:
    view, stage, camera, partition = _check_topic(part).groups()
    return Topic(View(str(view, "ascii")), str(stage, "ascii"), str(camera, "ascii"), int(partition))


def _check_topic(part: bytes) -> re.Match[bytes]:
    match = _TOPIC.match(part) if len(part) <= MAX_TOPIC else None
    return match or _refuse_topic()


def _refuse_topic() -> NoReturn:
    refuse("topic is not VIEW/STAGE/CAMERA/PARTITION/")
