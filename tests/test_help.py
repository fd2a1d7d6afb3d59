"""`--help` of every command: it is shown, and nothing of what it says is taken for markup."""

from collections.abc import Iterator
from typing import Any

import pytest
from rich.text import Text

from mesh.cli.main import COMMANDS, command


def every(found: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """A command, and those below it."""
    yield path, found
    for name, each in getattr(found, "commands", {}).items():
        yield from every(each, (*path, name))


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_shown_and_nothing_of_it_is_lost(name: str) -> None:
    for path, found in every(command(name), (name,)):
        with found.make_context(" ".join(path), [], resilient_parsing=True) as context:
            found.get_help(context)
        for option in found.params:
            said = getattr(option, "help", None) or ""
            shown = Text.from_markup(said).plain
            assert shown == said.replace("\\[", "["), f"mesh {' '.join(path)}: {option.name}"
