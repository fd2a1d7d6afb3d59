from dataclasses import replace

from mesh.accounts import SPANS_KEPT
from mesh.frame import EndOfStream
from mesh.inbox import Inbox, Policy
from mesh.ledger import CameraSummary, summarise
from mesh.registry.records import (
    CameraCount,
    GroupCount,
    NodeKind,
    NodeRecord,
    RecordedCount,
    StatsRecord,
)
from mesh.wire import Message, Topic, View
from nodes.counting import group_count
from tests.support.frames import jpeg_frame, message


def captured(count: int, *, boot: int = 7, ended: bool = True) -> StatsRecord:
    camera = CameraCount(camera="door", boot=boot, captured=count, ended=ended)
    return StatsRecord(node="capture-1", at_ns=0, cameras=(camera,))


def worked(node: str = "process-1", *, boot: int = 7, group: str = "motion", **counts: object) -> StatsRecord:
    values = {"camera": "door", "boot": boot, "stage": "raw", "group": group, "output": group} | counts
    return StatsRecord(node=node, at_ns=0, groups=(GroupCount.model_validate(values),))


def test_a_stream_that_has_ended_adds_up() -> None:
    summary = summarise(
        [
            captured(100),
            worked(
                offered=100,
                processed=90,
                dropped={"overwritten": 7},
                lost=3,
                ended=True,
                results=90,
                delivered=90,
            ),
            StatsRecord(
                node="collect-1",
                at_ns=0,
                recorded=(
                    RecordedCount(camera="door", boot=7, stage="motion", recorded=90, duplicates=2, late=1),
                ),
            ),
        ]
    )
    door = summary["cameras"]["door"]
    assert (door["boot"], door["captured"], door["unaccounted"]) == (7, 100, 0)
    assert (door["recorded"], door["duplicates"], door["late"]) == ({"motion": 90}, 2, 1)
    assert door["groups"]["motion"]["in_flight"] == 0


def test_while_a_stream_runs_what_no_count_has_yet_is_in_flight() -> None:
    running = worked(offered=95, processed=90, dropped={"expired": 2}, lost=1, in_flight=2)
    door = summarise([captured(100, ended=False), running])["cameras"]["door"]
    assert door["groups"]["motion"]["offered"] == 100
    assert door["groups"]["motion"]["in_flight"] == 7
    assert door["unaccounted"] == 0


def test_once_it_has_ended_what_no_count_has_is_unaccounted() -> None:
    door = summarise([captured(100), worked(offered=99, processed=99, ended=True)])["cameras"]["door"]
    assert door["unaccounted"] == 1


def test_a_stage_in_a_chain_is_measured_by_what_the_one_before_it_made() -> None:
    reports = [
        captured(100),
        worked(offered=100, processed=100, ended=True, results=60),
        worked("process-2", group="codes", stage="motion", offered=58, processed=58, ended=True),
    ]
    door = summarise(reports)["cameras"]["door"]
    assert door["groups"]["codes"]["offered"] == 60
    assert door["unaccounted"] == 2


def test_only_the_newest_boot_counts() -> None:
    reports = [
        captured(100),
        captured(5, boot=8),
        worked(offered=100, processed=1),
        worked(boot=8, offered=5, processed=5),
    ]
    door = summarise(reports)["cameras"]["door"]
    assert (door["boot"], door["captured"], door["groups"]["motion"]["processed"]) == (8, 5, 5)


def test_two_nodes_of_a_group_are_one_line_and_what_both_took_is_overlap() -> None:
    reports = [
        captured(10),
        worked("p1", offered=10, processed=10, ended=True, spans=((0, 5, 0, 10),)),
        worked("p2", offered=4, processed=3, lost=1, ended=True, spans=((0, 5, 6, 10),)),
    ]
    door = summarise(reports)["cameras"]["door"]
    group = door["groups"]["motion"]
    assert (group["members"], group["offered"], group["overlap"]) == (["p1", "p2"], 10, 4)
    assert (group["processed"], group["lost"], door["unaccounted"]) == (13, 1, 0)


def test_a_partition_that_two_members_hand_to_and_fro_adds_up_though_old_spans_are_one() -> None:
    members, frame, turns = (Inbox(Policy.FIFO), Inbox(Policy.FIFO)), jpeg_frame(size=16), 3 * SPANS_KEPT
    for seq in range(turns):
        for number, inbox in enumerate(members):
            (inbox.enter if seq % 2 == number else inbox.leave)("raw", "door", 0)
            inbox.offer(message(replace(frame, seq=seq), run=5))
            if (item := inbox.take(0)) is not None:
                inbox.settle(item)
    for inbox in members:
        inbox.enter("raw", "door", 0)
        inbox.offer(Message(Topic(View.FRAME, "raw", "door"), 5, turns, EndOfStream("door", 7, turns)))
    reports = [captured(turns)]
    for number, inbox in enumerate(members):
        (count,) = inbox.counts()
        made = group_count(count, group="motion", output="motion")
        reports.append(StatsRecord(node=f"p{number}", at_ns=0, groups=(made,)))
    door = summarise(reports)["cameras"]["door"]
    group = door["groups"]["motion"]
    assert (group["offered"], group["processed"], door["unaccounted"]) == (turns, turns, 0)
    assert 0 < group["dropped"]["away"] == group["overlap"]


def test_collectors_that_record_a_whole_stage_each_are_told_apart() -> None:
    def recording(node: str) -> StatsRecord:
        spans = ((0, 5, 0, 10),)
        return worked(node, group="collect", output="raw", offered=10, processed=10, ended=True, spans=spans)

    reports = [captured(10), recording("c1"), recording("c2")]
    door = summarise(reports)["cameras"]["door"]
    assert sorted(door["groups"]) == ["collect@c1", "collect@c2"]
    assert door["unaccounted"] == 0


def test_a_collector_that_records_two_stages_has_a_line_for_each() -> None:
    reports = [
        captured(10),
        worked(offered=10, processed=10, results=6, ended=True),
        worked("c1", group="collect", output="raw", offered=10, processed=10, ended=True),
        worked("c1", group="collect", output="motion", stage="motion", offered=6, processed=6, ended=True),
    ]
    door = summarise(reports)["cameras"]["door"]
    assert sorted(door["groups"]) == ["collect/motion", "collect/raw", "motion"]
    assert (door["groups"]["collect/motion"]["offered"], door["unaccounted"]) == (6, 0)


def test_a_capture_node_that_has_left_no_word_is_known_by_its_groups() -> None:
    door = summarise([worked(offered=100, processed=100, ended=True)])["cameras"]["door"]
    assert door["captured"] == 100


def test_nothing_reported_is_nothing_known() -> None:
    assert summarise([]) == {"cameras": {}, "nodes": {}}


def test_each_nodes_clock_is_told_where_it_is_known() -> None:
    reports = [
        StatsRecord(node="a", at_ns=0, clock_offset_ns=-5, clock_error_ns=2),
        StatsRecord(node="b", at_ns=0),
    ]
    assert summarise(reports)["nodes"] == {
        "a": {"clock_offset_ns": -5, "clock_error_ns": 2},
        "b": {"clock_offset_ns": None, "clock_error_ns": None},
    }


def recorded(node: str, count: int, index: int, skipped: int = 0) -> StatsRecord:
    item = RecordedCount(camera="door", boot=7, stage="motion", recorded=count, skipped=skipped, index=index)
    return StatsRecord(node=node, at_ns=0, recorded=(item,))


def test_a_folder_counts_once_though_two_collectors_used_it_one_after_the_other() -> None:
    reports = [recorded("first", 30, 5), recorded("second", 100, 5), recorded("elsewhere", 7, 6)]
    assert summarise(reports)["cameras"]["door"]["recorded"] == {"motion": 107}


def test_of_a_folder_in_which_nothing_was_recorded_by_choice_the_last_word_counts() -> None:
    reports = [recorded("second", 0, 5, skipped=100), recorded("first", 0, 5, skipped=30)]
    door = summarise(reports)["cameras"]["door"]
    assert (door["recorded"], door["skipped"]) == ({"motion": 0}, {"motion": 100})


def test_what_a_running_member_has_not_told_yet_is_in_flight_and_not_unaccounted() -> None:
    at = {"at_ns": 2_000}
    told = worked("one", offered=50, processed=50, ended=True, spans=((0, 1, 0, 50),)).model_copy(update=at)
    end = captured(100).model_copy(update=at)
    nodes = [
        NodeRecord(id=name, kind=NodeKind.PROCESS, group=group, host="h", pid=1)
        for name, group in (("one", "motion"), ("two", "motion"), ("capture-1", ""))
    ]

    def summary(heard_ns: int) -> CameraSummary:
        return summarise([end, told, StatsRecord(node="two", at_ns=heard_ns)], nodes)["cameras"]["door"]

    before, after = summary(1_999), summary(2_001)
    assert (before["unaccounted"], before["groups"]["motion"]["in_flight"]) == (0, 50)
    assert (after["unaccounted"], after["groups"]["motion"]["in_flight"]) == (50, 0)


def test_what_a_registry_forgot_when_it_started_anew_is_forgotten_and_not_unaccounted() -> None:
    spans = ((0, 1, 0, 40), (0, 1, 60, 100))
    told = worked("one", offered=80, processed=80, ended=True, spans=spans)
    reports = [captured(100), told.model_copy(update={"run": 1_000, "at_ns": 9_000})]
    for forgot_ns, unaccounted in ((500, 20), (2_000, 0)):
        door = summarise(reports, forgot_ns=forgot_ns)["cameras"]["door"]
        assert door["unaccounted"] == unaccounted
        assert door["groups"]["motion"]["dropped"] == ({} if unaccounted else {"forgotten": 20})
