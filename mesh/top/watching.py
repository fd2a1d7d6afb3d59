"""Looking again and again, on a thread of its own, so that a registry that is away holds up nobody.

Rules kept here: a look that fails is told, and the next one tried as usual; nothing that a registry answers,
or does not, ends the watching.
"""

from collections.abc import Callable
from dataclasses import dataclass

from mesh.client import Mesh
from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.errors import MeshError
from mesh.registry.records import NodeState
from mesh.scope import Scope
from mesh.top.look import Look, look
from mesh.top.rates import History, advanced
from mesh.top.rows import Board, board

REPORT_S = 3.0  # within that every node has reported again
AGAIN_S = 0.1


@dataclass(frozen=True, slots=True)
class Failed:
    """A look that failed, and why."""

    why: str


class Watching:
    """Looks at a mesh every `interval_s` seconds. `see` is told what there is, or why that is not known."""

    def __init__(
        self,
        mesh: Mesh,
        see: Callable[[Board | Failed], object],
        interval_s: float,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._mesh, self._see, self._interval_s, self._clock = mesh, see, interval_s, clock
        self._history: History = {}

    def __repr__(self) -> str:
        return f"<Watching {self._mesh!r} runs={len(self._history)}>"

    def run(self, scope: Scope) -> None:
        """Look until the scope stops."""
        while not scope.stopping.is_set():
            self._see(self.once())
            self._clock.wait(scope.stopping, self._interval_s)

    def once(self) -> Board | Failed:
        """Look once."""
        try:
            now = look(self._mesh, self._clock)
        except MeshError as error:
            return Failed(str(error))
        self._history = advanced(self._history, now.reports, now.at)
        return board(now, self._history)


def two_looks(mesh: Mesh, scope: Scope, interval_s: float, clock: Clock = SYSTEM_CLOCK) -> Board:
    """What there is to see, with what passed within `interval_s` or a little longer: until every node has
    reported twice. Raises `RegistryUnavailable`."""
    first = look(mesh, clock)
    history = advanced({}, first.reports, first.at)
    clock.wait(scope.stopping, interval_s)
    deadline = clock.monotonic() + REPORT_S
    while True:
        now = look(mesh, clock)
        history = advanced(history, now.reports, now.at)
        if not _awaited(now, history) or clock.monotonic() >= deadline:
            return board(now, history)
        clock.wait(scope.stopping, AGAIN_S)


def _awaited(now: Look, history: History) -> bool:
    """Whether a node that runs has not reported twice yet."""
    running = {(node.id, node.started_ns) for node in now.nodes if node.state is not NodeState.ENDED}
    told = {run for run, pair in history.items() if pair.before is not None}
    return bool(running - told)
