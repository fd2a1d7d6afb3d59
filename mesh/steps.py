"""Steps of a capture device's clock, as frames carry them. Pure.

A clock that is set tells other times from then on: NTP at the start, a person, daylight saving where a clock
does not run on UTC. Frames that are captured soon after say so in two attributes:

    clock_step_s     by how many seconds it was set forward; less than 0: back
    clock_step_seq   the number of the first frame that was captured after that

Rules kept here: what another program put under these names and is no step is none.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SECONDS, SEQ = "clock_step_s", "clock_step_seq"
LABEL, BY = "clock_step", "clock"  # of the event in an index
MOST_S = 1e10


@dataclass(frozen=True, slots=True)
class Step:
    """A clock was set forward by so many seconds before the frame `seq` was captured."""

    seconds: float
    seq: int

    @property
    def attributes(self) -> dict[str, float | int]:
        return {SECONDS: self.seconds, SEQ: self.seq}


def step_in(attributes: Mapping[str, Any]) -> Step | None:
    """What a frame's attributes say of a step."""
    if SECONDS not in attributes:
        return None
    seconds, seq = attributes[SECONDS], attributes.get(SEQ)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or type(seq) is not int or seq < 0:
        return None
    return Step(float(seconds), seq) if abs(seconds) <= MOST_S else None  # no NaN, which is no number
