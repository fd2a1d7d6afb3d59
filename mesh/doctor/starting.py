"""How what is missing gets to run again, where a site's file has it: by `mesh up`, or by itself. Pure.

Rules kept here: what `mesh up` keeps running is nobody's to start by hand: that would take the name or the
port that `mesh up` needs.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mesh.doctor.file import Part, Process, Written


@dataclass(frozen=True, slots=True)
class Starting:
    """The site's file, if there is one, as seen by who looks at the registry `url`."""

    file: Written | None = None
    url: str = ""

    @property
    def _parts(self) -> Mapping[str, Part]:
        """The processes of the file, where that is for this registry."""
        return self.file.parts if self.file is not None and self.file.registry == self.url else {}

    def of_kind(self, kind: str) -> str:
        """As `of`, for the processes of a kind."""
        return self.of(name for name, part in self._parts.items() if part.kind == kind)

    def of(self, names: Iterable[str]) -> str:
        """What to do so that one of these processes runs; nothing where the file has none of them."""
        ours = [name for name in names if name in self._parts]
        if not ours or self.file is None:
            return ""
        found = [process for name in ours if (process := self.process(name)) is not None]
        if not found:
            return self._up(ours[0])
        return self._again(next((process for process in found if not process.runs), found[0]))

    def process(self, name: str) -> Process | None:
        """How a process is that a `mesh up` of the file keeps here."""
        ups = self.file.ups if self.file is not None and name in self._parts else ()
        every = (process for up in ups for process in up.processes or ())
        return next((process for process in every if process.name == name), None)

    def hangs(self, name: str) -> Process | None:
        """The process of a node that is not heard of, where it runs, and not only since it last failed."""
        process = self.process(name)
        return process if process is not None and process.runs and not process.failures else None

    def _again(self, process: Process) -> str:
        if process.runs:
            return f"see what {process.name} says, which runs (pid {process.pid}); {kill(process.pid)}"
        if process.failures:
            return f"mend what {process.name} says: `mesh up` starts it again by itself"
        return f"mesh reload {self._path}"

    def _up(self, name: str) -> str:
        """Have a `mesh up` run that has this process."""
        others = self.file.ups if self.file is not None else ()
        up, device = f"mesh up {self._path}", self._parts[name].device
        if hung := next((each for each in others if each.processes is None), None):
            return f"see why `mesh up` (process {hung.pid}) does not answer"
        if device:
            return f"on {device}: {up} --only @{device}"
        return f"{up} --only {name}" if others else up

    @property
    def _path(self) -> str:
        return str(self.file.path) if self.file is not None else ""


NO_FILE = Starting()


def kill(pid: int) -> str:
    """What to do about a process that hangs."""
    return f"kill -9 {pid}, and `mesh up` starts it again"
