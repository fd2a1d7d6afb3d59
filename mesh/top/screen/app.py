"""The screen of `mesh top`: three tables, a line above them, the keys below.

Rules kept here: it shows what it is given, and asks nobody, so that keys work whatever the registry does;
while nothing new comes the last picture stays, and it is said how old it is; q ends with 0, Ctrl-C with 130,
and the terminal is then as it was.
"""

import asyncio
import signal
import time
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.events import Resize
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Input, Static

from mesh.client import Mesh
from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.scope import Scope
from mesh.top.columns import TABLES, headline
from mesh.top.rows import Board
from mesh.top.screen.table import BoardTable
from mesh.top.watching import Failed, Watching

EXIT_INTERRUPTED = 130

HELP = """\
 q        quit                    s  S  sort by the next column, or
 1 2 3    nodes, cameras, groups         the one before
 Tab      the next table          r     the other way round
 m        this table alone        /     only rows with some text:
 p        freeze the picture            Enter keeps it, Esc clears it
 arrows   scroll                  ?     this help

A click on a title sorts by it. A wider terminal has more columns.
Rates are of the last second or so, from what nodes report; totals
are those of mesh stats. Ages are since capture: when a node's
results had gone out, or a frame was safe on a collector's disk.

Any key closes this."""


class Seen(Message):
    """A look at the mesh has come to an end."""

    def __init__(self, seen: Board | Failed) -> None:
        super().__init__()
        self.seen = seen


class HelpScreen(ModalScreen[None]):
    """The keys."""

    def compose(self) -> ComposeResult:
        yield Static(HELP, id="help", markup=False)

    def on_key(self) -> None:
        if self.is_current:  # another key may have closed it already
            self.dismiss()


def _key(key: str, action: str, description: str = "", shown: str | None = None) -> Binding:
    """A key, acted on before the next one is looked at: that may be for another widget then."""
    return Binding(key, action, description, show=bool(description), key_display=shown, priority=True)


class Top(App[int]):
    """The screen. `see` is told of each look, from any thread."""

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #head { height: 1; text-style: bold; padding: 0 1; }
    #trouble { height: auto; max-height: 3; padding: 0 1; background: $error; color: $text; display: none; }
    #trouble.shown { display: block; }
    #tables { height: 1fr; }
    BoardTable { border: none; border-top: solid $foreground 30%; scrollbar-size: 0 1; overflow-x: hidden; }
    BoardTable:focus { border-top: solid $accent; border-title-style: bold; }
    #nodes { height: auto; max-height: 40%; }
    #groups { height: auto; max-height: 30%; }
    #cameras { height: 1fr; }
    .alone BoardTable { display: none; }
    .alone BoardTable.chosen { display: block; height: 1fr; max-height: 100%; }
    #filter { height: 1; border: none; display: none; }
    HelpScreen { align: center middle; }
    #help { width: auto; max-width: 100%; height: auto; padding: 1 2; border: solid $accent; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", f"leave({EXIT_INTERRUPTED})", show=False, priority=True),
        _key("q", "leave(0)", "Quit"),
        _key("1", "choose('nodes')", "Table", shown="1-3"),
        _key("2", "choose('cameras')"),
        _key("3", "choose('groups')"),
        _key("s", "sort(1)", "Sort"),
        _key("S", "sort(-1)"),
        _key("r", "reverse", "Reverse"),
        _key("slash", "filter", "Filter", shown="/"),
        _key("escape", "clear"),
        _key("m", "maximize", "Max"),
        _key("p", "freeze", "Freeze"),
        _key("question_mark", "help", "Help", shown="?"),
    ]

    def __init__(self, url: str, sort: str = "", text: str = "", clock: Clock = SYSTEM_CLOCK) -> None:
        super().__init__()
        self._url, self._text, self._clock = url, text, clock
        self._tables = [BoardTable(table, sort) for table in TABLES]
        self._latest: Board | None = None
        self._shown: Board | None = None
        self._trouble = ""
        self._frozen = False

    def see(self, seen: Board | Failed) -> None:
        """Show the outcome of a look soon. Any thread may call it."""
        self.post_message(Seen(seen))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Whether a key does something: not where it is text, or closes the help."""
        if parameters == (EXIT_INTERRUPTED,):
            return True
        writing = isinstance(self.focused, Input) and action != "clear"
        return not (writing or isinstance(self.screen, HelpScreen))

    def compose(self) -> ComposeResult:
        yield Static(id="head", markup=False)
        yield Static(id="trouble", markup=False)
        with Vertical(id="tables"):
            yield from self._tables
        yield Input(self._text, placeholder="text to look for", id="filter", select_on_focus=False)
        footer = Footer()
        footer.compact = True  # not every version takes it as an argument
        yield footer

    def on_mount(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self.exit, EXIT_INTERRUPTED)
        loop.add_signal_handler(signal.SIGTERM, self.exit, 0)
        self._tables[0].focus()
        self._show()

    def on_seen(self, message: Seen) -> None:
        if isinstance(message.seen, Failed):
            self._trouble = message.seen.why
        else:
            self._latest, self._trouble = message.seen, ""
        self._show()

    def on_resize(self, event: Resize) -> None:
        self.call_after_refresh(self._show)

    def on_data_table_header_selected(self, event: DataTable.HeaderSelected) -> None:
        if isinstance(event.data_table, BoardTable):
            event.data_table.sort_on(str(event.column_key.value))
            self._show()

    def on_input_changed(self, event: Input.Changed) -> None:
        self._text = event.value
        self._show()

    def on_input_submitted(self) -> None:
        self._end_filter()

    def action_leave(self, code: int) -> None:
        self.exit(code)

    def action_choose(self, name: str) -> None:
        table = self.query_one(f"#{name}", BoardTable)
        if self.query_one("#tables").has_class("alone"):
            self._set_chosen(table)
        self.screen.set_focus(table)  # at once: the next key may be for it

    def action_sort(self, step: int) -> None:
        self._focused_table().sort_next(step, self.size.width)
        self._show()

    def action_reverse(self) -> None:
        table = self._focused_table()
        table.backwards = not table.backwards
        self._show()

    def action_filter(self) -> None:
        entry = self.query_one("#filter", Input)
        entry.display = True
        self.screen.set_focus(entry)

    def action_clear(self) -> None:
        self.query_one("#filter", Input).value = ""
        self._end_filter()

    def action_maximize(self) -> None:
        self._set_chosen(self._focused_table())
        self.query_one("#tables").toggle_class("alone")

    def action_freeze(self) -> None:
        self._frozen = not self._frozen
        self._show()

    def action_help(self) -> None:
        self.push_screen(HelpScreen())

    def _end_filter(self) -> None:
        entry = self.query_one("#filter", Input)
        had_focus = entry.has_focus
        entry.display = False
        if had_focus:
            self.screen.set_focus(self._focused_table())

    def _focused_table(self) -> BoardTable:
        """The table that has the focus, or had it."""
        focused = self.focused
        if isinstance(focused, BoardTable):
            self._set_chosen(focused)
            return focused
        return next((table for table in self._tables if table.has_class("chosen")), self._tables[0])

    def _set_chosen(self, chosen: BoardTable) -> None:
        for table in self._tables:
            table.set_class(table is chosen, "chosen")

    def _show(self) -> None:
        """Bring the screen up to date."""
        if not self.is_mounted(self._tables[0]):
            return
        if not self._frozen:
            self._shown = self._latest
        if self._shown is not None:
            for table in self._tables:
                table.show(self._shown, self._text, self.size.width)
        self.query_one("#head", Static).update(self._headline())
        trouble = self.query_one("#trouble", Static)
        trouble.set_class(bool(self._trouble), "shown")
        trouble.update(self._told_trouble())

    def _headline(self) -> str:
        if self._shown is None:
            return self._url
        marks = ["FROZEN"] if self._frozen else []
        marks += [f"filter: {self._text}"] if self._text else []
        return "  ".join([_time_of_day(self._shown.at_ns), *marks, headline(self._shown), self._url])

    def _told_trouble(self) -> str:
        if self._latest is None or not self._trouble:
            return self._trouble
        old_s = max(0, self._clock.wall_ns() - self._latest.at_ns) / 1e9
        return f"{self._trouble}; this was {old_s:.0f} s ago, at {_time_of_day(self._latest.at_ns)}"


def run(mesh: Mesh, *, interval_s: float, sort: str = "", text: str = "") -> int:
    """Watch a mesh until a person has seen enough; the exit code."""
    with Scope("top") as scope:
        top = Top(mesh.registry.url, sort, text)
        scope.on_stop(mesh.close)  # a request that is under way does not hold up the end
        scope.spawn("look", Watching(mesh, top.see, interval_s).run, scope)
        code = top.run()
    return code if code is not None else 1


def _time_of_day(at_ns: int) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at_ns / 1e9))
