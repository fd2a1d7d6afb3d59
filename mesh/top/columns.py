"""How rows are shown, sorted and filtered. Pure.

Rules kept here: a table has the columns that its width allows, and can be sorted by any of them; what is not
known is `-` and sorts last, whichever way; a filter looks at what is shown, and at what would be in a wider
terminal.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from mesh.errors import ConfigError
from mesh.registry.records import CameraState, NodeState
from mesh.top.rows import DIED, GONE, Age, Board, CameraRow, Drops, GroupRow, NodeRow

R = TypeVar("R")

UNKNOWN = "-"
OVER = frozenset({DIED, GONE, NodeState.ENDED})  # a camera's word is the same
MEDIUM, WIDE = 100, 140  # columns of a terminal
SHOWN_CAUSES = 3
LONG = 200  # for the last column of a table


@dataclass(frozen=True, slots=True)
class Column(Generic[R]):
    """One column: `key` is its name for sorting, `text` what it shows, `order` what it is sorted by (None:
    not known). `least` is the width of a terminal, in characters, from which on it is shown; of a text that
    is longer than `most`, the screen shows the beginning."""

    key: str
    title: str
    text: Callable[[R], str]
    order: Callable[[R], Any]
    right: bool = False
    least: int = 0
    most: int = 28

    def short(self, row: R) -> str:
        """The text as the screen shows it."""
        text = self.text(row)
        return text if len(text) <= self.most else f"{text[: self.most - 1]}…"


@dataclass(frozen=True, slots=True)
class Table(Generic[R]):
    """One table; `key` says which row is the same one in the next look."""

    name: str
    key: Callable[[R], str]
    columns: Sequence[Column[R]]
    rows: Callable[[Board], Sequence[R]]

    def shown(self, width: int) -> list[Column[R]]:
        """The columns that a terminal has room for."""
        return [column for column in self.columns if column.least <= width]

    def ordered(self, board: Board, sort: str = "", reverse: bool = False, text: str = "") -> list[R]:
        """The rows that `text` is found in, by the column `sort` (else as they are)."""
        rows = [row for row in self.rows(board) if self.matches(row, text)]
        column = next((column for column in self.columns if column.key == sort), None)
        if column is None:
            return rows[::-1] if reverse else rows
        known = [row for row in rows if column.order(row) is not None]
        unknown = [row for row in rows if column.order(row) is None]
        return sorted(known, key=column.order, reverse=reverse) + unknown

    def matches(self, row: R, text: str) -> bool:
        """Whether a text is found in any column, whatever its case."""
        return any(text.lower() in column.text(row).lower() for column in self.columns)


def check_column(sort: str) -> str:
    """The key of the column that `sort` names, by that or by its title. Raises `ConfigError`."""
    titles: dict[str, list[str]] = {}
    for column in (column for table in TABLES for column in table.columns):
        titles.setdefault(column.key, []).append(column.title)
    if sort in titles:
        return sort
    for key, shown in titles.items():
        if sort.lower() in map(str.lower, shown):
            return key
    told = [
        key if key in shown else f"{key} ({', '.join(dict.fromkeys(shown))})" for key, shown in titles.items()
    ]
    raise ConfigError(f"--sort {sort!r} is no column: use one of {', '.join(told)}")


def _name(title: str, get: Callable[[R], str]) -> Column[R]:
    """The first column: whole, as it tells rows apart."""
    return Column(title, title, get, lambda row: get(row).lower(), most=LONG)


def _text(key: str, title: str, get: Callable[[R], str], least: int = 0) -> Column[R]:
    return Column(key, title, get, lambda row: get(row).lower(), least=least)


def _number(
    key: str,
    title: str,
    get: Callable[[R], float | None],
    show: Callable[[float], str] = "{:.0f}".format,
    least: int = 0,
) -> Column[R]:
    def text(row: R) -> str:
        number = get(row)
        return UNKNOWN if number is None else show(number)

    return Column(key, title, text, get, right=True, least=least)


def _fps(key: str, title: str, get: Callable[[R], float | None], least: int = 0) -> Column[R]:
    return _number(key, title, get, "{:.1f}".format, least)


def _ages(get: Callable[[R], Age]) -> list[Column[R]]:
    return [
        _number("p50", "p50 ms", lambda row: get(row).p50_ms, _milliseconds, MEDIUM),
        _number("p99", "p99 ms", lambda row: get(row).p99_ms, _milliseconds),
    ]


def _drops(get: Callable[[R], Mapping[str, Drops]]) -> Column[R]:
    """By cause, each with what is dropped now, a second, where there is something, and ever."""

    def order(row: R) -> tuple[float, int]:
        found = get(row).values()
        return sum(drop.per_s for drop in found), sum(drop.total for drop in found)

    return Column("dropped", "dropped", lambda row: _causes(get(row)), order, most=LONG)


def _causes(found: Mapping[str, Drops]) -> str:
    parts = [
        f"{cause} {drop.total}" + (f" ({drop.per_s:.1f}/s)" if drop.per_s else "")
        for cause, drop in list(found.items())[:SHOWN_CAUSES]
    ]
    more = len(found) - SHOWN_CAUSES
    return ", ".join([*parts, *([f"{more} more"] if more > 0 else [])]) or "0"


def _milliseconds(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _bytes(value: float) -> str:
    return f"{value / 1e6:.0f}M" if value < 1e10 else f"{value / 1e9:.0f}G"


def _state(row: NodeRow | CameraRow) -> str:
    return f"{row.state}: {row.why}" if row.why else row.state


def _cause(row: NodeRow) -> str:
    """What it drops most now, else what it dropped most."""
    return next(iter(row.dropped), "")


def _recorded(row: CameraRow) -> str:
    """Frames a second; by stage where there are several."""
    if len(row.fps_recorded) == 1:
        return f"{next(iter(row.fps_recorded.values())):.1f}"
    return " ".join(f"{stage} {fps:.1f}" for stage, fps in row.fps_recorded.items()) or UNKNOWN


def _has(row: NodeRow) -> str:
    return f"{len(row.has)} {' '.join(row.has)}".strip() if row.has else ""


NODES: Table[NodeRow] = Table(
    "nodes",
    lambda row: row.node,
    (
        _name("node", lambda row: row.node),
        _text("kind", "kind", lambda row: row.kind, MEDIUM),
        _text("group", "group", lambda row: row.group, WIDE),
        _text("state", "state", _state),
        _text("host", "host", lambda row: row.host, WIDE),
        _number("cpu", "CPU %", lambda row: row.cpu_percent),
        _number("memory", "memory", lambda row: row.rss_bytes, _bytes),
        _fps("in", "fps in", lambda row: row.fps_in),
        _fps("out", "fps out", lambda row: row.fps_out),
        *_ages(lambda row: row.age),
        _fps("dropped", "drop/s", lambda row: row.dropped_per_s),
        _text("cause", "cause", _cause, WIDE),
        _number("queue", "queue", lambda row: row.queue, least=MEDIUM),
        Column("has", "has", _has, lambda row: len(row.has), most=LONG),
    ),
    lambda board: board.nodes,
)

CAMERAS: Table[CameraRow] = Table(
    "cameras",
    lambda row: row.camera,
    (
        _name("camera", lambda row: row.camera),
        _text("state", "state", _state),
        _text("node", "node", lambda row: row.node, MEDIUM),
        Column(
            "size",
            "size",
            lambda row: f"{row.width}x{row.height}" if row.width else "",
            lambda row: row.width * row.height,
            least=WIDE,
        ),
        _text("codec", "codec", lambda row: row.codec, WIDE),
        _fps("in", "fps", lambda row: row.fps_captured),
        Column(
            "out",
            "recorded",
            _recorded,
            lambda row: sum(row.fps_recorded.values()) if row.fps_recorded else None,
            right=True,
        ),
        _fps("skipped", "skipped", lambda row: row.fps_skipped or None, WIDE),
        *_ages(lambda row: row.age),
        _number("lost", "lost", lambda row: row.lost),
        _number("unaccounted", "unaccounted", lambda row: row.unaccounted, least=WIDE),
        _drops(lambda row: row.dropped),
    ),
    lambda board: board.cameras,
)

GROUPS: Table[GroupRow] = Table(
    "groups",
    lambda row: row.group,
    (
        _name("group", lambda row: row.group),
        _text("stage", "stage", lambda row: f"{row.stage} -> {row.output}", WIDE),
        _number("members", "nodes", lambda row: len(row.members)),
        _number("cameras", "cameras", lambda row: row.cameras),
        _fps("in", "fps in", lambda row: row.fps_in),
        _fps("out", "fps out", lambda row: row.fps_out),
        *_ages(lambda row: row.age),
        _number("lost", "lost", lambda row: row.lost),
        _number("in_flight", "in flight", lambda row: row.in_flight, least=MEDIUM),
        _number("waiting", "waiting", lambda row: row.waiting),
        _drops(lambda row: row.dropped),
    ),
    lambda board: board.groups,
)

TABLES: tuple[Table[Any], ...] = (NODES, CAMERAS, GROUPS)


def text_tables(
    board: Board, sort: str = "", text: str = "", width: int = WIDE
) -> list[tuple[str, list[str], list[list[str]]]]:
    """The tables as (name, titles, rows of texts), for a terminal of that width."""
    made = []
    for table in TABLES:
        columns = table.shown(width)
        rows: Iterable[Any] = table.ordered(board, sort, text=text)
        cells = [[column.text(row) for column in columns] for row in rows]
        made.append((table.name, [column.title for column in columns], cells))
    return made


def headline(board: Board) -> str:
    """The whole mesh in a line."""
    nodes = sum(row.state not in OVER for row in board.nodes)
    online = sum(row.state == CameraState.ONLINE for row in board.cameras)
    live = sum(row.state not in OVER for row in board.cameras)
    captured = _sum(row.fps_captured for row in board.cameras)
    dropped = _sum(row.dropped_per_s for row in board.nodes)
    return f"{nodes} nodes  {online}/{live} cameras  {captured} fps  {dropped} dropped/s"


def _sum(rates: Iterable[float | None]) -> str:
    known = [rate for rate in rates if rate is not None]
    return f"{sum(known):.1f}" if known else UNKNOWN
