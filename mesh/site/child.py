"""One process of a site: started, listened to, asked to end.

Rules kept here: it has a session of its own, so that Ctrl-C reaches it through `mesh up` alone; it holds the
reading end of a pipe, and ends when the writing end does: with `mesh up`, however that ends; what it says is
always read, so that it never waits for a reader.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from mesh.errors import MeshError
from mesh.scope import Scope
from mesh.site.parts import Part

LEASH = "MESH_LEASH"  # the environment's name for the pipe's number
LONGEST_LINE = 64 * 1024  # bytes


class Child:
    """A running `mesh` command. `last` is the last line that it said."""

    def __init__(
        self, part: Part, folder: Path, say: Callable[[str, str], None], scope: Scope, since: float
    ) -> None:
        """Start it in `folder`. Raises `MeshError` when it cannot be."""
        self.part, self.since = part, since
        self.last = ""
        self.asked = False  # whether it was asked to end
        self._say = say
        held, self._leash = os.pipe()
        # -P: what lies in the folder is no part of the mesh, whatever it is called.
        command = [sys.executable, "-P", "-m", "mesh", *part.arguments]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env={**os.environ, LEASH: str(held)},
                pass_fds=(held,),
                start_new_session=True,
            )
        except OSError as error:
            os.close(self._leash)
            raise MeshError(f"{part.name} cannot be started: {error.strerror}") from error
        finally:
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
        """End it, and whatever it started."""
        self.asked = True
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return

    def close(self) -> None:
        """Let go of a process that has ended. What it started ends, too, and with it what is listened to."""
        self.kill()
        os.close(self._leash)

    def _listen(self) -> None:
        stream = self._process.stdout
        assert stream is not None
        with stream:
            while line := stream.readline(LONGEST_LINE):
                text = line.decode(errors="replace").rstrip()
                self.last = text or self.last
                self._say(self.part.name, text)
