"""Who serves a group: a node's report on a stream, how that node is now, and who took whose place. Pure.

Rules kept here: a node that has said its last word has left, one that stands in the registry runs, and
whoever else reported was killed; a report without spans, as older nodes make it, is taken for one span of
the numbers that it knows of.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from mesh.registry.records import GroupCount, NodeRecord, NodeState, StatsRecord

BEFORE_JOIN = "before_join"
ELSEWHERE = "elsewhere"
DIED = "died"
LEFT = "left"
FORGOTTEN = "forgotten"

UNTOLD_NS = 2 * 10**9  # a killed node lived on for a second at most after its last report; clocks differ
KEPT_NS = 600 * 10**9  # how long the report of a node that is gone can be read, at least

NOT_TAKEN = frozenset({BEFORE_JOIN, ELSEWHERE})  # what lies outside of a member's spans

Span = tuple[int, int, int, int]  # partition, publisher's run, first, end (exclusive)


class Life(Enum):
    """How a node that reported is."""

    RUNNING = "running"
    LEFT = "left"  # properly: its counters are complete
    DIED = "died"


@dataclass(frozen=True, slots=True)
class Member:
    """One node's report on a stream, and how that node is now."""

    node: str
    run: int  # when it started
    at_ns: int  # when it reported
    life: Life
    count: GroupCount

    @property
    def spans(self) -> Sequence[Span]:
        """The numbers that it has accounted for."""
        count = self.count
        if count.spans or ELSEWHERE in count.dropped or not count.offered:
            return count.spans
        return ((0, 0, count.dropped.get(BEFORE_JOIN, 0), count.offered),)


def life(report: StatsRecord, nodes: Sequence[NodeRecord] | None) -> Life:
    """How the node of a report is, by the nodes that stand in the registry (None: they are not known)."""
    if report.final:
        return Life.LEFT
    if nodes is None:
        return Life.RUNNING
    for node in nodes:
        if node.id == report.node and report.run in (0, node.started_ns):
            return Life.LEFT if node.state is NodeState.ENDED else Life.RUNNING
    return Life.DIED


def last_of(members: Iterable[Member]) -> Member:
    """Whoever runs, else whoever reported last."""
    return max(members, key=lambda m: (m.life is Life.RUNNING, m.at_ns, m.run))


def may_follow(member: Member, former: Member) -> bool:
    """Whether a node can have taken the place of another: that one had made its last report by then."""
    return former.life is not Life.RUNNING and former.at_ns <= member.run


def lines(members: Iterable[Member]) -> list[list[Member]]:
    """Who succeeded whom, where each takes in all for itself: a node that started after another had made its
    last report follows that one, rather one of its own name. Nodes that worked at the same time are in lines
    of their own."""
    found: list[list[Member]] = []
    for member in sorted(members, key=lambda m: (m.run, m.node)):
        free = [line for line in found if may_follow(member, line[-1])]
        free.sort(key=lambda line: line[-1].node != member.node)
        if free:
            free[0].append(member)
        else:
            found.append([member])
    return found
