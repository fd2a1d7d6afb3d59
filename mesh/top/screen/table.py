"""One table of the screen, brought up to date in place.

Rules kept here: the row that was chosen stays chosen, wherever it moves to, and what was scrolled to stays; a
cell that did not change is not touched.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text
from textual.widgets import DataTable

from mesh.top.columns import Column, Table
from mesh.top.rows import Board

REBUILD = 50  # rows that go at once: beyond that the table is filled anew
UP, DOWN = "▲", "▼"


class BoardTable(DataTable[Text]):
    """The rows of one table, sorted by `by` (empty: as they come)."""

    def __init__(self, content: Table[Any], by: str = "") -> None:
        super().__init__(id=content.name, cursor_type="row", cell_padding=1)
        self.content = content
        self.by = by if by in [column.key for column in content.columns] else ""
        self.backwards = False
        self._shown_as: tuple[object, ...] = ()

    def sort_next(self, step: int, width: int) -> None:
        """Sort by the next column of those that are shown, or the one before; beyond the ends by none."""
        keys = ["", *(column.key for column in self.content.shown(width))]
        here = keys.index(self.by) if self.by in keys else 0
        self.by = keys[(here + step) % len(keys)]

    def sort_on(self, key: str) -> None:
        """Sort by a column; by the one that it is sorted by already, the other way round."""
        self.backwards = not self.backwards if key == self.by else False
        self.by = key

    def show(self, board: Board, text: str, width: int) -> None:
        """Show a board's rows that `text` is found in, in a terminal of that width."""
        chosen, columns = self._chosen_row(), self.content.shown(width)
        rows = self.content.ordered(board, self.by, self.backwards, text)
        cells = {self.content.key(row): [_cell(column, row) for column in columns] for row in rows}
        self._have_columns(columns, cells)
        self._have_rows(columns, cells)
        self._put_in_order(list(cells))
        if chosen in cells:
            self.move_cursor(row=self.get_row_index(chosen), scroll=False)
        every = len(self.content.rows(board))
        self.border_title = f"{self.content.name} {len(rows)}" + (f" of {every}" if text else "")

    def _chosen_row(self) -> str:
        if not self.is_valid_coordinate(self.cursor_coordinate):
            return ""
        return str(self.coordinate_to_cell_key(self.cursor_coordinate).row_key.value)

    def _have_columns(self, columns: Sequence[Column[Any]], cells: Mapping[str, object]) -> None:
        """Begin anew where there are other columns, or many rows less."""
        layout = (*(column.key for column in columns), self.by, self.backwards)
        if layout == self._shown_as and len(self.rows.keys() - cells.keys()) < REBUILD:
            return
        self._shown_as = layout
        scrolled = self.scroll_offset
        self.clear(columns=True)
        for column in columns:
            mark = (DOWN if self.backwards else UP) if column.key == self.by else " "
            self.add_column(_justified(f"{column.title}{mark}", column), key=column.key)
        self.call_after_refresh(self.scroll_to, *scrolled, animate=False)

    def _have_rows(self, columns: Sequence[Column[Any]], cells: Mapping[str, Sequence[Text]]) -> None:
        """Have just these rows, in whatever order. Columns grow and do not shrink: the picture stays calm,
        and the table need not look at every row for each cell that changed."""
        widths = [column.content_width for column in self.ordered_columns]
        have = {str(key.value) for key in self.rows}
        for key in have - cells.keys():
            self.remove_row(key)
        for key, row in cells.items():
            if key not in have:
                self.add_row(*row, key=key)
                continue
            for column, cell, width in zip(columns, row, widths, strict=True):
                if self.get_cell(key, column.key) != cell:
                    self.update_cell(key, column.key, cell, update_width=cell.cell_len > width)

    def _put_in_order(self, wanted: Sequence[str]) -> None:
        if [str(row.key.value) for row in self.ordered_rows] == wanted:
            return
        name = self.content.columns[0]
        ranks = {str(self.get_cell(key, name.key)): rank for rank, key in enumerate(wanted)}
        self.sort(name.key, key=lambda cell: ranks[str(cell)])


def _cell(column: Column[Any], row: Any) -> Text:
    return _justified(column.short(row), column)


def _justified(text: str, column: Column[Any]) -> Text:
    return Text(text, justify="right" if column.right else "left", no_wrap=True, overflow="ellipsis")
