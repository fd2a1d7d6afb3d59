"""What `mesh stats` shows of a ledger."""

import io

import pytest
from rich.console import Console

from mesh.cli.output import Rows, print_table, table
from mesh.cli.statistics import drawn, plain
from mesh.ledger import GroupSummary, Summary

BUSY: GroupSummary = {
    "stage": "raw",
    "output": "motion",
    "members": ["p1", "p2"],
    "offered": 1234567,
    "overlap": 7,
    "processed": 1230000,
    "dropped": {"overwritten": 4321, "before_join": 2, "expired": 0},
    "lost": 12,
    "in_flight": 4,
    "duplicates": 5,
    "ended": False,
    "results": 1230000,
    "delivered": 1229000,
    "undelivered": {"spool_full": 900},
    "waiting": 100,
    "gone": False,
}
QUIET: GroupSummary = BUSY | {"overlap": 0, "dropped": {}, "duplicates": 0, "undelivered": {}}
SUMMARY: Summary = {
    "cameras": {
        "front-door": {
            "boot": 1,
            "captured": 1234567,
            "dropped": {"corrupt": 3},
            "groups": {"motion": BUSY, "codes": QUIET | {"gone": True}},
            "recorded": {"motion": 1229000, "raw": 1234567},
            "skipped": {},
            "duplicates": 5,
            "late": 0,
            "unaccounted": 0,
        }
    },
    "nodes": {},
}


def lines(tables: list[Rows], width: int) -> list[str]:
    text = io.StringIO()
    console = Console(file=text, width=width)
    for each in tables:
        print_table(console, table(*each, narrow=True), narrow=True)
    return [line.rstrip() for line in text.getvalue().splitlines()]


def test_a_terminal_of_a_hundred_columns_has_a_line_for_each_camera_and_group() -> None:
    shown = [" ".join(line.split()) for line in lines(drawn(SUMMARY), 100)]
    rows = [line for line in shown if line.startswith("front-door")]
    causes = "dropped: before_join 2, overwritten 4321; undelivered: spool_full 900; overlap 7;"
    assert rows == [
        "front-door 1234567 3 motion 1229000, raw 1234567 - 5 0 0",
        "front-door motion 1234567 1230000 4323 12 4 1230000 1229000 100",
        "front-door codes (gone) 1234567 1230000 0 12 4 1230000 1229000 100",
        "front-door - dropped: corrupt 3",
        f"front-door motion {causes}",
    ]
    assert "duplicates 5" in shown


def test_in_eighty_columns_names_can_still_be_read() -> None:
    shown = [" ".join(line.split()) for line in lines(drawn(SUMMARY)[1:2], 80)]
    assert "camera group offered processed dropped lost flight results delivered waiting" in shown
    assert "front-do motion 1234567 1230000 4323 12 4 1230000 1229000 100" in shown


def test_where_nothing_was_dropped_nothing_is_said_of_it() -> None:
    assert [title for title, _, _ in drawn({"cameras": {}, "nodes": {}})] == ["cameras", "groups"]


@pytest.mark.parametrize("index", [0, 1])
def test_a_pipe_gets_everything_in_a_line(index: int) -> None:
    _, columns, rows = plain(SUMMARY)[index]
    assert [len(row) for row in rows] == [len(columns)] * len(rows)
    assert "overwritten 4321" in str(plain(SUMMARY)[1][2][0])
