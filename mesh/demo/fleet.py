"""Child processes that run `mesh` commands, each with a log of its own.

Rules kept here: whatever happens, leaving the fleet ends every process: asked first, then killed; the one
that was started first, which the others retire through, ends last; where this process ends before they have,
however that is, they are asked to end all the same; a process that dies early is told with the last lines of
its log.
"""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from mesh.errors import MeshError
from mesh.site.leash import LEASH

log = logging.getLogger(__name__)

STOP_WITHIN_S = 15.0
LAST_LINES = 3


class ProcessDied(MeshError):
    """A process of the fleet ended before it was asked to."""


@dataclass(frozen=True, slots=True)
class Member:
    name: str
    process: "subprocess.Popen[bytes]"
    log_file: Path
    log_stream: IO[bytes]
    leash: int  # a pipe

    def close(self) -> None:
        """It has ended."""
        self.log_stream.close()
        os.close(self.leash)


class Fleet:
    """Processes that live as long as the `with` block. `stop(name)` ends one earlier."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._members: dict[str, Member] = {}

    def start(self, name: str, arguments: Sequence[str]) -> None:
        """Run `mesh ARGUMENTS…`, its output going to `NAME.log`."""
        self._logs.mkdir(parents=True, exist_ok=True)
        log_file = self._logs / f"{name}.log"
        stream = log_file.open("ab")
        command = [sys.executable, "-m", "mesh", *arguments]
        held, leash = os.pipe()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            env={**os.environ, LEASH: str(held)},
            pass_fds=(held,),
            start_new_session=True,
        )
        os.close(held)
        self._members[name] = Member(name, process, log_file, stream, leash)

    def pid(self, name: str) -> int:
        return self._members[name].process.pid

    def check(self) -> None:
        """Raise `ProcessDied` when a process has ended by itself."""
        for member in self._members.values():
            if (code := member.process.poll()) is not None:
                lines = member.log_file.read_text(errors="replace").splitlines()[-LAST_LINES:]
                said = " | ".join(lines) or "nothing in its log"
                raise ProcessDied(f"{member.name} ended with exit code {code}: {said}")

    def stop(self, name: str) -> int:
        """Ask a process to end and wait; kill it when it does not. Its exit code."""
        member = self._members.pop(name)
        try:
            if member.process.poll() is None:
                member.process.terminate()
            return member.process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            log.error("%s did not end within %g s and was killed", name, STOP_WITHIN_S)
            member.process.kill()
            return member.process.wait()
        finally:
            member.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        members = list(self._members.values())
        for several in (members[1:], members[:1]):
            _end(several)
        self._members.clear()


def _end(members: Sequence[Member]) -> None:
    deadline = time.monotonic() + STOP_WITHIN_S
    for member in members:
        if member.process.poll() is None:
            member.process.terminate()
    for member in members:
        try:
            member.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            member.process.kill()
            member.process.wait()
        member.close()
