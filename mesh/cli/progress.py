"""A bar on stderr for what takes a while."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

Tell = Callable[[float, float], None]  # how much is done, and of how much


@contextmanager
def progress(title: str, *, percent: bool = False) -> Iterator[Tell]:
    """A bar, where stderr is a terminal; `percent`: what is done is a share, and not so many things."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda done, total: None
        return
    shown = TaskProgressColumn() if percent else MofNCompleteColumn()
    columns = TextColumn("{task.description}"), BarColumn(), shown, TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
