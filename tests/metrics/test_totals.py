"""What a node counts, over all boots and runs: sums that only grow."""

from collections.abc import Mapping

from mesh.registry.records import (
    CameraCount,
    CameraRecord,
    CameraState,
    ForwardCount,
    FoundCount,
    GroupCount,
    NodeKind,
    NodeRecord,
    NodeState,
    RecordedCount,
    ResultCount,
    StatsRecord,
)
from nodes.metrics.names import METRICS
from nodes.metrics.samples import Counted, Sample, counted, measured
from nodes.metrics.serving import registry_counted
from nodes.metrics.totals import Totals

CAPTURED = "mesh_camera_frames_captured_total"
GROUP = ("door", "raw", "motion")


def report(*counts: CameraCount | GroupCount | RecordedCount, **more: int) -> StatsRecord:
    return StatsRecord(
        node="n",
        at_ns=1,
        cameras=tuple(c for c in counts if isinstance(c, CameraCount)),
        groups=tuple(c for c in counts if isinstance(c, GroupCount)),
        recorded=tuple(c for c in counts if isinstance(c, RecordedCount)),
        counters=more,
    )


def captured(boot: int, frames: int, camera: str = "door") -> CameraCount:
    return CameraCount(camera=camera, boot=boot, captured=frames)


def grouped(boot: int = 1, **fields: object) -> GroupCount:
    base = {"camera": "door", "boot": boot, "stage": "raw", "group": "motion", "output": "motion"}
    return GroupCount.model_validate(base | fields)


def values(*reports: StatsRecord) -> Mapping[tuple[str, ...], float]:
    """Every series after these reports, by name and labels."""
    totals = Totals()
    for each in reports:
        totals.look(counted(each))
    return {(s.name, *s.labels): s.values[0] for s in totals.samples()}


def test_a_camera_that_starts_anew_is_counted_on() -> None:
    assert values(report(captured(1, 100)), report(captured(2, 5)))[CAPTURED, "door"] == 105


def test_boots_that_are_reported_side_by_side_count_once_when_one_goes() -> None:
    both = report(grouped(1, processed=100, offered=100), grouped(2, processed=5, offered=5))
    later = report(grouped(2, processed=9, offered=9))
    assert values(both, later)["mesh_group_frames_processed_total", *GROUP] == 109


def test_a_camera_that_left_and_came_back_goes_on() -> None:
    away = report(captured(7, 1, "gate"))
    assert values(report(captured(1, 100)), away, report(captured(2, 3)))[CAPTURED, "door"] == 103


def test_a_count_that_is_corrected_downwards_waits_until_it_is_passed() -> None:
    lost = "mesh_group_frames_lost_total", *GROUP
    seen = [report(grouped(offered=20, lost=n)) for n in (7, 5, 6, 9)]
    assert [values(*seen[: n + 1])[lost] for n in range(4)] == [7, 7, 7, 9]


def test_what_other_members_took_in_is_theirs_to_count() -> None:
    found = values(
        report(
            grouped(
                offered=100,
                processed=40,
                dropped={"before_join": 7, "elsewhere": 50, "overwritten": 2},
                in_flight=1,
            )
        )
    )
    assert found["mesh_group_frames_offered_total", *GROUP] == 43
    causes = [key[-1] for key in found if key[0] == "mesh_group_frames_dropped_total"]
    assert causes == ["overwritten"]


def test_what_an_earlier_run_left_is_taken_off() -> None:
    carried = ResultCount(results=1000, delivered=900, undelivered={"spool_full": 3})
    left = FoundCount(recorded=500, duplicates=2, late=1, skipped=30)
    found = values(
        report(
            grouped(results=1010, delivered=950, undelivered={"spool_full": 4}, pushes=True, carried=carried),
            RecordedCount(
                camera="door",
                boot=1,
                stage="motion",
                recorded=520,
                duplicates=5,
                late=1,
                skipped=70,
                held=25,
                found=left,
            ),
        )
    )
    made = ("door", "motion", "motion")
    assert found["mesh_results_total", *made] == 10
    assert found["mesh_results_delivered_total", *made] == 50
    assert found["mesh_results_undelivered_total", *made, "spool_full"] == 1
    assert found["mesh_recorded_frames_total", "door", "motion"] == 20
    assert found["mesh_recorded_duplicates_total", "door", "motion"] == 3
    assert found["mesh_recorded_late_total", "door", "motion"] == 0
    assert found["mesh_recorded_skipped_total", "door", "motion"] == 15


def test_ages_of_all_cameras_and_boots_are_one_histogram() -> None:
    totals = Totals()
    totals.look(counted(report(grouped(1, ages=(1, 2), age_sum_s=0.5))))
    totals.look(
        counted(
            report(
                grouped(2, ages=(0, 0, 4), age_sum_s=1.0),
                grouped(1, camera="gate", ages=(1,), age_sum_s=0.25),
            )
        )
    )
    (ages,) = (s for s in totals.samples() if s.name == "mesh_group_frame_age_seconds")
    assert (ages.labels, ages.values[:4]) == (("motion", "motion"), (1.75, 2, 2, 4))
    assert sum(ages.values[4:]) == 0


def test_gauges_say_what_is_now() -> None:
    node = NodeRecord(
        id="n", kind=NodeKind.PROCESS, group="motion", host="h", pid=1, state=NodeState.DEGRADED
    )
    cameras = [
        CameraRecord(name=name, source="x", node="n", state=state)
        for name, state in (
            ("door", CameraState.ONLINE),
            ("gate", CameraState.RECONNECTING),
            ("clip", CameraState.ENDED),
        )
    ]
    waits = [grouped(boot, in_flight=2, waiting=10, spooled=4, pushes=True) for boot in (1, 2)]
    held = [RecordedCount(camera="door", boot=n, stage="motion", skipped=9, held=3) for n in (1, 2)]
    told = report(*waits, *held).model_copy(update={"clock_offset_ns": -5_000_000, "clock_error_ns": None})
    found = {(s.name, *s.labels): s.values[0] for s in measured(node, cameras, told, connected=False)}
    assert found["mesh_node_info", "n", "process", "motion", "h", ""] == 1
    states = {key[1]: value for key, value in found.items() if key[0] == "mesh_node_state"}
    assert states == {"running": 0, "degraded": 1, "paused": 0, "draining": 0}
    ups = {key[1]: value for key, value in found.items() if key[0] == "mesh_camera_up"}
    assert ups == {"door": 1, "gate": 0}
    assert found["mesh_node_registry_up",] == 0
    assert found["mesh_node_clock_offset_seconds",] == -0.005
    assert ("mesh_node_clock_error_seconds",) not in found
    assert found["mesh_group_frames_in_flight", *GROUP] == 4
    assert found["mesh_recorded_held", "door", "motion"] == 6
    assert found["mesh_results_waiting", "door", "motion", "motion"] == 20
    assert found["mesh_results_spooled", "door", "motion", "motion"] == 8


def test_every_sample_has_the_labels_of_its_metric() -> None:
    told = report(
        captured(1, 3).model_copy(update={"dropped": {"decode": 1}}),
        grouped(offered=3, dropped={"overwritten": 1}, undelivered={"died": 1}, pushes=True),
        RecordedCount(camera="door", boot=1, stage="motion"),
        wire_errors=1,
    )
    node = NodeRecord(id="n", kind=NodeKind.PROCESS, host="h", pid=1)
    camera = CameraRecord(name="door", source="x", node="n")
    told = told.model_copy(update={"forwards": (ForwardCount(to="tcp://hq:7700", dropped={"removed": 1}),)})
    clocks = told.model_copy(update={"clock_offset_ns": 1, "clock_error_ns": 1})
    samples: list[Sample] = [each.sample for each in counted(told)]
    samples += measured(node, [camera], clocks, connected=True)
    asked: dict[str, int] = dict.fromkeys(("requests", "refused", "repeated", "malformed"), 1)
    samples += [each.sample for each in registry_counted(asked)]
    assert {s.name for s in samples} | {"mesh_registry_info"} == METRICS.keys()
    assert all(len(s.labels) == len(METRICS[s.name].labels) for s in samples)


def test_events_of_one_name_from_two_parts_of_a_node_are_added_up() -> None:
    totals = Totals()
    one = Counted(Sample("mesh_node_events_total", ("wire_errors",), (2,)))
    totals.look([one, one])
    assert [s.values for s in totals.samples()] == [(4,)]
