"""One consumer group's share of a stream, over the nodes that served it one after another. Pure.

A node that was killed leaves its last counters behind (they are a second old at most); the node that takes
its place begins with `before_join`: what was published before it came. Laid end to end:

    |-- first: processed, dropped, lost, in flight --|...|-- second: processed, dropped, lost, in flight --|
    0                                            reached  joined                                      offered

Rules kept here: what a killed node had in flight, and what passed between its last report and its successor
(it may have taken them, or nobody did), is `died`; what passed after a node had left properly is `left`;
results are counted once, also where a spool carried them from one node to the next.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from mesh.registry.records import GroupCount, NodeRecord, NodeState, ResultCount, StatsRecord

BEFORE_JOIN = "before_join"
DIED = "died"
LEFT = "left"


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


def lines(members: Iterable[Member]) -> list[list[Member]]:
    """Who succeeded whom: a node that started after another had made its last report follows that one,
    rather one of its own name. Nodes that worked at the same time are in lines of their own."""
    found: list[list[Member]] = []
    for member in sorted(members, key=lambda m: (m.run, m.node)):
        free = [line for line in found if line[-1].life is not Life.RUNNING and line[-1].at_ns <= member.run]
        free.sort(key=lambda line: line[-1].node != member.node)
        if free:
            free[0].append(member)
        else:
            found.append([member])
    return found


@dataclass(slots=True)
class Share:
    """A line's counts, added up. `gone`: nobody of it runs, and its last node was killed."""

    offered: int = 0
    processed: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    in_flight: int = 0
    ended: bool = False
    gone: bool = False
    results: int = 0
    delivered: int = 0
    undelivered: Counter[str] = field(default_factory=Counter)
    waiting: int = 0

    @property
    def unknown(self) -> int:
        """Frames that were offered and are in no count."""
        return self.offered - self.processed - self.dropped.total() - self.lost - self.in_flight


def added(line: Sequence[Member], published: int = 0, *, source_ended: bool = False) -> Share:
    """A line's share of a stream of which `published` frames are known."""
    share = Share(gone=line[-1].life is Life.DIED)
    served = [member for member in line if member.count.offered] or [line[-1]]
    _add_frames(share, served)
    share.offered = max(published, *(member.count.offered for member in line))
    _name_the_rest(share, served, source_ended)
    _add_results(share, line)
    return share


def _add_frames(share: Share, line: Sequence[Member]) -> None:
    reached, between = 0, BEFORE_JOIN
    for member in line:
        count = member.count
        share.dropped[between] += max(0, count.dropped.get(BEFORE_JOIN, 0) - reached)
        share.dropped.update({cause: n for cause, n in count.dropped.items() if cause != BEFORE_JOIN})
        share.processed += count.processed
        share.lost += count.lost
        if member.life is Life.RUNNING:
            share.in_flight += count.in_flight
        else:
            share.dropped[DIED] += count.in_flight
        reached = max(reached, count.offered)
        between = DIED if member.life is Life.DIED else LEFT
    share.ended = line[-1].count.ended


def _name_the_rest(share: Share, line: Sequence[Member], source_ended: bool) -> None:
    """Say where the frames are that no count has: with a node that died, with nobody, or on their way.

    Once a stream has ended for a node that lives, and none before it died, nothing is left to be named so.
    """
    last = line[-1].life
    if last is not Life.RUNNING and not share.ended:
        share.ended = source_ended
        share.dropped[DIED if last is Life.DIED else LEFT] += max(0, share.unknown)
    elif any(member.life is Life.DIED for member in line) and share.ended:
        share.dropped[DIED] += max(0, share.unknown)
    elif not share.ended:
        share.in_flight += share.unknown
    share.dropped = +share.dropped


def _add_results(share: Share, line: Sequence[Member]) -> None:
    for member in line:
        count, carried = member.count, member.count.carried
        share.results = max(share.results, carried.results) + count.results - carried.results
        share.delivered = max(share.delivered, carried.delivered) + count.delivered - carried.delivered
        share.undelivered = _merged(share.undelivered, carried, count)
        left_before = 0 if carried.results else share.waiting
        share.waiting = left_before + (count.waiting if member.life is Life.RUNNING else count.spooled)
    pushes = any(member.count.pushes for member in line)
    died = share.undelivered.pop(DIED, 0) or any(member.life is not Life.RUNNING for member in line)
    rest = share.results - share.delivered - share.undelivered.total() - share.waiting
    if pushes and died and rest > 0:
        share.undelivered[DIED] = rest
    share.undelivered = +share.undelivered


def _merged(so_far: Counter[str], carried: ResultCount, count: GroupCount) -> Counter[str]:
    before = Counter(carried.undelivered)
    return (so_far | before) + (Counter(count.undelivered) - before)
