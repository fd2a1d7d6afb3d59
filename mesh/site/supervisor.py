"""Keeps the processes of a plan running: starts them, starts again what dies, replaces what has changed.

Rules kept here: everything happens on one thread, and nothing there waits for a process; one that is to end
is asked first, and killed when it does not; whoever is upstream goes first, the registry last; of several of
one kind that have changed one is replaced at a time, so that its peers take its work.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.errors import MeshError
from mesh.scope import Scope
from mesh.site.child import PROGRAM, Child
from mesh.site.parts import REGISTRY, Part
from mesh.site.restarts import STEADY_S, Restarts

log = logging.getLogger(__name__)

SETTLE_S = 3.0  # from its start until a node has taken its share
LOOK_AGAIN_S = 1.0


@dataclass(frozen=True, slots=True)
class ProcessState:
    """Whether a process runs, how often in a row it failed, the last line that it said when it ended, and its
    number while it runs."""

    name: str
    runs: bool
    failures: int
    last: str
    pid: int = 0


@dataclass(slots=True)
class Slot:
    """A process's place: what is to run there (None: nothing any more), and what does."""

    wanted: Part | None
    child: Child | None = None
    restarts: Restarts = field(default_factory=Restarts)
    kill_at: float = float("inf")
    last: str = ""

    @property
    def is_stale(self) -> bool:
        """Whether what runs is not what is to run."""
        return self.child is not None and self.child.part != self.wanted

    @property
    def depth(self) -> int:
        """Of what runs."""
        return self.child.part.depth if self.child is not None else 0

    @property
    def kind(self) -> str:
        """Of what runs, or is to run."""
        part = self.child.part if self.child is not None else self.wanted
        return part.kind if part is not None else ""

    def told(self, name: str, now: float) -> ProcessState:
        child = self.child
        is_steady = child is not None and now - child.since >= STEADY_S
        failures = 0 if is_steady else self.restarts.failures
        return ProcessState(name, child is not None, failures, self.last, child.pid if child else 0)


class Supervisor:
    """Call `step` whenever something may have happened, from one thread."""

    def __init__(
        self,
        folder: Path,
        say: Callable[[str, str], None],
        scope: Scope,
        clock: Clock = SYSTEM_CLOCK,
        program: Sequence[str] = PROGRAM,
    ) -> None:
        """folder: where processes run; say: takes (name, line) of what they say; scope: of who listens;
        program: what a part's arguments are given to."""
        self._folder, self._say, self._scope, self._clock = folder, say, scope, clock
        self._program = program
        self._slots: dict[str, Slot] = {}
        self._ending = False

    def __repr__(self) -> str:
        running = sorted(name for name, slot in self._slots.items() if slot.child is not None)
        return f"<Supervisor {'ending ' if self._ending else ''}{running}>"

    @property
    def is_over(self) -> bool:
        """Whether it was told to end, and every process has."""
        return self._ending and not self._slots

    def processes(self) -> list[ProcessState]:
        """How each is. Any thread may ask."""
        now = self._clock.monotonic()
        return [slot.told(name, now) for name, slot in tuple(self._slots.items())]

    def running(self) -> list[Part]:
        """What runs, whether it is to go on or not. Any thread may ask."""
        children = [slot.child for slot in tuple(self._slots.values())]
        return [child.part for child in children if child is not None]

    def want(self, parts: Mapping[str, Part]) -> None:
        """Have these run from now on, and no others. What had ended by itself is started, too."""
        now = self._clock.monotonic()
        for name in self._slots.keys() - parts.keys():
            self._slots[name].wanted = None
        for name, part in parts.items():
            slot = self._slots.setdefault(name, Slot(part))
            slot.wanted = part
            if slot.child is None:
                slot.restarts.at = now

    def end(self) -> None:
        """Have all of them end, those upstream first."""
        self._ending = True

    def kill(self) -> None:
        """End all of them now."""
        self._ending = True
        for slot in self._slots.values():
            slot.wanted = None
            if slot.child is not None:
                slot.child.kill()

    def step(self) -> float | None:
        """Do what is to be done now; in how many seconds there is more to do, as far as is known. When it
        is over that is at once."""
        now = self._clock.monotonic()
        for name, slot in list(self._slots.items()):
            if slot.child is not None and (code := slot.child.poll()) is not None:
                self._reap(name, slot, slot.child, code, now)
        if self._ending:
            self._end_next()
        for name in [n for n, slot in self._slots.items() if slot.wanted is None and slot.child is None]:
            del self._slots[name]
        for slot in self._slots.values():
            self._replace(slot, now)
            self._kill_late(slot, now)
            if slot.child is None and slot.wanted is not None and slot.restarts.due(now):
                self._start(slot, slot.wanted, now)
        return self._patience(now)

    def _reap(self, name: str, slot: Slot, child: Child, code: int, now: float) -> None:
        slot.child, slot.kill_at = None, float("inf")
        asked = child.asked
        child.close()
        slot.last = child.last if code > 0 else ""
        if asked or self._ending or slot.wanted is None:
            log.info("%s has ended%s", name, "" if code == 0 else f" with {_told(code)}")
            slot.restarts.at = now
            return
        # Nodes can be drained by others; a registry is ended by mistake.
        right = code == 0 and child.part.kind != REGISTRY
        wait = slot.restarts.ended(right, now - child.since, now)
        if wait is None:
            log.info("%s has ended, as it was asked to; `mesh reload` starts it again", name)
        else:
            tries = slot.restarts.failures
            row = f", {tries} times in a row" if tries > 1 else ""
            said = f": {slot.last}" if slot.last else ""
            log.error("%s ended with %s%s; it starts again in %.1f s%s", name, _told(code), row, wait, said)

    def _start(self, slot: Slot, part: Part, now: float) -> None:
        try:
            slot.child = Child(part, self._folder, self._say, self._scope, now, self._program)
        except MeshError as error:
            wait = slot.restarts.ended(False, 0.0, now)
            log.error("%s; again in %.1f s", error, wait)
            return
        log.info("%s is started (pid %d)", part.name, slot.child.pid)

    def _replace(self, slot: Slot, now: float) -> None:
        """Have what is not to run any more end, when it is its turn."""
        child = slot.child
        if child is None or child.asked or not slot.is_stale:
            return
        others = [each for each in self._slots.values() if each is not slot]
        if any(each.is_stale and each.depth < slot.depth for each in others):
            return
        peers = [each for each in others if each.wanted is not None and each.kind == slot.kind]
        if slot.wanted is not None and any(self._is_changing(each, now) for each in peers):
            return
        child.end()
        slot.kill_at = now + child.part.patience_s

    @staticmethod
    def _is_changing(slot: Slot, now: float) -> bool:
        """Whether a process is between its end and its new start, or has just been started."""
        if slot.child is None:
            return slot.restarts.failures == 0 and slot.restarts.at is not None
        return slot.child.asked or now - slot.child.since < SETTLE_S

    def _kill_late(self, slot: Slot, now: float) -> None:
        if slot.child is not None and now >= slot.kill_at:
            part = slot.child.part
            log.error("%s did not end within %.0f s and is killed", part.name, part.patience_s)
            slot.child.kill()
            slot.kill_at = float("inf")

    def _end_next(self) -> None:
        """Have those end that nobody upstream of is left."""
        depths = [slot.depth for slot in self._slots.values() if slot.child is not None]
        for slot in self._slots.values():
            if slot.child is None or slot.depth == min(depths):
                slot.wanted = None

    def _patience(self, now: float) -> float | None:
        if self.is_over:
            return 0.0
        moments = [slot.restarts.at for slot in self._slots.values() if slot.restarts.at is not None]
        moments += [slot.kill_at for slot in self._slots.values() if slot.kill_at != float("inf")]
        if any(slot.is_stale for slot in self._slots.values()):
            moments.append(now + LOOK_AGAIN_S)
        return max(0.0, min(moments) - now) if moments else None


def _told(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {-code}"
