"""The ledger of the whole mesh: every captured frame is in one place. A pure sum of what nodes report.

Rules kept here: only reports about a camera's newest boot are added up; nodes that served a group one after
another are one line (see `mesh.lineage`); while a stream runs, what no count has yet is in flight (it is on
the wire, or the reports are a moment apart); once it has ended, what no count has is `unaccounted`, and that
is a bug.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import TypedDict

from mesh.lineage import Member, Share, added, life, lines
from mesh.registry.records import CameraCount, GroupCount, NodeRecord, RecordedCount, StatsRecord


class GroupSummary(TypedDict):
    """One consumer group's share: `offered` = processed + dropped + lost + in_flight + what is unaccounted.

    `results` were made of the processed frames for the stage `output`; of those, `delivered` were
    acknowledged by a collector, `undelivered` were given up, by cause, and `waiting` are in memory or in a
    spool. `gone`: the node was killed, and nobody has taken its place.
    """

    stage: str
    output: str
    offered: int
    processed: int
    dropped: dict[str, int]
    lost: int
    in_flight: int
    ended: bool
    results: int
    delivered: int
    undelivered: dict[str, int]
    waiting: int
    gone: bool


class CameraSummary(TypedDict):
    boot: int
    captured: int
    dropped: dict[str, int]
    groups: dict[str, GroupSummary]
    recorded: dict[str, int]
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


def summarise(reports: Iterable[StatsRecord], nodes: Iterable[NodeRecord] | None = None) -> Summary:
    """The mesh's ledger by camera, from the nodes' own counters.

    `nodes` are those that stand in the registry: whoever else reported was killed. Without them everybody
    is taken to run who has not said otherwise.
    """
    reports = list(reports)
    known = None if nodes is None else list(nodes)
    return {
        "cameras": {
            camera: _camera(camera, boot, reports, known) for camera, boot in sorted(_boots(reports).items())
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
    camera: str, boot: int, reports: Sequence[StatsRecord], nodes: Sequence[NodeRecord] | None
) -> CameraSummary:
    sources = [c for r in reports for c in r.cameras if (c.camera, c.boot) == (camera, boot)]
    recorded = _recorded(
        (r.node, c) for r in reports for c in r.recorded if (c.camera, c.boot) == (camera, boot)
    )
    members = [
        Member(r.node, r.run, r.at_ns, life(r, nodes), c)
        for r in reports
        for c in r.groups
        if (c.camera, c.boot) == (camera, boot)
    ]
    named = dict(_named(members))
    published: Counter[str] = Counter()
    ended = {source.stage for source in sources if source.ended}
    for source in sources:
        published[source.stage] += source.captured
    for line in named.values():
        published[line[-1].count.output] += added(line).results
    groups = {
        name: _group(line, published[line[-1].count.stage], line[-1].count.stage in ended)
        for name, line in named.items()
    }
    by_stage: Counter[str] = Counter()
    for item in recorded:
        by_stage[item.stage] += item.recorded
    return {
        "boot": boot,
        "captured": published["raw"]
        or max((m.count.offered for m in members if m.count.stage == "raw"), default=0),
        "dropped": _added(source.dropped for source in sources),
        "groups": groups,
        "recorded": dict(by_stage),
        "duplicates": sum(item.duplicates for item in recorded),
        "late": sum(item.late for item in recorded),
        "unaccounted": sum(_unaccounted(group) for group in groups.values()),
    }


def _recorded(counts: Iterable[tuple[str, RecordedCount]]) -> Sequence[RecordedCount]:
    """The counts of each folder once: one collector may have gone on where another one ended."""
    newest: dict[tuple[str, str], RecordedCount] = {}
    for node, count in counts:
        place = (f"index {count.index}" if count.index else node, count.stage)
        if place not in newest or count.recorded >= newest[place].recorded:
            newest[place] = count
    return list(newest.values())


def _named(members: Iterable[Member]) -> Iterable[tuple[str, list[Member]]]:
    """Groups by name; two nodes that each take a whole stream under one name are told apart as NAME@NODE."""
    groups: dict[tuple[str, str], list[Member]] = defaultdict(list)
    for member in members:
        groups[member.count.group, member.count.stage].append(member)
    found = [(group, line) for (group, _), same in groups.items() for line in lines(same)]
    times = Counter(group for group, _ in found)
    for group, line in found:
        yield (group if times[group] == 1 else f"{group}@{line[-1].node}"), line


def _group(line: Sequence[Member], published: int, source_ended: bool) -> GroupSummary:
    count: GroupCount = line[-1].count
    share: Share = added(line, published, source_ended=source_ended)
    return {
        "stage": count.stage,
        "output": count.output,
        "offered": share.offered,
        "processed": share.processed,
        "dropped": dict(share.dropped),
        "lost": share.lost,
        "in_flight": share.in_flight,
        "ended": share.ended,
        "results": share.results,
        "delivered": share.delivered,
        "undelivered": dict(share.undelivered),
        "waiting": share.waiting,
        "gone": share.gone,
    }


def _unaccounted(group: GroupSummary) -> int:
    known = group["processed"] + sum(group["dropped"].values()) + group["lost"] + group["in_flight"]
    return group["offered"] - known


def _added(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return dict(total)
