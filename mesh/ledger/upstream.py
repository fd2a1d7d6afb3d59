"""What the publishers of a stream know of it: how much there is, and whether more will come. Pure.

Rules kept here: each publisher's numbers are its own, so what it counted is set against what its subscribers
have reached of its run; what was counted by a node whose run is not known goes by its number 0.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

NOT_KNOWN = 0  # the run of a publisher that does not tell it


@dataclass(frozen=True, slots=True)
class Upstream:
    """The publishers of a stream.

    published:  the frames that they counted, by run; empty where none of them has reported
    killed:     the runs of those that were killed: they may have published more, and what they counted may
                not have got out
    ended:      no more will come
    gone:       nobody of them runs any more, and one was killed: nobody will say the end
    several:    there are several: one that gives a partition up says no end there
    """

    published: Mapping[int, int] = field(default_factory=dict)
    killed: frozenset[int] = frozenset()
    ended: bool = False
    gone: bool = False
    several: bool = False

    def tails(self, reached: Mapping[int, int]) -> Counter[int]:
        """What was published, by run, behind what its subscribers have `reached`.

        What they have of runs that nobody here published came from a relay, which numbers anew.
        """
        rest = Counter(self.published)
        for run, frames in reached.items():
            rest[run if run in self.published else NOT_KNOWN] -= frames
        relayed = max(0, -rest[NOT_KNOWN])
        for run in +rest:
            taken = min(rest[run], relayed)
            rest[run] -= taken
            relayed -= taken
        return +rest
