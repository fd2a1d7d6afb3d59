"""What a bench found: rows of figures, and how they are shown. Pure.

Rules kept here: a row keeps every run's figure; the figure shown is the median, with the least and the
greatest beside it; a ratio is the median of the runs' own ratios, because the runs of a pair stand next to
one another in time and share what else the machine does.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from statistics import median
from typing import Any


class Measure(StrEnum):
    """What a target bounds."""

    RATIO = "x floor"  # ours divided by the floor
    EXCESS = "over floor"  # ours less the floor, in the row's unit
    OURS = "ours"  # ours alone, in the row's unit


@dataclass(frozen=True, slots=True)
class Target:
    """A bound on one row: `at_most(1.05)` of the floor, unless `of` says otherwise."""

    bound: float
    is_least: bool
    of: Measure = Measure.RATIO

    def __str__(self) -> str:
        sign, bound = (">=" if self.is_least else "<="), f"{self.bound:,g}"
        if self.of is Measure.EXCESS:
            return f"{sign} floor + {bound}"
        return f"{sign} {bound}" + (" x floor" if self.of is Measure.RATIO else "")

    def is_met_by(self, value: float) -> bool:
        return value >= self.bound if self.is_least else value <= self.bound


def at_least(bound: float, of: Measure = Measure.RATIO) -> Target:
    return Target(bound, True, of)


def at_most(bound: float, of: Measure = Measure.RATIO) -> Target:
    return Target(bound, False, of)


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: what it is of, its floor, and ours.

    case:      what exactly was done
    unit:      of `floor` and `ours`
    ours:      one figure a run
    floor:     one figure a run, taken by turns with ours; empty where there is no floor
    floor_is:  what was measured as the floor
    target:    what must be reached
    note:      what else belongs to the figure, such as frames lost
    skipped:   why there is no figure, though nothing failed
    failed:    what went wrong while it was measured
    work, command: the bench, and how to repeat the row; the catalog fills them in
    """

    case: str
    unit: str
    ours: Sequence[float] = ()
    floor: Sequence[float] = ()
    floor_is: str = ""
    target: Target | None = None
    note: str = ""
    skipped: str = ""
    failed: str = ""
    work: str = ""
    command: str = ""

    @property
    def ratio(self) -> float | None:
        """Ours to the floor; None without a floor, or with one of 0."""
        return _middle(one / floor for one, floor in self._pairs() if floor)

    @property
    def is_met(self) -> bool | None:
        """Whether the target is reached; None without a target or a figure to hold against it."""
        value = None if self.target is None else self._measured(self.target.of)
        return None if value is None or self.target is None else self.target.is_met_by(value)

    def as_value(self) -> dict[str, Any]:
        """What `--json` prints of it."""
        return {
            "work": self.work,
            "case": self.case,
            "unit": self.unit,
            "floor": as_spread(self.floor),
            "floor_is": self.floor_is,
            "ours": as_spread(self.ours),
            "ratio": None if self.ratio is None else round(self.ratio, 4),
            "target": None if self.target is None else str(self.target),
            "met": self.is_met,
            "note": self.note,
            "skipped": self.skipped,
            "failed": self.failed,
            "command": self.command,
        }

    def _pairs(self) -> list[tuple[float, float]]:
        return list(zip(self.ours, self.floor, strict=False))

    def _measured(self, what: Measure) -> float | None:
        if what is Measure.RATIO:
            return self.ratio
        if what is Measure.EXCESS:
            return _middle(one - floor for one, floor in self._pairs())
        return _middle(self.ours)


def skipped(case: str, why: str, floor_is: str = "") -> Row:
    """A row that says why there is no figure."""
    return Row(case, "", skipped=why, floor_is=floor_is)


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that one `mesh bench` found, with the machine that it ran on."""

    machine: Mapping[str, str]
    rows: tuple[Row, ...] = ()
    started: str = ""  # ISO 8601, UTC
    pictures: str = ""

    def with_row(self, row: Row) -> "Report":
        return replace(self, rows=(*self.rows, row))

    def as_value(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "started": self.started,
            "machine": dict(self.machine),
            "pictures": self.pictures,
            "rows": [row.as_value() for row in self.rows],
        }


COLUMNS = ("work", "case", "unit", "floor", "ours", "ratio", "target", "met", "floor is", "note")


def cells(row: Row) -> list[str]:
    """A row as text, in the order of `COLUMNS`."""
    return [
        row.work,
        row.case,
        row.unit,
        shown_spread(row.floor),
        shown_spread(row.ours),
        "-" if row.ratio is None else f"{row.ratio:.2f}",
        "-" if row.target is None else str(row.target),
        {True: "yes", False: "NO", None: "-"}[row.is_met],
        row.floor_is or "-",
        remark(row),
    ]


def remark(row: Row) -> str:
    """Why there is no figure, or what else belongs to it."""
    if row.failed:
        return f"failed: {row.failed}"
    return f"skipped: {row.skipped}" if row.skipped else row.note


def as_spread(figures: Sequence[float]) -> dict[str, Any] | None:
    """The median, the least and the greatest, and every run's figure; None where there is none."""
    if not figures:
        return None
    return {"median": median(figures), "min": min(figures), "max": max(figures), "runs": list(figures)}


def shown_spread(figures: Sequence[float]) -> str:
    """`1,234 (1,200-1,260)`: the median, the least and the greatest."""
    if not figures:
        return "-"
    if len(figures) == 1:
        return shown(figures[0])
    return f"{shown(median(figures))} ({shown(min(figures))}-{shown(max(figures))})"


def shown(figure: float) -> str:
    """A figure with three digits or so that tell something."""
    size = abs(figure)
    decimals = 0 if size >= 100 or figure == int(figure) else 1 if size >= 10 else 2 if size >= 1 else 3
    return f"{figure:,.{decimals}f}"


def _middle(figures: Iterable[float]) -> float | None:
    found = list(figures)
    return median(found) if found else None
