"""A result on its way to a collector, and what may become of it. Values, for the window and the spool."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any

NEVER = float("-inf")

Stream = tuple[str, str, int]  # stage, camera, boot


class GiveUp(StrEnum):
    """Why a result was not delivered."""

    OVERFLOW = "overflow"  # memory was full, and there was no spool or it was too slow
    SPOOL_FULL = "spool_full"  # it was the oldest in a spool that was full
    SPOOL_ERROR = "spool_error"  # memory was full and the disk refused it
    DIED = "died"  # it was in the memory of a node that was killed
    CLOSED = "closed"  # the sender ended before a collector acknowledged it, and had no spool


class Place(Enum):
    MEMORY = "memory"
    MOVING = "moving"  # being written to the spool
    SPOOLED = "spooled"  # read back from the spool, where it still is


@dataclass(slots=True, eq=False)
class Result:
    """One numbered message; `sent_to` and `sent_at` say where and when (monotonic) it went last."""

    number: int
    stream: Stream
    frames: int  # 1, or 0 for the end of a stream
    parts: Sequence[Any]
    size: int
    sent_to: str | None = None
    sent_at: float = NEVER
    resent: int = 0  # how often it was sent after the first time
    order: int = 0  # among what was sent to its collector
    overtaken_at: float | None = None  # when one that was sent after it was acknowledged
    place: Place = Place.MEMORY
    acknowledged: bool = False  # while it was moving
    cause: GiveUp | None = None

    @property
    def was_sent(self) -> bool:
        """Whether it was ever sent, so that it may have arrived."""
        return self.sent_at > NEVER

    def __lt__(self, other: "Result") -> bool:
        return self.number < other.number


@dataclass(frozen=True, slots=True)
class Want:
    """What a collector could be sent now and is on disk: the oldest of `streams`, from number `first` on."""

    streams: frozenset[Stream]
    first: int
    skip: frozenset[int]
    bytes: int
    results: int
