"""Nodes, cameras and groups as rows."""

from collections.abc import Sequence
from typing import Any

import pytest

from mesh.ages import bucket
from mesh.errors import ConfigError
from mesh.registry.records import CameraState, GroupRecord, NodeState, StatsRecord
from mesh.top.columns import CAMERAS, GROUPS, NODES, TABLES, check_column, headline, text_tables
from mesh.top.look import Look
from mesh.top.rates import History, advanced
from mesh.top.rows import Board, Drops, board
from tests.top.world import camera, captured, grouped, look, node, recorded, report


def seen(*looks: Look) -> Board:
    history: History = {}
    for each in looks:
        history = advanced(history, each.reports, each.at)
    return board(looks[-1], history)


def ages(age_s: float, frames: int = 100) -> tuple[int, ...]:
    at = bucket(round(age_s * 1e9))
    return (*[0] * at, frames)


def site(second: int) -> Look:
    """A small mesh at work: 25 frames a second, of which 5 are dropped."""
    n = 25 * second
    reports = [
        report("cam", second, captured("door", n), cpu_s=0.5 * second, rss_bytes=10**8),
        report(
            "p1",
            second,
            grouped(
                "door",
                offered=n,
                processed=20 * second,
                dropped={"overwritten": 5 * second},
                results=20 * second,
                delivered=20 * second,
                pushes=True,
                spans=((0, 9, 0, n),),
                ages=ages(0.03, 20 * second),
            ),
        ),
        report("store", second, recorded("door", 20 * second, ages=ages(0.12, 20 * second))),
    ]
    nodes = [node("cam", "capture"), node("p1", group="motion"), node("store", "collect")]
    holds = GroupRecord(group="motion", node="p1", input="raw", stage="motion", holds={"door/0": ()})
    return look(second, nodes, [camera("door")], reports, groups=[holds])


def test_a_mesh_at_work() -> None:
    found = seen(site(1), site(2))
    cam, p1, store = found.nodes
    assert (cam.fps_in, cam.fps_out, cam.cpu_percent, cam.rss_bytes) == (25, 25, 50, 10**8)
    assert (cam.has, p1.has, store.has) == (("door",), ("door/0",), ())
    assert (p1.fps_in, p1.fps_out, p1.dropped_per_s) == (25, 20, 5)
    assert (p1.cpu_percent, p1.rss_bytes) == (None, None)  # it does not report them
    assert (store.fps_in, store.fps_out) == (20, 20)
    (door,) = found.cameras
    assert (door.fps_captured, door.fps_recorded) == (25, {"motion": 20})
    assert door.dropped == {"overwritten": Drops(5, 10)}
    (motion,) = found.groups
    assert (motion.members, motion.cameras, motion.fps_in, motion.fps_out) == (("p1",), 1, 25, 20)
    assert motion.age.p50_ms == pytest.approx(30, rel=0.4)
    assert door.age.p50_ms == pytest.approx(120, rel=0.4)
    assert headline(found) == "3 nodes  1/1 cameras  25.0 fps  5.0 dropped/s"


def test_after_one_look_rates_are_not_known_and_totals_are() -> None:
    found = seen(site(2))
    assert found.nodes[0].fps_in is None
    assert found.groups[0].fps_in is None
    assert found.groups[0].dropped == {"overwritten": Drops(0, 10)}
    assert headline(found) == "3 nodes  1/1 cameras  - fps  - dropped/s"


def test_a_killed_node_and_a_camera_that_nobody_captures_stay_in_sight() -> None:
    reports = [report("cam", 1, captured("door", 9))]
    found = seen(look(2, [], [], reports, waiting={"gate": "no node has the label site=gate"}))
    (cam,) = found.nodes
    assert (cam.node, cam.kind, cam.state, cam.fps_in) == ("cam", "capture", "died", None)
    states = {row.camera: (row.state, row.why) for row in found.cameras}
    assert states == {"door": ("gone", ""), "gate": ("waiting", "no node has the label site=gate")}


def test_a_node_that_left_has_ended_and_one_that_started_anew_has_not_reported() -> None:
    nodes = [node("left", state=NodeState.ENDED), node("anew", started=7)]
    reports = [report("left", 1, final=True), report("anew", 1, grouped("door", in_flight=3), run=2)]
    left, anew = sorted(seen(look(2, nodes, [], reports)).nodes, key=lambda row: row.node, reverse=True)
    assert (left.state, anew.state) == ("ended", "running")
    assert (anew.fps_in, anew.queue) == (None, 0)


MACHINES = [
    pytest.param("a/1", "b/1", 2.5, id="each machine by its own clock"),
    pytest.param("a/1", "a/2", 0.5, id="one machine has one clock"),
    pytest.param("", "", 2.5, id="machines that are not known"),
]


@pytest.mark.parametrize(("origin", "to", "true_s"), MACHINES)
def test_ages_between_machines_are_corrected_by_both_clocks(origin: str, to: str, true_s: float) -> None:
    """The camera's clock is 1 s ahead of the registry's, and the other one 1 s behind: an age of 2.5 s is
    measured as half a second."""

    def at(second: int) -> Look:
        counts = grouped("door", offered=second, ages=ages(0.5, 100 * second))
        reports = [
            report("cam", second, captured("door", second), clock_offset_ns=10**9, clock_error_ns=0),
            report("p1", second, counts, clock_offset_ns=-(10**9), clock_error_ns=0),
        ]
        nodes = [node("cam", "capture", place=origin), node("p1", place=to)]
        return look(second, nodes, [camera("door")], reports)

    (motion,) = seen(at(1), at(2)).groups
    assert motion.age.p50_ms is not None
    assert motion.age.p50_ms / 1e3 == pytest.approx(true_s, abs=0.15)


def test_cameras_of_several_clocks_are_put_together_after_their_correction() -> None:
    def at(second: int) -> Look:
        behind = [grouped(name, offered=second, ages=ages(0.5, 10 * second)) for name in ("door", "gate")]
        reports = [
            report("cam", second, captured("door", second), clock_offset_ns=0, clock_error_ns=0),
            report("far", second, captured("gate", second), clock_offset_ns=3 * 10**9, clock_error_ns=0),
            report("p1", second, *behind, clock_offset_ns=0, clock_error_ns=0),
        ]
        nodes = [
            node(name, kind, place=f"{name}/1")
            for name, kind in (("cam", "capture"), ("far", "capture"), ("p1", "process"))
        ]
        return look(second, nodes, [camera("door"), camera("gate", "far")], reports)

    (motion,) = seen(at(1), at(2)).groups
    assert motion.age.p99_ms is not None
    assert motion.age.p50_ms is not None
    assert motion.age.p50_ms < 600
    assert motion.age.p99_ms > 3300


def test_several_members_of_a_group_are_one_row() -> None:
    def at(second: int) -> Look:
        reports = [
            report(
                name,
                second,
                grouped(of, offered=10 * second, results=10 * second, spans=((0, 9, 0, 10 * second),)),
            )
            for name, of in (("p1", "door"), ("p2", "gate"))
        ]
        return look(second, [node("p1"), node("p2")], [], reports)

    (motion,) = seen(at(1), at(2)).groups
    assert (motion.members, motion.cameras, motion.fps_in, motion.fps_out) == (("p1", "p2"), 2, 20, 20)


def test_collectors_of_one_stage_at_the_same_time_have_a_row_each() -> None:
    def counts(second: int, every: int) -> list[object]:
        base: dict[str, Any] = {
            "group": "collect",
            "output": "raw",
            "offered": every * second,
            "processed": every * second,
        }
        spans = ((0, 9, 0, every * second),)
        return [
            grouped("door", 1, **base, spans=spans),
            recorded("door", every * second, "raw", ages=ages(0.05, every * second)),
        ]

    def at(second: int) -> Look:
        reports: Sequence[StatsRecord] = [
            report(name, second, *counts(second, every))  # type: ignore[arg-type]  # counts, each
            for name, every in (("s1", 10), ("s2", 20))
        ]
        return look(second, [node("s1", "collect"), node("s2", "collect")], [], reports)

    found = seen(at(1), at(2))
    assert {row.group: row.fps_in for row in found.groups} == {"collect@s1": 10, "collect@s2": 20}
    assert all(row.age.p50_ms == pytest.approx(50, rel=0.4) for row in found.groups)
    assert {row.node: row.fps_in for row in found.nodes} == {"s1": 10, "s2": 20}  # each frame once
    assert found.cameras[0].fps_recorded == {"raw": 20}


def mixed() -> Board:
    names = ("gate", "door", "yard")
    reports = [report("cam", s, *(captured(n, s * (i + 1)) for i, n in enumerate(names[:2]))) for s in (1, 2)]
    cameras = [camera(name) for name in names[:2]] + [
        camera("yard", state=CameraState.FAILED, why="No Route")
    ]
    nodes = [node("cam", "capture")]
    return seen(look(1, nodes, cameras, reports[:1]), look(2, nodes, cameras, reports[1:]))


@pytest.mark.parametrize(
    ("sort", "reverse", "order"),
    [
        ("", False, ["door", "gate", "yard"]),
        ("", True, ["yard", "gate", "door"]),
        ("in", False, ["gate", "door", "yard"]),
        ("in", True, ["door", "gate", "yard"]),  # what is not known stays last
        ("state", False, ["yard", "door", "gate"]),
        ("memory", False, ["door", "gate", "yard"]),  # this table has no such column
    ],
)
def test_rows_are_sorted_by_any_column(sort: str, reverse: bool, order: list[str]) -> None:
    assert [row.camera for row in CAMERAS.ordered(mixed(), sort, reverse)] == order


@pytest.mark.parametrize(
    ("text", "found"),
    [("DOOR", ["door"]), ("no route", ["yard"]), ("640x", ["door", "gate", "yard"]), ("?", [])],
)
def test_a_filter_looks_at_every_column_whatever_its_case(text: str, found: list[str]) -> None:
    assert [row.camera for row in CAMERAS.ordered(mixed(), text=text)] == found


def test_a_wider_terminal_has_more_columns_and_a_small_one_the_most_wanted() -> None:
    for table in TABLES:
        widths = [len(table.shown(width)) for width in (80, 110, 160)]
        assert widths[0] < widths[1] <= widths[2]
        assert widths[-1] == len(table.columns)
    assert [column.key for column in NODES.shown(80)] == [
        *("node", "state", "cpu", "memory", "in", "out", "p99", "dropped", "has"),
    ]


def test_every_cell_of_every_table_can_be_shown_of_known_and_unknown() -> None:
    for found in (seen(site(1), site(2)), seen(site(2)), mixed(), Board(0)):
        for name, titles, rows in text_tables(found):
            assert name in ("nodes", "cameras", "groups")
            assert all(len(row) == len(titles) for row in rows)
    (row,) = GROUPS.ordered(seen(site(1), site(2)))
    assert GROUPS.columns[-1].text(row) == "overwritten 10 (5.0/s)"


def test_a_long_text_is_cut_on_the_screen_and_a_name_is_not() -> None:
    why = "No Route To The Camera At All"
    nodes = [node("n" * 63, "capture", state=NodeState.DEGRADED, why=why)]
    (row,) = NODES.ordered(seen(look(1, nodes)))
    cells = {column.key: (column.text(row), column.short(row)) for column in NODES.columns}
    assert cells["node"] == ("n" * 63, "n" * 63)
    assert cells["state"] == (f"degraded: {why}", "degraded: No Route To The C…")
    assert [found.why for found in NODES.ordered(seen(look(1, nodes)), text="at all")] == [why]


def test_a_column_that_no_table_has_is_refused_with_those_that_there_are() -> None:
    assert check_column("p99") == "p99"
    assert [check_column(title) for title in ("fps", "FPS in", "recorded", "dropped")] == [
        "in",
        "in",
        "out",
        "dropped",
    ]
    with pytest.raises(ConfigError, match=r"--sort 'speed' is no column: use one of node, kind, .*waiting"):
        check_column("speed")
