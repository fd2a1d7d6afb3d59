"""The processes that a bench runs: its own roles, and `mesh` commands.

Rules kept here: leaving the block ends and reaps every process, whatever happened; every wait has a
deadline; a process that fails raises one line that names it and its own last words; Ctrl-C reaches the bench
only, which ends its processes itself.
"""

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from mesh.bench.child import Role, Values, role_name
from mesh.errors import MeshError

WITHIN_S = 60.0
STOP_WITHIN_S = 60.0
_ENDING = (signal.SIGINT, signal.SIGTERM)


class BenchError(MeshError):
    """A process of a bench failed."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used: CPU seconds since its start, and resident memory now, in KiB."""

    cpu_s: float
    rss_kib: int


def _cpu_clock(pid: int) -> int:
    """The clock of a process's CPU time, all threads: to the nanosecond, where /proc has steps of 10 ms.

    As clock_getcpuclockid(3) makes it on Linux, which Python does not wrap.
    """
    return (~pid << 3) | 2


def usage(pid: int) -> Usage:
    """What process `pid` has used so far. Raises `BenchError`."""
    try:
        cpu_s = time.clock_gettime(_cpu_clock(pid))
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1])
    except OSError as error:
        raise BenchError(f"process {pid} has ended: {error.strerror}") from error
    return Usage(cpu_s, pages * os.sysconf("SC_PAGE_SIZE") // 1024)


class Child:
    """One process of a bench. Made by `Children`."""

    def __init__(
        self, name: str, command: Sequence[str], errors: IO[bytes], fds: Sequence[int], stdout: int
    ) -> None:
        self.name = name
        self._errors = errors
        self._buffer = b""
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=stdout,
            stderr=errors,
            pass_fds=fds,
            start_new_session=True,
        )

    def __repr__(self) -> str:
        return f"<Child {self.name} pid={self.pid} code={self._process.poll()}>"

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def usage(self) -> Usage:
        """What it has used so far."""
        return usage(self.pid)

    def hear(self, within: float = WITHIN_S) -> Values:
        """The next line that a role says. Raises `BenchError` when it fails, or says nothing in time."""
        deadline = time.monotonic() + within
        while b"\n" not in self._buffer:
            self._read(deadline)
        line, _, self._buffer = self._buffer.partition(b"\n")
        return dict(json.loads(line))

    def result(self, within: float = WITHIN_S) -> Values:
        """What a role returned; the process has ended then. Raises `BenchError`."""
        while "result" not in (said := self.hear(within)):
            continue
        self.wait()
        return dict(said["result"])

    def tell(self, **values: Any) -> None:
        """Say a line to a role."""
        try:
            os.write(self._stdin.fileno(), json.dumps(values).encode() + b"\n")
        except BrokenPipeError as error:
            raise self._failed() from error

    def check(self) -> None:
        """Raise `BenchError` when it has ended by itself."""
        if self._process.poll() is not None:
            raise self._failed()

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self, within: float = STOP_WITHIN_S) -> None:
        """Wait for its end. Raises `BenchError` for one that fails, or does not end in time."""
        try:
            code = self._process.wait(within)
        except subprocess.TimeoutExpired as error:
            raise BenchError(f"{self.name} did not end within {within:g} s") from error
        if code:
            raise self._failed()

    def stop(self) -> None:
        """Ask it to end (SIGTERM), and wait. Raises `BenchError` as `wait` does."""
        self._process.terminate()
        self.wait()

    def close(self) -> None:
        """End it at once, if it still runs, and reap it."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                stream.close()

    @property
    def _stdin(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    def _read(self, deadline: float) -> None:
        assert self._process.stdout is not None
        fd = self._process.stdout.fileno()
        with selectors.DefaultSelector() as selector:
            selector.register(fd, selectors.EVENT_READ)
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise BenchError(f"{self.name} said nothing in time")
        data = os.read(fd, 1 << 16)
        if not data:
            self._process.wait(STOP_WITHIN_S)
            raise self._failed()
        self._buffer += data

    def _failed(self) -> BenchError:
        code = self._process.wait(STOP_WITHIN_S)
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        overdue = "it took too long" if code == -signal.SIGALRM else "it said nothing"
        return BenchError(f"{self.name} ended with exit code {code}: {lines[-1] if lines else overdue}")


class Children:
    """Processes that live as long as the `with` block, and no longer than `limit_s` seconds each."""

    def __init__(self, limit_s: float = 900.0) -> None:
        self._limit_s = limit_s
        self._children: list[Child] = []

    def start(self, role: Role, *, fds: Sequence[int] = (), **options: Any) -> Child:
        """Run a role of this package in a process of its own, which keeps `fds` open."""
        name = role_name(role)
        arguments = [name, json.dumps(options), str(self._limit_s)]
        return self._start(name, ["-m", "mesh.bench.child", *arguments], fds)

    def mesh(self, *arguments: object) -> Child:
        """Run `mesh ARGUMENTS…`."""
        words = [str(argument) for argument in arguments]
        return self._start(" ".join(["mesh", *words[:2]]), ["-m", "mesh", *words], ())

    def program(self, *words: object) -> Child:
        """Run another program. What it says on stdout is not for us."""
        return self._run(str(words[0]), [str(word) for word in words], (), stdout=subprocess.DEVNULL)

    def check(self) -> None:
        """Raise `BenchError` when one of them has ended by itself."""
        for child in self._children:
            child.check()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in reversed(self._children):
            child.close()
        self._children.clear()

    def _start(self, name: str, arguments: Sequence[str], fds: Sequence[int]) -> Child:
        return self._run(name, [sys.executable, *arguments], fds)

    def _run(
        self, name: str, command: Sequence[str], fds: Sequence[int], stdout: int = subprocess.PIPE
    ) -> Child:
        with uninterrupted():  # a process that was started and is not known yet would be left behind
            errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the child
            child = Child(name, command, errors, fds, stdout)
            self._children.append(child)
        return child


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Put off Ctrl-C and SIGTERM until the block is done. A process that it starts has both as usual: what
    has a handler is reset by exec, where a signal that is blocked would stay so."""
    held: list[int] = []
    before = {one: signal.signal(one, lambda number, frame: held.append(number)) for one in _ENDING}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
        for number in held[:1]:
            signal.raise_signal(number)
