"""What the processes of a site say, as one stream of lines, each with its process's name before it.

Rules kept here: whoever reads the stream slowly, or not at all, holds up no process, nor the end of this one:
lines that do not fit are left out, the oldest first, and counted.
"""

import io
import json
import os
import select
import sys
import threading
from collections import deque
from collections.abc import Iterable
from typing import TextIO

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.scope import Scope

KEPT_LINES = 4096
MAX_LINE = 16 * 1024  # characters
ROOM_BYTES = select.PIPE_BUF  # where a pipe says that there is room, there is as much
LOOK_EVERY_S = 0.2
LINGER_S = 2.0  # at the end, for a reader that does not read
COLOURS = (36, 33, 32, 35, 34, 31)  # ANSI: cyan, yellow, green, magenta, blue, red


class Output:
    """Lines to a stream, on a thread of `scope`, in the order in which they came.

    as_json:  each line is one JSON object, with the name as its `process`
    """

    def __init__(
        self, stream: TextIO = sys.stderr, *, as_json: bool = False, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._stream, self._as_json, self._clock = stream, as_json, clock
        self._coloured = not as_json and stream.isatty()
        self._width = 0
        self._colours: dict[str, int] = {}
        self._changed = threading.Condition()
        self._waiting: deque[tuple[str, str]] = deque()
        self._left_out = 0
        self._over = False
        self._until = float("inf")

    def __repr__(self) -> str:
        return f"<Output {len(self._waiting)} lines wait, {self._left_out} left out>"

    def name(self, names: Iterable[str]) -> None:
        """Make room for these names in the column."""
        self._width = max([self._width, *map(len, names)])

    def say(self, name: str, line: str) -> None:
        """Have a line written soon. Never blocks."""
        with self._changed:
            if len(self._waiting) >= KEPT_LINES:
                self._waiting.popleft()
                self._left_out += 1
            self._waiting.append((name, line[:MAX_LINE]))
            self._changed.notify()

    def run_in(self, scope: Scope) -> None:
        """Write until the scope stops, and then what has come until then."""
        scope.on_stop(self._end)
        scope.spawn("output", self._run)

    def _end(self) -> None:
        with self._changed:
            self._over, self._until = True, self._clock.monotonic() + LINGER_S
            self._changed.notify()

    def _run(self) -> None:
        while batch := self._take():
            try:
                self._write("".join(batch).encode(errors="backslashreplace"))
            except OSError:  # nobody reads any more: the site goes on
                continue

    def _write(self, text: bytes) -> None:
        """Write all of it, as there is room; at the end room is not waited for for ever."""
        stream = self._stream.fileno()
        poller = select.poll()
        poller.register(stream, select.POLLOUT)
        while text:
            is_late = self._clock.monotonic() >= self._until
            if poller.poll(0 if is_late else LOOK_EVERY_S * 1000):
                text = text[os.write(stream, text[:ROOM_BYTES]) :]
            elif is_late:
                return

    def _take(self) -> list[str]:
        """What there is to write; nothing once it is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._over)
            lines = [self._written(name, line) for name, line in self._waiting]
            if self._left_out:
                lines.insert(0, self._written("up", f"{self._left_out} lines were left out here"))
            self._waiting.clear()
            self._left_out = 0
            return lines

    def _written(self, name: str, line: str) -> str:
        if self._as_json:
            return json.dumps({**_object(line), "process": name}, ensure_ascii=False) + "\n"
        column = f"{name:<{self._width}} |"
        if self._coloured:
            colour = self._colours.setdefault(name, COLOURS[len(self._colours) % len(COLOURS)])
            column = f"\x1b[{colour}m{column}\x1b[0m"
        return f"{column} {line}\n"


class Lines(io.TextIOBase):
    """A stream of which each line that is written is said by `name`: for a logging handler."""

    def __init__(self, output: Output, name: str) -> None:
        super().__init__()
        self._output, self._name = output, name

    def write(self, text: str) -> int:
        for line in text.splitlines():
            self._output.say(self._name, line)
        return len(text)


def _object(line: str) -> dict[str, object]:
    """A line as the JSON object that it is, or the message of one."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {"message": line}
