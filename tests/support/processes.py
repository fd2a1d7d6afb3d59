"""The command `mesh` as real processes, for tests.

    with Processes(tmp_path) as processes:
        node = processes.start("node", "capture", "--camera", "door=synthetic:")
        wait_for(lambda: "is running" in node.log)
        assert node.stop() == 0

Rules kept here: everything that was started is gone on exit, and what those processes started too: each
carries a mark in its environment, and one that is still found by it fails the test; a test that fails shows
the logs of all; nothing waits for a duration, only for conditions with a deadline.
"""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from tests.support.waiting import WITHIN_S, wait_for

ROOT = Path(__file__).resolve().parents[2]
LOG_LINES_SHOWN = 15
MARK = "MESH_TEST_MARK"


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def last_line(self) -> str:
        """The last line of stderr; empty where there is none."""
        return (self.err.strip().splitlines() or [""])[-1]


class Process:
    """One running `mesh` command; its stdout and stderr are captured in files."""

    def __init__(self, name: str, popen: "subprocess.Popen[bytes]", out: Path, err: Path) -> None:
        self.name, self.popen = name, popen
        self._out, self._err = out, err

    def __repr__(self) -> str:
        return f"<Process {self.name} pid={self.popen.pid} code={self.popen.poll()}>"

    @property
    def log(self) -> str:
        """Its stderr so far."""
        return self._err.read_text(errors="replace")

    @property
    def out(self) -> str:
        """Its stdout so far."""
        return self._out.read_text(errors="replace")

    @property
    def alive(self) -> bool:
        return self.popen.poll() is None

    def wait(self, within: float = WITHIN_S) -> int:
        """Its exit code, once it has ended by itself."""
        try:
            return self.popen.wait(within)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"{self.name} did not end within {within:g} s") from error

    def rss_kb(self) -> int:
        """Resident memory, in KiB."""
        status = Path(f"/proc/{self.popen.pid}/status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")))

    def voluntary_switches(self) -> int:
        """How often its threads that still run have gone to sleep, since their start."""
        lines = (line for status in self._of_threads("status") for line in status.splitlines())
        return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches:"))

    def open_files(self) -> int:
        """How many file descriptors it has open."""
        return sum(1 for _ in Path(f"/proc/{self.popen.pid}/fd").iterdir())

    def send(self, number: signal.Signals) -> None:
        self.popen.send_signal(number)

    def suspend(self) -> None:
        """`kill -STOP`, and wait until each of its threads stands: one on another core goes on for a moment,
        and may still answer. SIGCONT has it go on."""
        self.send(signal.SIGSTOP)
        wait_for(lambda: self._thread_states() <= {"T"}, f"{self.name} is suspended")

    def send_together(self, *numbers: signal.Signals) -> None:
        """Have it find them all at the same time, whenever this machine comes to it."""
        self.suspend()
        for number in (*numbers, signal.SIGCONT):
            self.send(number)

    def _thread_states(self) -> set[str]:
        return {stat.rpartition(")")[2].split()[0] for stat in self._of_threads("stat")}

    def _of_threads(self, name: str) -> list[str]:
        """A file of each of its threads; those that end meanwhile have none."""
        found = []
        for task in Path(f"/proc/{self.popen.pid}/task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found.append((task / name).read_text())
        return found

    def stop(self, number: signal.Signals = signal.SIGTERM, within: float = WITHIN_S) -> int:
        """Ask it to end, and wait; its exit code."""
        self.send(number)
        return self.wait(within)

    def kill(self) -> None:
        """`kill -9`, and reap it."""
        self.popen.kill()
        self.popen.wait()


class Processes:
    """`mesh` commands that live as long as the `with` block, their output under `folder`."""

    def __init__(self, folder: Path, env: Mapping[str, str] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.mark = secrets.token_hex(8)
        self._env = {k: v for k, v in os.environ.items() if k not in ("MESH_REGISTRY", "DISPLAY")}
        self._env |= {MARK: self.mark, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default"}
        self._env |= {"XDG_STATE_HOME": str(folder / "state"), **(env or {})}
        self._all: list[Process] = []
        self._files: list[IO[bytes]] = []

    def start(
        self,
        *arguments: object,
        name: str = "",
        cwd: Path | None = None,
        module: str = "mesh",
        terminal: int | None = None,
        **env: str,
    ) -> Process:
        """Start `mesh ARGUMENTS…`, or another module. `env` adds to its environment; `terminal` is the file
        of one that it is to have."""
        name = name or "-".join(str(a).replace("/", "-") for a in arguments[:2])
        base = self.folder / f"{len(self._all):02d}-{name}"
        out, err = base.with_suffix(".out"), base.with_suffix(".err")
        with out.open("wb") as out_file, err.open("wb") as err_file:
            popen = subprocess.Popen(
                [sys.executable, "-m", module, *map(str, arguments)],
                stdin=subprocess.DEVNULL if terminal is None else terminal,
                stdout=out_file if terminal is None else terminal,
                stderr=err_file if terminal is None else terminal,
                cwd=cwd or self.folder,
                env=self._env | env,
                start_new_session=True,
            )
        process = Process(name, popen, out, err)
        self._all.append(process)
        return process

    def run(self, *arguments: object, within: float = WITHIN_S, cwd: Path | None = None, **env: str) -> Done:
        """Run `mesh ARGUMENTS…` to its end."""
        process = self.start(*arguments, cwd=cwd, terminal=None, **env)
        code = process.wait(within)
        return Done(code, process.out, process.log)

    def logs(self) -> str:
        """The end of every process's stderr, for a person to read."""
        parts = []
        for process in self._all:
            lines = process.log.splitlines()[-LOG_LINES_SHOWN:]
            parts.append("\n    ".join([f"--- {process!r}", *lines]))
        return "\n".join(parts)

    def left_behind(self) -> list[str]:
        """Processes that carry this object's mark and run: `PID COMMAND`."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if f"{MARK}={self.mark}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    found.append(f"{entry.name} {command}")
            except OSError:  # it ended meanwhile, or is not ours
                continue
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if value is not None:
            value.add_note(self.logs())
        for process in self._all:
            if process.alive:
                process.kill()
        left = self.left_behind()
        for line in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(line.split()[0]), signal.SIGKILL)
        if value is None:
            assert not left, f"processes were left behind: {left}"
