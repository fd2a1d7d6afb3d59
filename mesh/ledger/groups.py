"""Which reports belong to one group, and what each group is offered by those before it. Pure.

Rules kept here: all nodes of a group that take in one stage are one line, however many they are, since they
share the work; collectors record the stage that they take in, each for itself: those that worked at the same
time are told apart as NAME@NODE; a group that takes in several stages has a line for each, as NAME/STAGE; a
group's results are what the groups behind it are offered, those that were made twice at a handover included.
"""

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from mesh.ledger.frames import Frames, frames_of
from mesh.ledger.members import Life, Member, last_of, lines
from mesh.ledger.results import Results, results_of
from mesh.ledger.upstream import NOT_KNOWN, Upstream
from mesh.registry.records import CameraCount


@dataclass(frozen=True, slots=True)
class Source:
    """What captures a camera, and how that node is now."""

    life: Life
    count: CameraCount


@dataclass(frozen=True, slots=True)
class Group:
    """The nodes of a group that take in one stage of a camera, and what they did with it."""

    members: Sequence[Member]
    frames: Frames
    results: Results

    @property
    def stage(self) -> str:
        return self.members[0].count.stage

    @property
    def output(self) -> str:
        """The stage that is published, by whoever serves the group now."""
        return last_of(self.members).count.output


def groups_of(
    members: Iterable[Member],
    sources: Sequence[Source],
    *,
    killed: Container[str] = (),
    died_ns: Mapping[str, int] = MappingProxyType({}),
    awaited: Container[str] = (),
    old: bool = False,
) -> dict[str, Group]:
    """A camera's groups by name, from all reports on its newest boot.

    killed:  the groups of which a node was killed that may have served this camera without reporting it
    died_ns: until when a node of a group may have lived that was killed
    awaited: the groups of which a node runs that has not reported since others told the end
    old:     whether there may have been members whose reports are no longer kept
    """
    made: dict[str, Group] = {}
    for name, line in _in_order(list(_named(members))):
        stage = line[0].count.stage
        before = [group for group in made.values() if group.output == stage != group.stage]
        upstream = _upstream([s for s in sources if s.count.stage == stage], before)
        group = line[0].count.group
        frames = frames_of(
            line,
            upstream,
            killed=group in killed,
            died_ns=died_ns.get(group, 0),
            awaited=group in awaited,
            old=old,
        )
        made[name] = Group(line, frames, results_of(line))
    return dict(sorted(made.items()))


def _named(members: Iterable[Member]) -> Iterator[tuple[str, list[Member]]]:
    """The lines of every group, by name."""
    groups: dict[str, dict[str, list[Member]]] = defaultdict(lambda: defaultdict(list))
    for member in members:
        groups[member.count.group][member.count.stage].append(member)
    for group, stages in groups.items():
        for stage, same in stages.items():
            name = group if len(stages) == 1 else f"{group}/{stage}"
            found = _apart(same)
            for line in found:
                yield (name if len(found) == 1 else f"{name}@{line[-1].node}"), line


def _apart(members: Sequence[Member]) -> list[list[Member]]:
    """Who is added up: all, or collectors that took one another's place."""
    recording = all(member.count.output == member.count.stage for member in members)
    return lines(members) if recording else [list(members)]


def _in_order(named: list[tuple[str, list[Member]]]) -> Iterator[tuple[str, list[Member]]]:
    """Each group behind those whose results it takes in, as far as they do not run in a circle."""
    while named:
        made = Counter(last_of(line).count.output for _, line in named if not _records(line))
        ready = [item for item in named if not made[item[1][0].count.stage]] or named
        yield from ready
        named = [item for item in named if item not in ready]


def _records(line: Sequence[Member]) -> bool:
    return line[0].count.stage == last_of(line).count.output


def _upstream(sources: Sequence[Source], groups: Sequence[Group]) -> Upstream:
    """What is known of a stage by those who publish it."""
    members = [member for group in groups for member in group.members]
    published = Counter({NOT_KNOWN: sum(source.count.captured for source in sources)})
    for member in members:
        published[member.count.publishes] += member.count.results - member.count.carried.results
    killed = {member.count.publishes for member in members if member.life is Life.DIED}
    killed |= {NOT_KNOWN for source in sources if source.life is Life.DIED}
    over = [source.count.ended or source.life is Life.LEFT for source in sources]
    over += [group.frames.ended and not group.frames.in_flight for group in groups]
    lives = [*(source.life for source in sources), *(member.life for member in members)]
    gone = bool(killed) and Life.RUNNING not in lives
    return Upstream(
        published=+published,
        killed=frozenset(killed),
        ended=bool(over) and (all(over) or gone),
        gone=gone,
        several=len(lives) > 1,
    )
