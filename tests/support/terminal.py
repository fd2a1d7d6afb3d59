"""A command in a terminal of its own, and what a person sees there.

    with Terminal(processes, "top", size=(80, 24)) as terminal:
        terminal.wait_for(lambda: terminal.has("door"), "the camera is shown")
        terminal.press("q")
        assert terminal.wait() == 0

Rules kept here: the command has a real pseudo-terminal, and an emulator (pyte) draws what it writes; nothing
is read behind the test's back: `wait_for` reads, draws and looks, by turns.
"""

import fcntl
import os
import pty
import select
import struct
import termios
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import pyte

from tests.support.processes import Process, Processes
from tests.support.waiting import wait_for

T = TypeVar("T")

READ = 65536


class Terminal:
    """`mesh ARGUMENTS…` in a terminal of `size` (columns, lines)."""

    def __init__(self, processes: Processes, *arguments: object, size: tuple[int, int] = (160, 48)) -> None:
        columns, lines = size
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self._theirs = theirs  # kept open, so that what the command left the terminal as can be seen
        self.modes_before = termios.tcgetattr(theirs)
        here = {
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
            "COLUMNS": str(columns),
            "LINES": str(lines),
        }
        self.process: Process = processes.start(
            *arguments, name="terminal", cwd=None, module="mesh", terminal=theirs, **here
        )

    @property
    def lines(self) -> list[str]:
        """What is on the screen now."""
        self._read()
        return [line.rstrip() for line in self._screen.display]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def modes(self) -> list[Any]:
        """How the terminal is set: echo, line by line or raw, …"""
        return termios.tcgetattr(self._theirs)

    def has(self, *words: str) -> bool:
        """Whether all of these are on the screen."""
        text = self.text
        return all(word in text for word in words)

    def order(self, words: Sequence[str]) -> list[str]:
        """Those of these words that begin a line, from top to bottom."""
        firsts = [line.split()[0] for line in self.lines if line.split()]
        return [first for first in firsts if first in words]

    def press(self, keys: str) -> None:
        """Press keys."""
        os.write(self._ours, keys.encode())

    def wait_for(self, condition: Callable[[], T], what: str) -> T:
        """The first truthy value of `condition`; fails, with the screen, when it does not come."""
        try:
            return wait_for(condition, what)
        except AssertionError as error:
            error.add_note(self.text)
            raise

    def wait(self) -> int:
        """The exit code, once it has ended; what it still writes is read."""
        self.wait_for(lambda: self.lines and not self.process.alive, "the command has ended")
        return self.process.wait()

    def _read(self) -> None:
        while select.select([self._ours], [], [], 0)[0]:
            self._stream.feed(os.read(self._ours, READ))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.alive:
            self.process.kill()
        os.close(self._ours)
        os.close(self._theirs)
