"""What the members of a group have taken in of a stream: once, several times, or not at all. Pure.

The frames of a stream are numbered by partition and publisher's run, from 0. Each member says which of these
numbers it has accounted for, so that members may work at the same time, hand over, and come back:

    one    |=========|                  |====|
    two           |=============|
           0      ^--^          ^-------^
               overlap          hole

Rules kept here: a number is offered once, whoever took it; what several took is `overlap`; a hole before
the first span of a publisher's run is `before_join`; a later one is named by whoever has the span that ends
there.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from mesh.ledger.members import BEFORE_JOIN, DIED, LEFT, Life, Member

OPEN = "open"  # behind a member that runs: another one should have it


@dataclass(slots=True)
class Cover:
    """What is known of the numbers of a stream.

    reached:  how many there are, as far as the members know
    overlap:  how many times one was taken in again, by another member
    holes:    those that no member knows of, by cause; `OPEN` where none is known
    """

    reached: int = 0
    overlap: int = 0
    holes: Counter[str] = field(default_factory=Counter)


def covered(members: Iterable[Member]) -> Cover:
    """Lay the spans of a group's members over one another."""
    runs: dict[tuple[int, int], list[tuple[int, int, Life]]] = defaultdict(list)
    for member in members:
        for partition, run, first, end in member.spans:
            runs[partition, run].append((first, end, member.life))
    cover = Cover()
    for spans in runs.values():
        _sweep(cover, spans)
    return cover


def _sweep(cover: Cover, spans: list[tuple[int, int, Life]]) -> None:
    """Add one publisher's run of one partition."""
    reached = 0
    behind: set[Life] = set()  # of whoever reached that far
    for first, end, life in sorted(spans, key=lambda span: span[:2]):
        if first > reached:
            cover.holes[_cause(behind)] += first - reached
        else:
            cover.overlap += min(end, reached) - first
        if end >= reached:
            behind = {life} if end > reached else behind | {life}
        reached = max(end, reached)
    cover.reached += reached


def _cause(behind: set[Life]) -> str:
    if not behind:
        return BEFORE_JOIN
    if Life.DIED in behind:
        return DIED
    return LEFT if Life.LEFT in behind else OPEN
