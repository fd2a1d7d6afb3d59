"""A group's share of a stream's frames, over all nodes that serve it or did. Pure.

    offered + overlap = processed + dropped + lost + in_flight + duplicates

Rules kept here: what a killed node had in flight, or took in after its last report (a second at most), is
`died`; what passed after the last node had left properly is `left`; while a stream runs, what no count has
yet is in flight (it is on the wire, or the reports are a moment apart); once it has ended that is
unaccounted, and a bug, unless a node was killed that may have had it. Reports of nodes that are gone are kept
for ten minutes: of streams that are older than that a hole between two members is `forgotten`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from mesh.ledger.members import BEFORE_JOIN, DIED, FORGOTTEN, LEFT, NOT_TAKEN, Life, Member, last_of
from mesh.ledger.spans import OPEN, Cover, covered
from mesh.ledger.upstream import NOT_KNOWN, Upstream


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


def frames_of(
    members: Sequence[Member],
    upstream: Upstream,
    *,
    killed: bool = False,
    died_ns: int = 0,
    awaited: bool = False,
    old: bool = False,
) -> Frames:
    """What a group did with a stream; `members` are all who reported on it, one at least.

    killed:  whether a node that has not reported on it, and may have served it, was killed
    died_ns: until when one may have lived that worked for this group and was killed
    awaited: whether a node that runs has not reported since the others told the end
    old:     whether there may have been members whose reports are no longer kept
    """
    share = Frames(gone=last_of(members).life is Life.DIED)
    served = [member for member in members if member.spans] or members
    for member in served:
        _add(share, member)
    cover = covered(served, died_ns)
    tails = upstream.tails(cover.by_run())
    share.overlap = cover.overlap
    share.offered = cover.reached.total() + tails.total()
    share.dropped += Counter({cause: n for cause, n in cover.holes.items() if cause != OPEN})
    unknown = bool(tails or cover.holes[OPEN])
    share.ended = not (unknown and awaited) and _has_ended(served, upstream, unknown=unknown)
    killed = killed or any(member.life is Life.DIED for member in served)
    if killed or old:
        share.dropped[DIED if killed else FORGOTTEN] += cover.holes[OPEN]
    elif not share.ended:
        share.in_flight += cover.holes[OPEN]
    for run, frames in tails.items():
        _name_tail(share, run, frames, last_of(served), cover, upstream, killed=killed)
    share.dropped = +share.dropped
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


def _has_ended(members: Sequence[Member], upstream: Upstream, *, unknown: bool) -> bool:
    """Whether nothing more comes: every node that runs has heard the end of what it takes in, or they have
    all that there is."""
    running = [member for member in members if member.life is Life.RUNNING]
    heard = all(member.count.ended for member in running or [last_of(members)])
    if not upstream.published:
        return heard
    return upstream.ended and (heard or not running or upstream.gone or not unknown)


def _name_tail(
    share: Frames, run: int, frames: int, last: Member, cover: Cover, upstream: Upstream, *, killed: bool
) -> None:
    """Say where the frames of a publisher's run are that come after all that was taken in."""
    if last.life is not Life.RUNNING:
        share.dropped[DIED if last.life is Life.DIED else LEFT] += frames
    elif not share.ended:
        share.in_flight += frames
    elif killed or run in upstream.killed:
        share.dropped[DIED] += frames
    elif upstream.several and run != NOT_KNOWN:  # it gave the stream up without saying the end
        if cover.is_whole(run):
            share.lost += frames
        else:
            share.dropped[BEFORE_JOIN] += frames
