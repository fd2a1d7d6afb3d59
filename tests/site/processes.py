"""Small processes for tests: shell scripts as the parts of a site, and whether a process runs."""

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

from mesh.scope import Scope
from mesh.site.parts import Part
from mesh.site.supervisor import ProcessState, Supervisor
from tests.support.clock import ManualClock
from tests.support.waiting import wait_for

SHELL = ("/bin/sh", "-c")
SLEEPS = "echo ready; exec sleep 1000"
DEAF = "trap '' TERM; echo ready; exec sleep 1000"
# Told to end, it says so, and ends when there is a file `go`.
HELD = "trap 'echo told; until [ -e go ]; do sleep 0.02; done; exit 0' TERM; echo ready; sleep 1000 & wait"


def part(name: str, script: str = SLEEPS, kind: str = "process", depth: int = 1) -> Part:
    return Part(name, kind, "", depth, (script,))


def runs(pid: int) -> bool:
    """Whether a process runs: one that has ended, and that nobody has asked about, has no command line."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except OSError:
        return False


class Site(logging.Handler):
    """A supervisor of shell scripts, on a clock that stands still, and what it logs: (time, line)."""

    def __init__(self, folder: Path, scope: Scope, program: tuple[str, ...] = SHELL) -> None:
        super().__init__(logging.INFO)
        self.folder, self.clock = folder, ManualClock()
        self.said: dict[str, list[str]] = defaultdict(list)
        self.logged: list[tuple[float, str]] = []
        self.supervisor = Supervisor(
            folder, lambda name, line: self.said[name].append(line), scope, self.clock, program
        )

    def emit(self, record: logging.LogRecord) -> None:
        self.logged.append((self.clock.monotonic(), record.getMessage()))

    def want(self, *parts: Part) -> None:
        self.supervisor.want({each.name: each for each in parts})

    def run(self, *parts: Part) -> None:
        """Have these run, and wait until each says that it is ready."""
        before = {each.name: self.said[each.name].count("ready") for each in parts}
        self.want(*parts)
        self.until(lambda: all(self.said[n].count("ready") > count for n, count in before.items()))

    def until(self, condition: Callable[[], object]) -> None:
        """Step until it is so; the clock stands still."""

        def stepped() -> object:
            self.supervisor.step()
            return condition()

        wait_for(stepped)

    def advance(self, seconds: float) -> None:
        """Move the clock in a few steps, and have done what is to be done at each."""
        for _ in range(10):
            self.clock.advance(seconds / 10)
            self.supervisor.step()

    @property
    def states(self) -> Mapping[str, ProcessState]:
        return {state.name: state for state in self.supervisor.processes()}

    def lines(self, *what: str) -> list[str]:
        """What was logged that holds one of these."""
        return [line for _, line in self.logged if any(each in line for each in what)]

    def names(self, what: str) -> list[str]:
        """Of whom this was logged, in order."""
        return [line.split()[0] for line in self.lines(what)]

    def pid(self, name: str) -> int:
        """Of the newest process of that name."""
        return int(self.lines(f"{name} is started (pid ")[-1].rpartition("pid ")[2].rstrip(")"))
