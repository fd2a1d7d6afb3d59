"""What `mesh stats` says: every camera's groups, and what was recorded. A pure sum of what nodes report.

Rules kept here: only reports about a camera's newest boot are added up; a folder counts once, whoever
recorded to it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence, Set
from typing import TypedDict

from mesh.ledger.groups import Group, Source, groups_of
from mesh.ledger.members import KEPT_NS, UNTOLD_NS, Life, Member, life
from mesh.registry.records import (
    CameraCount,
    GroupCount,
    NodeRecord,
    NodeState,
    RecordedCount,
    StatsRecord,
)


class GroupSummary(TypedDict):
    """One consumer group's share of a stream, over its `members`: the nodes that took part, by id.

    `offered` + `overlap` = processed + dropped + lost + in_flight + duplicates + what is unaccounted.
    `overlap` is what more than one member took in, at a handover; `duplicates` what one member was offered
    again. `results` were made of the processed frames for the stage `output`; of those, `delivered` were
    acknowledged by a collector, `undelivered` were given up, by cause, and `waiting` are in memory or in a
    spool. `gone`: the last node was killed, and nobody has taken its place.
    """

    stage: str
    output: str
    members: list[str]
    offered: int
    overlap: int
    processed: int
    dropped: dict[str, int]
    lost: int
    in_flight: int
    duplicates: int
    ended: bool
    results: int
    delivered: int
    undelivered: dict[str, int]
    waiting: int
    gone: bool


class CameraSummary(TypedDict):
    """`recorded` and `skipped` (left out by choice) are by stage."""

    boot: int
    captured: int
    dropped: dict[str, int]
    groups: dict[str, GroupSummary]
    recorded: dict[str, int]
    skipped: dict[str, int]
    duplicates: int
    late: int
    unaccounted: int


class NodeSummary(TypedDict):
    """A node's wall clock less the registry's, give or take the error; None where it is not known."""

    clock_offset_ns: int | None
    clock_error_ns: int | None


class Summary(TypedDict):
    cameras: dict[str, CameraSummary]
    nodes: dict[str, NodeSummary]


def summarise(
    reports: Iterable[StatsRecord], nodes: Iterable[NodeRecord] | None = None, *, forgot_ns: int = 0
) -> Summary:
    """The mesh's ledger by camera, from the nodes' own counters.

    `nodes` are those that stand in the registry: whoever else reported was killed. Without them everybody
    is taken to run who has not said otherwise. `forgot_ns` is when the registry started anew: what nodes that
    had gone by then had reported is forgotten.
    """
    reports = list(reports)
    known = None if nodes is None else list(nodes)
    return {
        "cameras": {
            camera: _camera(camera, boot, reports, known, forgot_ns)
            for camera, boot in sorted(_boots(reports).items())
        },
        "nodes": {
            report.node: {
                "clock_offset_ns": report.clock_offset_ns,
                "clock_error_ns": report.clock_error_ns,
            }
            for report in sorted(reports, key=lambda report: report.run)
        },
    }


def _boots(reports: Sequence[StatsRecord]) -> dict[str, int]:
    """Each camera's newest boot."""
    boots: dict[str, int] = defaultdict(int)
    for report in reports:
        counts: list[CameraCount | GroupCount | RecordedCount] = [
            *report.cameras,
            *report.groups,
            *report.recorded,
        ]
        for count in counts:
            boots[count.camera] = max(boots[count.camera], count.boot)
    return boots


def _camera(
    camera: str,
    boot: int,
    reports: Sequence[StatsRecord],
    nodes: Sequence[NodeRecord] | None,
    forgot_ns: int,
) -> CameraSummary:
    lives = [(report, life(report, nodes)) for report in reports]
    sources = [Source(how, c) for r, how in lives for c in r.cameras if (c.camera, c.boot) == (camera, boot)]
    recorded = _recorded(
        (r.node, c) for r in reports for c in r.recorded if (c.camera, c.boot) == (camera, boot)
    )
    members = [
        Member(r.node, r.run, r.at_ns, how, c)
        for r, how in lives
        for c in r.groups
        if (c.camera, c.boot) == (camera, boot)
    ]
    killed = _killed(lives, {member.count.group for member in members})
    groups = groups_of(
        members,
        sources,
        killed=killed,
        died_ns=_died_ns(lives),
        awaited=_awaited(camera, boot, reports, nodes or ()),
        old=_is_old(reports, forgot_ns),
    )
    captured = sum(source.count.captured for source in sources if source.count.stage == "raw")
    offered = (group.frames.offered for group in groups.values() if group.stage == "raw")
    return {
        "boot": boot,
        "captured": captured or max(offered, default=0) or sum(source.count.captured for source in sources),
        "dropped": _added(source.count.dropped for source in sources),
        "groups": {name: _group(group) for name, group in groups.items()},
        "recorded": _added({item.stage: item.recorded} for item in recorded),
        "skipped": _added({item.stage: item.skipped} for item in recorded if item.skipped),
        "duplicates": sum(item.duplicates for item in recorded),
        "late": sum(item.late for item in recorded),
        "unaccounted": sum(group.frames.unaccounted for group in groups.values()),
    }


def _group(group: Group) -> GroupSummary:
    frames, results = group.frames, group.results
    return {
        "stage": group.stage,
        "output": group.output,
        "members": sorted({member.node for member in group.members}),
        "offered": frames.offered,
        "overlap": frames.overlap,
        "processed": frames.processed,
        "dropped": dict(frames.dropped),
        "lost": frames.lost,
        "in_flight": frames.in_flight,
        "duplicates": frames.duplicates,
        "ended": frames.ended,
        "gone": frames.gone,
        "results": results.results,
        "delivered": results.delivered,
        "undelivered": dict(results.undelivered),
        "waiting": results.waiting,
    }


def _killed(lives: Iterable[tuple[StatsRecord, Life]], groups: Set[str]) -> Set[str]:
    """The groups of nodes that were killed; a node that had nothing to report may have been of any."""
    found: set[str] = set()
    for report, how in lives:
        if how is Life.DIED:
            silent = not (report.cameras or report.groups or report.recorded)
            found |= groups if silent else {count.group for count in report.groups}
    return found


def _died_ns(lives: Iterable[tuple[StatsRecord, Life]]) -> dict[str, int]:
    """Until when nodes that were killed may have lived, by their groups."""
    found: dict[str, int] = defaultdict(int)
    for report, how in lives:
        for count in report.groups if how is Life.DIED else ():
            found[count.group] = max(found[count.group], report.at_ns + UNTOLD_NS)
    return found


def _awaited(camera: str, boot: int, reports: Iterable[StatsRecord], nodes: Iterable[NodeRecord]) -> Set[str]:
    """The groups with a node that runs and has not reported since others told the end of a camera: it may
    have taken in frames since."""
    heard_ns: dict[str, int] = defaultdict(int)
    told_ns = []
    for report in reports:
        heard_ns[report.node] = max(heard_ns[report.node], report.at_ns)
        if _tells_end(report, camera, boot):
            told_ns.append(report.at_ns)
    ended_ns = min(told_ns, default=0)
    running = (node for node in nodes if node.state is not NodeState.ENDED and node.group)
    return {node.group for node in running if heard_ns[node.id] < ended_ns}


def _tells_end(report: StatsRecord, camera: str, boot: int) -> bool:
    counts: tuple[CameraCount | GroupCount, ...] = (*report.cameras, *report.groups)
    return any(count.ended and (count.camera, count.boot) == (camera, boot) for count in counts)


def _is_old(reports: Sequence[StatsRecord], forgot_ns: int) -> bool:
    """Whether nodes have been at work for longer than the reports of those that are gone are kept."""
    begun = min((report.run for report in reports if report.run), default=0)
    kept_ns = max(report.at_ns for report in reports) - KEPT_NS
    return bool(begun) and begun < max(kept_ns, forgot_ns)


def _recorded(counts: Iterable[tuple[str, RecordedCount]]) -> Sequence[RecordedCount]:
    """The counts of each folder once: one collector may have gone on where another one ended."""
    newest: dict[tuple[str, str], RecordedCount] = {}
    for node, count in counts:
        place = (f"index {count.index}" if count.index else node, count.stage)
        if place not in newest or _known(count) >= _known(newest[place]):
            newest[place] = count
    return list(newest.values())


def _known(count: RecordedCount) -> int:
    """How many frames it tells of: no later report of a folder tells of fewer."""
    return count.recorded + count.skipped


def _added(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return dict(total)
