"""Whether the site's file is right, is kept from others where it has to be, and is run as it says. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mesh.doctor.findings import Finding, failed, ok, warning

CHECK = "file"
OTHERS = 0o077
LOOPING = 3  # failures in a row


@dataclass(frozen=True, slots=True)
class Process:
    """One of `mesh up`'s: whether it runs, how often in a row it failed, the last line that it said, and its
    number while it runs."""

    name: str
    runs: bool
    failures: int
    last: str
    pid: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """What a process of the file is, and the device that it is on, where there are such."""

    kind: str
    device: str = ""


@dataclass(frozen=True, slots=True)
class UpSeen:
    """A `mesh up` of the file on this machine; `processes` is None where it did not answer."""

    who: str
    pid: int
    processes: tuple[Process, ...] | None


@dataclass(frozen=True, slots=True)
class Written:
    """The site's file as it was found: what is wrong with it, a line each, its mode, whether passwords stand
    in it, who runs it here, the URL of its registry, and its processes."""

    path: Path
    problems: tuple[str, ...] = ()
    mode: int = 0o600
    passwords: bool = False
    ups: Sequence[UpSeen] = ()
    registry: str = ""
    parts: Mapping[str, Part] = field(default_factory=dict)


def judge(file: Written | None) -> Iterator[Finding]:
    """None: there is no such file, and none was named."""
    if file is None:
        yield ok(CHECK, "mesh.toml", "there is none here: the site was started in another way")
        return
    yield from _of_text(file)
    if file.passwords and file.mode & OTHERS:
        found = f"others can read the cameras' passwords in it (mode {file.mode:o})"
        yield failed(CHECK, str(file.path), found, f"chmod 600 {file.path}, or write {{NAME}} in their place")
    for up in file.ups:
        yield from _of_up(up)
    if not file.ups:
        yield warning(
            CHECK, str(file.path), "no `mesh up` of it runs on this machine", f"mesh up {file.path}"
        )


def _of_text(file: Written) -> Iterator[Finding]:
    for problem in file.problems:
        yield failed(CHECK, str(file.path), problem, f"correct it, then: mesh reload {file.path}")
    if not file.problems:
        yield ok(CHECK, str(file.path), "is right")


def _of_up(up: UpSeen) -> Iterator[Finding]:
    if up.processes is None:
        yield failed(CHECK, up.who, "does not answer", f"see why process {up.pid} hangs, or kill it")
        return
    down = [process for process in up.processes if not process.runs or process.failures >= LOOPING]
    for process in down:
        yield _of_process(process)
    if not down:
        yield ok(CHECK, up.who, f"its {len(up.processes)} processes run")


def _of_process(process: Process) -> Finding:
    if not process.failures:
        return warning(CHECK, process.name, "was asked to end, and is not started again", "mesh reload")
    said = f": {process.last}" if process.last else ""
    found = f"ended{f' {process.failures} times in a row' if process.failures > 1 else ''}{said}"
    return failed(
        CHECK,
        process.name,
        found,
        "mend what it says; it is tried again by itself (this goes when it has run for a minute)",
    )
