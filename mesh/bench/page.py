"""docs/benchmarks.md: a report as a page, with what its rows mean and how to repeat them. Pure."""

from collections.abc import Iterable, Sequence
from itertools import groupby

from mesh.bench.report import COLUMNS, Report, Row, cells

INTRO = """\
# Benchmarks

Made by `make bench`; do not edit. What the mesh costs, beside the floor of the same work: the least that it
can cost on this machine, with the bare libraries and nothing around them.

How to read it:

- **floor** and **ours** are medians of several runs, with the least and the greatest in brackets. The two are
  measured in the same run, by turns, so whatever else the machine did met both.
- **ratio** is the median of each run's own ours / floor. Compare ratios: a figure in milliseconds is this
  machine's, a ratio is nearly the same on another.
- **target** says what must be reached, and **met** whether it is. A target that is missed stays in the table.
- Rates are of frames *received*; **note** says how many were lost on the way. The sender stays at most a few
  frames ahead of its receiver, so a rate is what a link carries, not how fast it throws frames away.
- CPU is user and system time of all processes that take part, by the kernel's own accounts, without the
  warm-up.
- "Beside http", "redis", "imagezmq": the way that people come from stands in the floor's column. One whose
  package or server is missing is skipped, and says so.

The **command** of a row measures it again, with its neighbours. `mesh bench all --json` is for programs.
"""

_NARROW = {"work"}  # the section says it


def page(report: Report) -> str:
    """The whole page, as Markdown."""
    parts = [INTRO, _machine(report)]
    for work, rows in groupby(report.rows, key=lambda row: row.work):
        parts.append(_section(work, list(rows)))
    return "\n".join(parts)


def _machine(report: Report) -> str:
    rows = [[name, value] for name, value in report.machine.items()]
    rows += [["pictures", report.pictures], ["measured", report.started]]
    return "## Machine\n\n" + _table(["what", "which"], rows)


def _section(work: str, rows: Sequence[Row]) -> str:
    keep = [index for index, column in enumerate(COLUMNS) if column not in _NARROW]
    shown = ([*(cells(row)[index] for index in keep), f"`{row.command}`"] for row in rows)
    return f"## {work}\n\n{_table([*(COLUMNS[index] for index in keep), 'command'], shown)}"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(_escaped(cell) for cell in line) + " |\n" for line in lines)


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")
