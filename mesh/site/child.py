"""One process of a site: started, listened to, asked to end.

Rules kept here: it has a session of its own, so that Ctrl-C reaches it through `mesh up` alone; it holds the
reading end of a pipe, and is asked to end when the writing end closes: with `mesh up`, however that ends;
what it says is always read, so that it never waits for a reader; what it started and left behind holds up
nobody.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from mesh.errors import MeshError
from mesh.scope import Scope
from mesh.site.leash import LEASH
from mesh.site.parts import Part

LONGEST_LINE = 64 * 1024  # bytes
PIPE_BYTES = 64 * 1024  # what a pipe holds
LAST_WORDS_S = 30.0  # nobody takes that long to hear them whom the machine lets run
FRAME = "│╭╮╰╯─ "  # of the box that a usage error comes in

# -P: what lies in the folder is no part of the mesh, whatever it is called.
PROGRAM = (sys.executable, "-P", "-m", "mesh")


class Child:
    """A running `mesh` command, or another program. `last` is the last line that it said.

    folder:  where it runs
    say:     takes (name, line) of what it says, on a thread of `scope`
    since:   when it was started, by the clock of whoever asks
    Raises `MeshError` when it cannot be started.
    """

    def __init__(
        self,
        part: Part,
        folder: Path,
        say: Callable[[str, str], None],
        scope: Scope,
        since: float,
        program: Sequence[str] = PROGRAM,
    ) -> None:
        self.part, self.since = part, since
        self.last = ""
        self.asked = False  # whether it was asked to end
        self._say = say
        self._heard = threading.Event()
        with contextlib.ExitStack() as undo:
            try:
                held, self._leash = _pipe(undo)
                self._until, self._closing = _pipe(undo)
                self._process = _started([*program, *part.arguments], folder, held)
            except OSError as error:
                raise MeshError(f"{part.name} cannot be started: {error.strerror}") from error
            undo.pop_all()
        os.close(held)
        scope.spawn(part.name, self._listen)

    def __repr__(self) -> str:
        return f"<Child {self.part.name} pid={self.pid} code={self._process.returncode}>"

    @property
    def pid(self) -> int:
        return self._process.pid

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._process.poll()

    def end(self) -> None:
        """Ask it to end: it finishes what it has first."""
        self.asked = True
        if self.poll() is None:
            self._process.terminate()

    def kill(self) -> None:
        """End it, and what it started."""
        self.asked = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Let go of a process that has ended, once what it said has been heard. Its group ends, too; what
        left that is not waited for."""
        self.kill()
        os.close(self._closing)
        self._heard.wait(LAST_WORDS_S)
        os.close(self._leash)

    def _listen(self) -> None:
        try:
            self._hear()
        finally:
            os.close(self._until)
            self._heard.set()

    def _hear(self) -> None:
        """Hear it until nobody holds its end of the pipe, or it was let go of and what was there is heard:
        no more than a pipe holds, as what it left behind may write without end."""
        stream = self._process.stdout
        assert stream is not None
        poller = select.poll()
        for fd in (stream.fileno(), self._until):
            poller.register(fd, select.POLLIN)
        rest, left = b"", PIPE_BYTES
        with stream:
            while stream.fileno() in (ready := dict(poller.poll())) and left > 0:
                chunk = os.read(stream.fileno(), LONGEST_LINE)
                if not chunk:
                    break
                left -= len(chunk) if self._until in ready else 0
                *lines, rest = (rest + chunk).split(b"\n")
                self._tell(lines)
                if len(rest) >= LONGEST_LINE:
                    self._tell([rest])
                    rest = b""
            self._tell([rest] if rest else [])

    def _tell(self, lines: Sequence[bytes]) -> None:
        for line in lines:
            text = line.decode(errors="replace").rstrip()
            self.last = text.strip(FRAME) or self.last
            self._say(self.part.name, text)


def _pipe(undo: contextlib.ExitStack) -> tuple[int, int]:
    """Both ends of a pipe, closed when what follows fails. Raises `OSError`."""
    ends = os.pipe()
    for end in ends:
        undo.callback(os.close, end)
    return ends


def _started(command: Sequence[str], folder: Path, held: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
        cwd=folder,
        env={**os.environ, LEASH: str(held), "PYTHONUNBUFFERED": "1"},  # what it prints is heard at once
        pass_fds=(held,),
        start_new_session=True,
    )
