"""Rows, targets, and how a report is shown: pure."""

import pytest

from mesh.bench.page import page
from mesh.bench.report import (
    COLUMNS,
    Measure,
    Report,
    Row,
    Target,
    at_least,
    at_most,
    cells,
    shown,
    shown_spread,
    skipped,
)


def row(ours: list[float], floor: list[float], target: Target | None = None) -> Row:
    return Row("a case", "ms", ours, floor, "the floor", target, work="work", command="mesh bench work")


def test_a_ratio_is_the_median_of_the_ratios_of_each_pair() -> None:
    # The second run met a machine ten times slower; the medians' own quotient would say 2.0.
    assert row([1.0, 20.0, 2.0], [1.0, 10.0, 1.0]).ratio == 2.0
    assert row([10.0, 2.0, 3.0], [10.0, 1.0, 2.0]).ratio == 1.5
    assert row([1.0], []).ratio is None
    assert row([1.0], [0.0]).ratio is None


@pytest.mark.parametrize(
    ("target", "met"),
    [
        (at_most(2.0), True),
        (at_most(1.9), False),
        (at_least(2.0), True),
        (at_least(2.1), False),
        (at_most(1.0, Measure.EXCESS), True),
        (at_most(0.9, Measure.EXCESS), False),
        (at_most(2.0, Measure.OURS), True),
        (at_least(2.5, Measure.OURS), False),
        (None, None),
    ],
)
def test_a_target_is_held_against_what_it_bounds(target: Target | None, met: bool | None) -> None:
    assert row([2.0, 1.5, 9.0], [1.0, 1.0, 1.0], target).is_met is met


def test_a_target_without_a_figure_is_neither_met_nor_missed() -> None:
    assert row([], [], at_most(1.05)).is_met is None
    assert row([1.0], [], at_most(1.05)).is_met is None
    assert row([1.0], [], at_most(1.05, Measure.OURS)).is_met is True


def test_a_target_says_what_it_bounds() -> None:
    assert str(at_most(1.05)) == "<= 1.05 x floor"
    assert str(at_most(0.4, Measure.EXCESS)) == "<= floor + 0.4"
    assert str(at_least(2500, Measure.OURS)) == ">= 2,500"


@pytest.mark.parametrize(
    ("figure", "text"), [(1234.5, "1,234"), (99.94, "99.9"), (1.239, "1.24"), (0.0334, "0.033"), (0, "0")]
)
def test_figures_are_shown_with_the_digits_that_tell_something(figure: float, text: str) -> None:
    assert shown(figure) == text


def test_a_spread_is_the_median_the_least_and_the_greatest() -> None:
    assert shown_spread([3.0, 1.5, 2.25]) == "2.25 (1.50-3)"
    assert shown_spread([3.0]) == "3"
    assert shown_spread([]) == "-"


def test_a_row_as_json_has_every_run() -> None:
    value = row([3.0, 1.0, 2.0], [1.0, 1.0, 1.0], at_most(1.05)).as_value()
    assert value["ours"] == {"median": 2.0, "min": 1.0, "max": 3.0, "runs": [3.0, 1.0, 2.0]}
    assert (value["ratio"], value["target"], value["met"]) == (2.0, "<= 1.05 x floor", False)
    assert value["command"] == "mesh bench work"


def test_a_skipped_row_says_why() -> None:
    gone = skipped("beside redis", "redis-server not found")
    assert gone.is_met is None
    assert "skipped: redis-server not found" in cells(gone)
    assert gone.as_value()["skipped"] == "redis-server not found"
    assert gone.as_value()["ours"] is None


def test_the_page_has_a_section_a_work_with_its_commands_and_the_machine() -> None:
    rows = (row([1.0], [1.0], at_most(1.05)), skipped("a | b", "why not"))
    text = page(Report({"cpu": "a fast one"}, rows, "2026-01-01T00:00:00+00:00", "synthetic"))
    lines = text.splitlines()
    assert "| cpu | a fast one |" in lines
    assert "## work" in lines
    assert sum(line.endswith("| `mesh bench work` |") for line in lines) == 1
    assert any(r"a \| b" in line and "skipped: why not" in line for line in lines)
    header = next(line for line in lines if line.startswith("| case"))
    assert header.count("|") == len(COLUMNS) + 1  # no work, but a command
