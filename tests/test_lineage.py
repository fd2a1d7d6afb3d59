"""One group over nodes that served it one after another: who was killed, what is known of it, and the sum."""

from typing import Any

from mesh.ledger import GroupSummary, summarise
from mesh.ledger.members import Life, Member, lines
from mesh.registry.records import CameraCount, GroupCount, NodeKind, NodeRecord, NodeState, StatsRecord

S = 1_000_000_000


def camera(captured: int, *, ended: bool = True) -> StatsRecord:
    count = CameraCount(camera="door", boot=7, captured=captured, ended=ended)
    return StatsRecord(node="capture", at_ns=100 * S, run=S, cameras=(count,), final=ended)


def worked(
    run: int, at: int, *, node: str = "process", final: bool = False, group: str = "motion", **counts: Any
) -> StatsRecord:
    """What a node that started at second `run` reported at second `at`; `joined` is short for before_join."""
    joined = counts.pop("joined", 0)
    dropped = counts.pop("dropped", {}) | ({"before_join": joined} if joined else {})
    values = {"stage": "raw", "group": group, "output": group, "dropped": dropped, "pushes": True} | counts
    known = joined + counts.get("processed", 0) + counts.get("lost", 0) + counts.get("in_flight", 0)
    values.setdefault("offered", known + sum(n for cause, n in dropped.items() if cause != "before_join"))
    count = GroupCount.model_validate({"camera": "door", "boot": 7} | values)
    return StatsRecord(node=node, at_ns=at * S, run=run * S, final=final, groups=(count,))


def node(name: str, run: int, state: NodeState = NodeState.RUNNING) -> NodeRecord:
    return NodeRecord(id=name, kind=NodeKind.PROCESS, host="h", pid=1, state=state, started_ns=run * S)


def door(*reports: StatsRecord, nodes: list[NodeRecord], groups: int = 1) -> dict[str, GroupSummary]:
    summary = summarise(reports, [node("capture", 1), *nodes])["cameras"]["door"]
    assert summary["unaccounted"] == 0
    assert len(summary["groups"]) == groups
    return summary["groups"]


def test_killed_and_succeeded_by_another_is_one_group_with_the_rest_named() -> None:
    first = worked(10, 20, processed=40, in_flight=3, results=40, delivered=38, waiting=2)
    second = worked(25, 60, joined=55, processed=45, ended=True, results=45, delivered=45)
    group = door(camera(100), first, second, nodes=[node("process", 25)])["motion"]
    assert (group["offered"], group["processed"], group["in_flight"]) == (100, 85, 0)
    assert group["dropped"] == {"died": 3 + (55 - 43)}
    assert (group["results"], group["delivered"], group["undelivered"]) == (85, 83, {"died": 2})
    assert group["ended"]
    assert not group["gone"]


def test_a_successor_may_have_another_name() -> None:
    first = worked(10, 20, node="one", processed=40)
    second = worked(25, 60, node="two", joined=55, processed=45, ended=True)
    group = door(camera(100), first, second, nodes=[node("two", 25)])["motion"]
    assert (group["processed"], group["dropped"]) == (85, {"died": 15})


def test_killed_with_nobody_in_its_place_is_gone() -> None:
    first = worked(10, 20, processed=40, in_flight=3)
    group = door(camera(100, ended=False), first, nodes=[])["motion"]
    assert (group["gone"], group["ended"], group["dropped"]) == (True, False, {"died": 60})
    group = door(camera(100), first, nodes=[])["motion"]
    assert (group["gone"], group["ended"], group["in_flight"]) == (True, True, 0)


def test_what_the_one_who_was_killed_dropped_and_lost_still_counts() -> None:
    first = worked(10, 20, joined=5, processed=40, lost=2, dropped={"expired": 3})
    second = worked(25, 60, joined=50, processed=50, dropped={"expired": 1}, ended=True)
    group = door(camera(101), first, second, nodes=[node("process", 25)])["motion"]
    assert group["dropped"] == {"before_join": 5, "expired": 4}
    assert group["lost"] == 2


def test_between_a_node_that_left_and_the_next_nobody_took_them() -> None:
    first = worked(10, 20, final=True, processed=40, ended=False)
    second = worked(25, 60, joined=55, processed=45, ended=True)
    group = door(camera(100), first, second, nodes=[node("process", 25)])["motion"]
    assert group["dropped"] == {"left": 15}


def test_after_a_node_that_left_properly_nobody_takes_them() -> None:
    first = worked(10, 20, final=True, processed=40)
    ended = node("process", 10, NodeState.ENDED)
    group = door(camera(100, ended=False), first, nodes=[ended])["motion"]
    assert (group["dropped"], group["in_flight"], group["gone"]) == ({"left": 60}, 0, False)


def test_three_lives_add_up() -> None:
    reports = [
        worked(10, 20, processed=10, in_flight=1),
        worked(30, 40, joined=20, processed=10, in_flight=2),
        worked(50, 60, joined=40, processed=60, ended=True),
    ]
    group = door(camera(100), *reports, nodes=[node("process", 50)])["motion"]
    assert (group["processed"], group["dropped"]) == (80, {"died": 1 + 9 + 2 + 8})


def test_while_the_successor_runs_the_newest_frames_are_in_flight() -> None:
    first = worked(10, 20, processed=40)
    second = worked(25, 60, joined=50, processed=30)
    group = door(camera(90, ended=False), first, second, nodes=[node("process", 25)])["motion"]
    assert (group["in_flight"], group["dropped"]) == (10, {"died": 10})


def test_nodes_that_worked_at_the_same_time_are_one_group() -> None:
    one = worked(10, 20, node="one", processed=40, in_flight=2)
    two = worked(10, 60, node="two", processed=100, ended=True)
    group = door(camera(100), one, two, nodes=[node("two", 10)])["motion"]
    assert (group["gone"], group["overlap"], group["processed"]) == (False, 42, 140)
    assert group["dropped"] == {"died": 2}


def test_two_collectors_that_were_both_killed_are_each_succeeded_by_their_own() -> None:
    def member(name: str, run: int, at: int, life: Life) -> Member:
        return Member(name, run, at, life, worked(run, at).groups[0])

    first = [member("a", 1, 10, Life.DIED), member("b", 1, 10, Life.DIED)]
    then = [member("b", 12, 20, Life.RUNNING), member("a", 13, 20, Life.RUNNING)]
    assert [[m.node for m in line] for line in lines([*then, *first])] == [["a", "a"], ["b", "b"]]


def carried(results: int, delivered: int = 0, **undelivered: int) -> dict[str, Any]:
    return {"results": results, "delivered": delivered, "undelivered": undelivered}


def test_results_that_a_spool_carried_over_are_counted_once() -> None:
    first = worked(10, 20, processed=40, results=40, delivered=10, waiting=30, spooled=20)
    second = worked(
        25,
        60,
        joined=50,
        processed=50,
        ended=True,
        results=42 + 50,  # the spool knew of two more than the last report
        delivered=10 + 22 + 50,
        undelivered={"died": 10},
        carried=carried(42, 10, died=10),
    )
    group = door(camera(100), first, second, nodes=[node("process", 25)])["motion"]
    assert (group["results"], group["delivered"], group["waiting"]) == (92, 82, 0)
    assert group["undelivered"] == {"died": 10}


def test_a_last_report_that_knew_more_than_the_spool_is_believed() -> None:
    first = worked(10, 20, processed=45, results=45, delivered=15, waiting=30, spooled=20)
    second = worked(
        25,
        60,
        joined=50,
        processed=50,
        ended=True,
        results=90,
        delivered=80,
        carried=carried(40, 10, died=10),
    )
    group = door(camera(100), first, second, nodes=[node("process", 25)])["motion"]
    assert (group["results"], group["delivered"]) == (95, 85)
    assert group["undelivered"] == {"died": 10}


def test_results_that_wait_on_the_disk_of_a_node_that_left_are_waiting() -> None:
    first = worked(10, 20, final=True, processed=100, ended=True, results=100, waiting=100, spooled=100)
    group = door(camera(100), first, nodes=[])["motion"]
    assert (group["waiting"], group["undelivered"], group["gone"]) == (100, {}, False)


def test_results_that_nobody_pushes_are_not_missed() -> None:
    first = worked(10, 20, processed=40, results=40, pushes=False)
    second = worked(25, 60, joined=40, processed=60, results=60, ended=True, pushes=False)
    group = door(camera(100), first, second, nodes=[node("process", 25)])["motion"]
    assert (group["results"], group["undelivered"]) == (100, {})


def test_what_a_node_had_that_was_killed_before_it_reported_it_is_died() -> None:
    """One hands over to two, which is killed at once; three goes on."""
    one = worked(10, 60, node="one", processed=42, spans=((0, 5, 0, 42),), ended=True)
    two = StatsRecord(node="two", at_ns=20 * S, run=20 * S)
    three = worked(25, 60, node="three", processed=50, spans=((0, 5, 50, 100),), ended=True)
    group = door(camera(100), one, two, three, nodes=[node("one", 10), node("three", 25)])["motion"]
    assert group["dropped"] == {"died": 8}


def test_a_hole_that_nobody_explains_is_in_flight_while_the_stream_runs_and_a_bug_once_it_has_ended() -> None:
    nodes = [node("capture", 1), node("one", 10), node("two", 10)]

    def reports(*, ended: bool) -> list[StatsRecord]:
        one = worked(10, 60, node="one", processed=42, spans=((0, 5, 0, 42),), ended=ended)
        two = worked(10, 60, node="two", processed=50, spans=((0, 5, 50, 100),), ended=ended)
        return [camera(100, ended=ended), one, two]

    found = summarise(reports(ended=False), nodes)["cameras"]["door"]
    assert (found["groups"]["motion"]["in_flight"], found["unaccounted"]) == (8, 0)
    found = summarise(reports(ended=True), nodes)["cameras"]["door"]
    assert (found["groups"]["motion"]["in_flight"], found["unaccounted"]) == (0, 8)


def behind(processed: int, *spans: tuple[int, int, int, int]) -> StatsRecord:
    """A group behind `motion`."""
    return worked(
        10, 60, node="codes", group="codes", stage="motion", processed=processed, spans=spans, ended=True
    )


def test_what_a_publisher_that_gave_its_partition_up_sent_last_is_lost_or_was_before_the_join() -> None:
    halves = ((0, 5, 0, 40), (0, 5, 40, 100))
    one, two = (
        worked(10, 60, node=f"p{run}", processed=p, results=p, publishes=run, spans=(span,), ended=True)
        for run, p, span in ((8, 40, halves[0]), (9, 60, halves[1]))
    )
    nodes = [node("p8", 10), node("p9", 10), node("codes", 10)]
    heard = door(camera(100), one, two, behind(98, (0, 8, 0, 38), (0, 9, 0, 60)), nodes=nodes, groups=2)
    assert (heard["codes"]["lost"], heard["codes"]["dropped"]) == (2, {})
    unheard = door(camera(100), one, two, behind(60, (0, 9, 0, 60)), nodes=nodes, groups=2)
    assert (unheard["codes"]["lost"], unheard["codes"]["dropped"]) == (0, {"before_join": 40})


def test_what_a_publisher_that_was_killed_sent_last_died_with_it() -> None:
    one = worked(10, 20, node="one", processed=40, results=40, publishes=8, spans=((0, 5, 0, 40),))
    two = worked(25, 60, processed=60, results=60, publishes=9, spans=((0, 5, 40, 100),), ended=True)
    last = behind(98, (0, 8, 0, 38), (0, 9, 0, 60))
    groups = door(camera(100), one, two, last, nodes=[node("process", 25), node("codes", 10)], groups=2)
    assert (groups["codes"]["offered"], groups["codes"]["dropped"]) == (100, {"died": 2})


def test_a_stream_that_came_from_a_relay_is_not_missed_from_its_origin() -> None:
    one = worked(10, 60, processed=100, results=100, publishes=8, spans=((0, 5, 0, 100),), ended=True)
    last = behind(100, (0, 77, 0, 100))
    groups = door(camera(100), one, last, nodes=[node("process", 10), node("codes", 10)], groups=2)
    assert (groups["codes"]["offered"], groups["codes"]["in_flight"]) == (100, 0)


def test_a_node_that_carries_on_what_two_dead_ones_left_shows_it_once() -> None:
    dead = [
        worked(10, 20, node=name, processed=p, results=p, waiting=p, spooled=p, spans=(span,))
        for name, p, span in (("one", 40, (0, 5, 0, 40)), ("two", 30, (1, 5, 0, 30)))
    ]
    spans = ((0, 5, 40, 50), (1, 5, 30, 50))
    third = worked(
        25,
        60,
        node="three",
        processed=30,
        results=100,
        delivered=100,
        carried=carried(70),
        spans=spans,
        ended=True,
    )
    group = door(camera(100), *dead, third, nodes=[node("three", 25)])["motion"]
    assert (group["results"], group["delivered"], group["waiting"]) == (100, 100, 0)


def test_what_a_dead_node_left_in_a_spool_that_nobody_found_is_waiting() -> None:
    one = worked(10, 20, node="one", processed=40, results=40, waiting=40, spooled=30)
    other = worked(25, 60, node="other", joined=40, processed=60, results=60, delivered=60, ended=True)
    group = door(camera(100), one, other, nodes=[node("other", 25)])["motion"]
    assert (group["results"], group["delivered"], group["waiting"]) == (100, 60, 30)
    assert group["undelivered"] == {"died": 10}


def test_in_a_stream_that_is_older_than_reports_are_kept_a_hole_between_members_is_forgotten() -> None:
    one = worked(10, 660, node="one", processed=42, spans=((0, 5, 0, 42),))
    two = worked(10, 660, node="two", processed=50, spans=((0, 5, 50, 100),))
    group = door(camera(100, ended=False), one, two, nodes=[node("one", 10), node("two", 10)])["motion"]
    assert (group["dropped"], group["in_flight"]) == ({"forgotten": 8}, 0)
