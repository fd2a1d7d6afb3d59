"""Topics: `VIEW/STAGE/CAMERA/PARTITION/`, always with the closing slash, because ZeroMQ matches prefixes."""

import re
from dataclasses import dataclass
from enum import StrEnum

from mesh.codec import Buffer
from mesh.wire.fields import refuse

_TOPIC = re.compile(
    rb"(frame|meta|preview)/([a-z0-9][a-z0-9_-]{0,62})/([a-z0-9][a-z0-9_-]{0,62})/(0|[1-9][0-9]{0,3})/\Z"
)


class View(StrEnum):
    """The form in which a subscriber asks for a frame."""

    FRAME = "frame"  # the stream's own codec
    META = "meta"  # identity and annotations, no image
    PREVIEW = "preview"  # a small JPEG at a low rate


@dataclass(frozen=True, slots=True)
class Topic:
    """`VIEW/STAGE/CAMERA/PARTITION/`."""

    view: View
    stage: str
    camera: str
    partition: int = 0

    def __bytes__(self) -> bytes:
        return f"{self.view}/{self.stage}/{self.camera}/{self.partition}/".encode()


def topic_prefix(view: View, stage: str, camera: str | None = None) -> bytes:
    """What to subscribe to: one camera's topics, or those of all cameras of a stage."""
    return f"{view}/{stage}/{camera}/".encode() if camera else f"{view}/{stage}/".encode()


def parse_topic(part: Buffer) -> Topic:
    """Raises `WireError`."""
    view, stage, camera, partition = check_topic(part).groups()
    return Topic(View(str(view, "ascii")), str(stage, "ascii"), str(camera, "ascii"), int(partition))


def check_topic(part: Buffer) -> re.Match[bytes]:
    """The parts of a topic. Raises `WireError`."""
    match = _TOPIC.match(part) if len(part) <= 256 else None
    if match is None:
        refuse("topic is not VIEW/STAGE/CAMERA/PARTITION/")
    return match
