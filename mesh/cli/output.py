"""What commands print on stdout: tables where it is a terminal, plain lines where it is not."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

_ANY = 10_000  # columns: no terminal has as many
Rows = tuple[str, Sequence[str], Sequence[Sequence[object]]]  # of a table: its title, its columns


def is_terminal() -> bool:
    return sys.stdout.isatty()


def print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, narrow: bool = False
) -> Table:
    """A rich table; numbers to the right. A `narrow` one has no lines between columns, over numbers a title's
    words stand above one another, and numbers are whole, or end in … where there is no room."""
    shown = [[_shown(value) for value in row] for row in rows]
    made = Table(title=title, title_justify="left", header_style="bold")
    if narrow:
        made.box, made.show_edge, made.pad_edge, made.padding = box.SIMPLE_HEAD, False, False, (0, 1, 0, 0)
    for index, name in enumerate(columns):
        if shown and all(_is_number(row[index]) for row in shown):
            heading = name.replace(" ", "\n") if narrow else name
            made.add_column(
                heading, justify="right", overflow="ellipsis" if narrow else "fold", no_wrap=narrow
            )
        else:
            made.add_column(name, justify="left", overflow="fold")
    for row in shown:
        made.add_row(*row)
    return made


def print_table(console: Console, made: Table, *, narrow: bool) -> None:
    """A `narrow` one that is too wide has a space between columns alone, before words are broken."""
    if (
        narrow
        and console.measure(made, options=console.options.update(max_width=_ANY)).maximum > console.width
    ):
        made.padding = 0
    console.print(made)


def print_tables(tables: Iterable[Rows], *, narrow: bool = False, nothing: str = "") -> None:
    """Tables of (title, columns, rows): drawn on a terminal, `narrow` or not, else tab-separated lines that
    begin with the title, so that `grep` and `cut` work on them. `nothing` is what a person reads where there
    is no row."""
    if is_terminal():
        console = Console()
        tables = list(tables)
        if nothing and not any(rows for _, _, rows in tables):
            console.print(nothing, markup=False, highlight=False, soft_wrap=True)
            return
        for number, (title, columns, rows) in enumerate(tables):
            console.print("\n" * (narrow and number > 0), end="")
            print_table(console, table(title, columns, rows, narrow=narrow), narrow=narrow)
        return
    for title, _, rows in tables:
        for row in rows:
            sys.stdout.write("\t".join([title, *map(_shown, row)]) + "\n")
    sys.stdout.flush()


def _shown(value: object) -> str:
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit() or text in ("", "-")
