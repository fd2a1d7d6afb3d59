"""A group's share of a stream's frames, over all nodes that serve it or did. Pure.

    offered + overlap = processed + dropped + lost + in_flight + duplicates

Rules kept here: what a killed node had in flight, or took in after its last report (a second at most), is
`died`; what passed after the last node had left properly is `left`; while a stream runs, what no count has
yet is in flight (it is on the wire, or the reports are a moment apart); once it has ended that is
unaccounted, and a bug, unless a node was killed that may have had it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from mesh.ledger.members import DIED, LEFT, NOT_TAKEN, Life, Member, last_of
from mesh.ledger.spans import OPEN, covered


@dataclass(frozen=True, slots=True)
class Upstream:
    """What the publishers of a stream know of it.

    published:  the frames that they counted; 0 where none of them has reported
    ended:      no more will come
    died:       one of them was killed: it may have published more, or what it counted may not have got out
    gone:       nobody of them runs any more, and the last one was killed: nobody will say the end
    several:    there were several: one that gives a partition up says no end there
    """

    published: int = 0
    ended: bool = False
    died: bool = False
    gone: bool = False
    several: bool = False


@dataclass(slots=True)
class Frames:
    """What became of a stream's frames. `gone`: nobody of the group runs, and the last one was killed."""

    offered: int = 0
    overlap: int = 0
    processed: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    in_flight: int = 0
    duplicates: int = 0
    ended: bool = False
    gone: bool = False

    @property
    def unaccounted(self) -> int:
        """Frames that were offered and are in no count; less than 0 where one is in two."""
        counted = self.processed + self.dropped.total() + self.lost + self.in_flight + self.duplicates
        return self.offered + self.overlap - counted


def frames_of(members: Sequence[Member], upstream: Upstream) -> Frames:
    """What a group did with a stream; `members` are all who reported on it, one at least."""
    share = Frames(gone=last_of(members).life is Life.DIED)
    served = [member for member in members if member.spans] or members
    for member in served:
        _add(share, member)
    cover = covered(served)
    share.overlap = cover.overlap
    share.offered = max(upstream.published, cover.reached)
    open_holes, tail = cover.holes.pop(OPEN, 0), share.offered - cover.reached
    share.dropped += cover.holes
    share.ended = _has_ended(served, upstream, open_holes + tail)
    _name(share, served, upstream, open_holes, tail)
    return share


def _add(share: Frames, member: Member) -> None:
    """Add what a member did within its spans."""
    count = member.count
    share.processed += count.processed
    share.lost += count.lost
    share.duplicates += count.duplicates
    for cause, dropped in count.dropped.items():
        if cause not in NOT_TAKEN:
            share.dropped[cause] += dropped
    if member.life is Life.RUNNING:
        share.in_flight += count.in_flight
    else:
        share.dropped[DIED] += count.in_flight


def _has_ended(members: Sequence[Member], upstream: Upstream, unknown: int) -> bool:
    """Whether nothing more comes: every node that runs has heard the end, or they have all that there is."""
    running = [member for member in members if member.life is Life.RUNNING]
    if not running:
        return last_of(members).count.ended or upstream.ended
    heard = all(member.count.ended for member in running)
    if not upstream.published:
        return heard
    return upstream.ended and (heard or upstream.gone or not unknown)


def _name(share: Frames, members: Sequence[Member], upstream: Upstream, holes: int, tail: int) -> None:
    """Say where the frames are that no member knows of: in `holes`, and behind all that was taken in."""
    last = last_of(members)
    died = any(member.life is Life.DIED for member in members)
    if died:
        share.dropped[DIED] += holes
        holes = 0
    if last.life is not Life.RUNNING and not last.count.ended:
        share.dropped[DIED if last.life is Life.DIED else LEFT] += tail
    elif not share.ended:
        share.in_flight += holes + tail
    elif died or upstream.died:
        share.dropped[DIED] += tail
    elif upstream.several:
        share.lost += tail
    share.dropped = +share.dropped
