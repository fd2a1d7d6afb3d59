"""What commands print on stdout: tables where it is a terminal, plain lines where it is not."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table


def is_terminal() -> bool:
    return sys.stdout.isatty()


def print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A rich table; numbers to the right."""
    shown = [[_shown(value) for value in row] for row in rows]
    made = Table(title=title, title_justify="left", header_style="bold")
    for index, name in enumerate(columns):
        numeric = bool(shown) and all(_is_number(row[index]) for row in shown)
        made.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in shown:
        made.add_row(*row)
    return made


def print_tables(
    tables: Iterable[tuple[str, Sequence[str], Sequence[Sequence[object]]]], *, nothing: str = ""
) -> None:
    """Tables of (title, columns, rows): drawn on a terminal, else tab-separated lines that begin with the
    title, so that `grep` and `cut` work on them. `nothing` is what a person reads where there is no row."""
    if is_terminal():
        console = Console()
        tables = list(tables)
        if nothing and not any(rows for _, _, rows in tables):
            console.print(nothing, markup=False, highlight=False, soft_wrap=True)
            return
        for title, columns, rows in tables:
            console.print(table(title, columns, rows))
        return
    for title, _, rows in tables:
        for row in rows:
            sys.stdout.write("\t".join([title, *map(_shown, row)]) + "\n")
    sys.stdout.flush()


def _shown(value: object) -> str:
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit() or text in ("", "-")
