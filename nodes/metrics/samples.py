"""A node's report as samples of metrics. Pure.

Rules kept here: what is counted names its source, the camera and boot that it was counted for, so that it can
be added up over boots; a run's own counts begin at 0, so what an earlier run left is taken off; what other
members of a group took in is not this node's, so that a sum over nodes is right.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mesh.ages import BOUNDS_S
from mesh.registry.records import (
    CameraCount,
    CameraRecord,
    CameraState,
    GroupCount,
    NodeRecord,
    NodeState,
    RecordedCount,
    StatsRecord,
)

NOT_TAKEN = frozenset({"before_join", "elsewhere"})  # as in the ledger
OVER = (CameraState.ENDED, CameraState.FAILED)

Labels = tuple[str, ...]
Values = tuple[float, ...]
Source = tuple[str, int]  # camera, boot


@dataclass(frozen=True, slots=True)
class Sample:
    """A value of the metric `name`, or of a histogram the sum and then a count by bucket."""

    name: str
    labels: Labels  # in the order of `METRICS`
    values: Values


@dataclass(frozen=True, slots=True)
class Counted:
    """A sample as counted for one source: what all sources counted is to be added up."""

    sample: Sample
    source: Source = ("", 0)


def counted(report: StatsRecord) -> Iterator[Counted]:
    """Everything in a report that is counted."""
    for camera in report.cameras:
        yield from _of_camera(camera)
    for group in report.groups:
        yield from _of_group(group)
    for recorded in report.recorded:
        yield from _of_recorded(recorded)
    for forward in report.forwards:
        yield Counted(Sample("mesh_forward_frames_total", (forward.to,), (forward.forwarded,)))
        for cause, n in forward.dropped.items():
            yield Counted(Sample("mesh_forward_frames_dropped_total", (forward.to, cause), (n,)))
    for event, n in report.counters.items():
        yield Counted(Sample("mesh_node_events_total", (event,), (n,)))


def measured(
    node: NodeRecord, cameras: Iterable[CameraRecord], report: StatsRecord, *, connected: bool
) -> Iterator[Sample]:
    """Everything that goes up and down. `connected`: whether the registry answers."""
    yield Sample("mesh_node_info", (node.id, node.kind, node.group, node.host, node.version), (1,))
    for state in NodeState:
        if state is not NodeState.ENDED:
            yield Sample("mesh_node_state", (state,), (float(node.state is state),))
    yield Sample("mesh_node_registry_up", (), (float(connected),))
    for name, ns in (("offset", report.clock_offset_ns), ("error", report.clock_error_ns)):
        if ns is not None:
            yield Sample(f"mesh_node_clock_{name}_seconds", (), (ns / 1e9,))
    for camera in cameras:
        if camera.state is not CameraState.ENDED:
            yield Sample("mesh_camera_up", (camera.name,), (float(camera.state is CameraState.ONLINE),))
    for forward in report.forwards:
        yield Sample("mesh_forward_waiting", (forward.to,), (forward.waiting,))
        yield Sample("mesh_forward_up", (forward.to,), (float(not forward.why),))
    yield from _waiting(report)


def _waiting(report: StatsRecord) -> Iterator[Sample]:
    """What waits, over the boots of a camera."""
    sums: dict[tuple[str, Labels], int] = {}
    for recorded in report.recorded:
        held: tuple[str, Labels] = "mesh_recorded_held", (recorded.camera, recorded.stage)
        sums[held] = sums.get(held, 0) + recorded.held
    for count in report.groups:
        taken = (count.camera, count.stage, count.group)
        gauges = {("mesh_group_frames_in_flight", taken): count.in_flight}
        if count.pushes:
            made = (count.camera, count.output, count.group)
            gauges |= {("mesh_results_waiting", made): count.waiting}
            gauges |= {("mesh_results_spooled", made): count.spooled}
        for key, n in gauges.items():
            sums[key] = sums.get(key, 0) + n
    for (name, labels), n in sums.items():
        yield Sample(name, labels, (n,))


def _of_camera(count: CameraCount) -> Iterator[Counted]:
    source = count.camera, count.boot
    yield Counted(Sample("mesh_camera_frames_captured_total", (count.camera,), (count.captured,)), source)
    for cause, n in count.dropped.items():
        yield Counted(Sample("mesh_camera_frames_dropped_total", (count.camera, cause), (n,)), source)


def _of_group(count: GroupCount) -> Iterator[Counted]:
    source = count.camera, count.boot
    taken, made = (count.camera, count.stage, count.group), (count.camera, count.output, count.group)
    dropped = {cause: n for cause, n in count.dropped.items() if cause not in NOT_TAKEN}
    elsewhere = sum(n for cause, n in count.dropped.items() if cause in NOT_TAKEN)
    found = {
        "offered": count.offered - elsewhere,
        "processed": count.processed,
        "lost": count.lost,
        "duplicate": count.duplicates,
    }
    for word, n in found.items():
        yield Counted(Sample(f"mesh_group_frames_{word}_total", taken, (n,)), source)
    for cause, n in dropped.items():
        yield Counted(Sample("mesh_group_frames_dropped_total", (*taken, cause), (n,)), source)
    if count.output == count.stage:  # a collector makes no results
        return
    yield from _of_results(count, made, source)
    yield Counted(
        Sample("mesh_group_frame_age_seconds", (count.output, count.group), _histogram(count)), source
    )


def _of_results(count: GroupCount, made: Labels, source: Source) -> Iterator[Counted]:
    carried = count.carried
    yield Counted(Sample("mesh_results_total", made, (count.results - carried.results,)), source)
    if count.pushes:
        delivered = count.delivered - carried.delivered
        yield Counted(Sample("mesh_results_delivered_total", made, (delivered,)), source)
    for cause, n in count.undelivered.items():
        given_up = n - carried.undelivered.get(cause, 0)
        yield Counted(Sample("mesh_results_undelivered_total", (*made, cause), (given_up,)), source)


def _of_recorded(count: RecordedCount) -> Iterator[Counted]:
    source, labels, found = (count.camera, count.boot), (count.camera, count.stage), count.found
    own = {
        "frames": count.recorded - found.recorded,
        "duplicates": count.duplicates - found.duplicates,
        "late": count.late - found.late,
        "skipped": count.skipped - count.held - found.skipped,
    }
    for word, n in own.items():
        yield Counted(Sample(f"mesh_recorded_{word}_total", labels, (n,)), source)
    yield Counted(Sample("mesh_recorded_frame_age_seconds", (count.stage,), _histogram(count)), source)


def _histogram(count: GroupCount | RecordedCount) -> Values:
    buckets = len(BOUNDS_S) + 1
    return (count.age_sum_s, *(*count.ages, *(0,) * buckets)[:buckets])
