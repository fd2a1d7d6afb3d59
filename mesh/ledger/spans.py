"""What the members of a group have taken in of a stream: once, several times, or not at all. Pure.

The frames of a stream are numbered by partition and publisher's run, from 0. Each member says which of these
numbers it has accounted for, so that members may work at the same time, hand over, and come back:

    one    |=========|                  |====|
    two           |=============|
           0      ^--^          ^-------^
               overlap          hole

Rules kept here: a number is offered once, whoever took it; what several took is `overlap`; a hole before
the first span of a publisher's run is `before_join`; a later one is named by whoever has the span that ends
there, or by a node that was killed after that one had left: it may have had it without having said so yet.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from mesh.ledger.members import BEFORE_JOIN, DIED, LEFT, Life, Member

OPEN = "open"  # behind a member that runs: another one should have it

_Taken = tuple[int, int, Member]  # first, end, by whom


@dataclass(slots=True)
class Cover:
    """What is known of the numbers of a stream.

    reached:  how many there are, as far as the members know, by partition and publisher's run
    overlap:  how many times one was taken in again, by another member
    holes:    those that no member knows of, by cause; `OPEN` where none is known
    """

    reached: Counter[tuple[int, int]] = field(default_factory=Counter)
    overlap: int = 0
    holes: Counter[str] = field(default_factory=Counter)

    def by_run(self) -> Counter[int]:
        """How much was reached of each publisher's run."""
        found: Counter[int] = Counter()
        for (_, run), reached in self.reached.items():
            found[run] += reached
        return found

    def is_whole(self, run: int) -> bool:
        """Whether a publisher's run was heard in every partition that there is."""
        return all((partition, run) in self.reached for partition, _ in self.reached)


def covered(members: Iterable[Member], died_ns: int = 0) -> Cover:
    """Lay the spans of a group's members over one another. `died_ns` is until when a node may have lived that
    was killed, as far as that is known."""
    runs: dict[tuple[int, int], list[_Taken]] = defaultdict(list)
    for member in members:
        for partition, run, first, end in member.spans:
            runs[partition, run].append((first, end, member))
    cover = Cover()
    for key, spans in runs.items():
        cover.reached[key] = _sweep(cover, spans, died_ns)
    return cover


def _sweep(cover: Cover, spans: list[_Taken], died_ns: int) -> int:
    """Add one publisher's run of one partition; how far it goes."""
    reached = 0
    behind: list[Member] = []  # who reached that far
    for first, end, member in sorted(spans, key=lambda span: span[:2]):
        if first > reached:
            cover.holes[_cause(behind, died_ns)] += first - reached
        else:
            cover.overlap += min(end, reached) - first
        if end >= reached:
            behind = [member] if end > reached else [*behind, member]
        reached = max(end, reached)
    return reached


def _cause(behind: list[Member], died_ns: int) -> str:
    if not behind:
        return BEFORE_JOIN
    lives = {member.life for member in behind}
    if Life.DIED in lives:
        return DIED
    if Life.LEFT not in lives:
        return OPEN
    left_ns = max(member.at_ns for member in behind if member.life is Life.LEFT)
    return DIED if left_ns <= died_ns else LEFT
