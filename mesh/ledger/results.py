"""What became of a group's results, over all nodes that made some or carried them on. Pure.

Rules kept here: a result is counted once, also where a spool carried it from one node to the next (a node
that finds the spools of several carries the counts of all); what a killed node had in memory only is `died`;
what it had in a spool is `waiting`, until somebody carries it on.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from mesh.ledger.members import DIED, Life, Member, may_follow


@dataclass(slots=True)
class Results:
    """`results` = `delivered` + `undelivered` + `waiting`."""

    results: int = 0
    delivered: int = 0
    undelivered: Counter[str] = field(default_factory=Counter)
    waiting: int = 0

    def add(self, other: "Results") -> None:
        self.results += other.results
        self.delivered += other.delivered
        self.undelivered += other.undelivered
        self.waiting += other.waiting


@dataclass(frozen=True, slots=True)
class _Line:
    """The results of nodes that carried on one another's, up to the `last` of these."""

    last: Member
    sum: Results
    pushes: bool
    broken: bool  # a node of it no longer runs


def results_of(members: Iterable[Member]) -> Results:
    """What became of the results of a group's nodes."""
    found: list[_Line] = []
    for member in sorted(members, key=lambda m: (m.run, m.node)):
        former = _carried_by(member, [line for line in found if may_follow(member, line.last)])
        found = [line for line in found if line not in former]
        found.append(_extended(former, member))
    total = Results()
    for line in found:
        _name_the_rest(line)
        total.add(line.sum)
    return total


def _carried_by(member: Member, free: Sequence[_Line]) -> list[_Line]:
    """The lines whose spools a node has found: of its own name rather, else the one that made about as many
    as it carries; and further ones, while most of what they made must be in what it carries."""
    carried = member.count.carried.results
    if not carried:
        return []
    taken: list[_Line] = []
    free = sorted(free, key=lambda f: (f.last.node != member.node, abs(f.sum.results - carried)))
    rest = carried
    for line in free:
        if not taken or 2 * rest > line.sum.results > 0:
            taken.append(line)
            rest -= line.sum.results
    return taken


def _extended(former: Sequence[_Line], member: Member) -> _Line:
    count, carried = member.count, member.count.carried
    so_far = Results()
    for line in former:
        so_far.add(line.sum)
    before = Counter(carried.undelivered)
    made = Results(
        # What its spool knows may be newer than the last report of whoever filled it, or older.
        results=max(so_far.results, carried.results) + count.results - carried.results,
        delivered=max(so_far.delivered, carried.delivered) + count.delivered - carried.delivered,
        undelivered=(so_far.undelivered | before) + (Counter(count.undelivered) - before),
        waiting=count.waiting if member.life is Life.RUNNING else count.spooled,
    )
    return _Line(
        last=member,
        sum=made,
        pushes=count.pushes or any(line.pushes for line in former),
        broken=member.life is not Life.RUNNING or bool(former),
    )


def _name_the_rest(line: _Line) -> None:
    """What a node had in memory only is gone with it."""
    found = line.sum
    broken = found.undelivered.pop(DIED, 0) or line.broken
    rest = found.results - found.delivered - found.undelivered.total() - found.waiting
    if line.pushes and broken and rest > 0:
        found.undelivered[DIED] = rest
    found.undelivered = +found.undelivered
