"""The ledger of the whole mesh: every captured frame is in one place. A pure sum of what nodes report.

Rules kept here: only reports about a camera's newest boot are added up; while a stream runs, what no count
has yet is in flight (it is on the wire, or the reports are a moment apart); once it has ended, what no
count has is `unaccounted`, and that is a bug.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import TypedDict

from mesh.registry.records import CameraCount, GroupCount, RecordedCount, StatsRecord


class GroupSummary(TypedDict):
    """One consumer group's share: `offered` = processed + dropped + lost + in_flight + what is unaccounted.

    `results` were made of the processed frames for the stage `output`; of those, `delivered` were
    acknowledged by a collector and `undelivered` were given up, by cause.
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


Reported = tuple[str, GroupCount]  # node, count


def summarise(reports: Iterable[StatsRecord]) -> Summary:
    """The mesh's ledger by camera, from the nodes' own counters."""
    reports = list(reports)
    return {
        "cameras": {
            camera: _camera(camera, boot, reports) for camera, boot in sorted(_boots(reports).items())
        },
        "nodes": {
            report.node: {
                "clock_offset_ns": report.clock_offset_ns,
                "clock_error_ns": report.clock_error_ns,
            }
            for report in reports
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


def _camera(camera: str, boot: int, reports: Sequence[StatsRecord]) -> CameraSummary:
    sources = [c for r in reports for c in r.cameras if (c.camera, c.boot) == (camera, boot)]
    recorded = _recorded(
        (r.node, c) for r in reports for c in r.recorded if (c.camera, c.boot) == (camera, boot)
    )
    counts = [(r.node, c) for r in reports for c in r.groups if (c.camera, c.boot) == (camera, boot)]
    published: Counter[str] = Counter()
    for source in sources:
        published[source.stage] += source.captured
    for _, count in counts:
        published[count.output] += count.results
    groups = {name: _group(count, published[count.stage]) for name, count in _named(counts)}
    by_stage: Counter[str] = Counter()
    for item in recorded:
        by_stage[item.stage] += item.recorded
    return {
        "boot": boot,
        "captured": published["raw"] or max((c.offered for _, c in counts if c.stage == "raw"), default=0),
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


def _named(counts: Sequence[Reported]) -> Iterable[tuple[str, GroupCount]]:
    """Groups by name; two nodes that each take a whole stream under one name are told apart as NAME@NODE."""
    members = Counter(count.group for _, count in counts)
    for node, count in counts:
        yield (count.group if members[count.group] == 1 else f"{count.group}@{node}"), count


def _group(count: GroupCount, published: int) -> GroupSummary:
    group: GroupSummary = {
        "stage": count.stage,
        "output": count.output,
        "offered": max(count.offered, published),
        "processed": count.processed,
        "dropped": dict(count.dropped),
        "lost": count.lost,
        "in_flight": count.in_flight,
        "ended": count.ended,
        "results": count.results,
        "delivered": count.delivered,
        "undelivered": dict(count.undelivered),
    }
    if not count.ended:
        group["in_flight"] += _unaccounted(group)
    return group


def _unaccounted(group: GroupSummary) -> int:
    known = group["processed"] + sum(group["dropped"].values()) + group["lost"] + group["in_flight"]
    return group["offered"] - known


def _added(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return dict(total)
