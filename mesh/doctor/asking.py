"""Asks nodes how they are, each as soon as its control socket is known to take connections.

Rules kept here: a node whose control socket is not reached is not asked; some are asked at once, each within
the time limit, beside the addresses that are still being tried: what hangs and what is silent cost the time
together.
"""

import queue
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mesh.clock import Clock
from mesh.control import ControlRefused, ask
from mesh.errors import MeshError
from mesh.registry.records import NodeRecord
from mesh.scope import Scope

AT_ONCE = 32
LOCAL = "_local"
CONTROL = "control"
STATUS = "status"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a node answered when it was asked how it is; `trouble` says why it did not."""

    value: Mapping[str, Any] | None = None
    trouble: str = ""
    seconds: float = 0.0


class Asking:
    """Nodes that are asked from the place `here`. `tried` are the endpoints of each that are being tried, by
    role, with addresses for names. `answers` are complete once the scope has ended."""

    def __init__(
        self,
        nodes: Sequence[NodeRecord],
        tried: Mapping[str, Mapping[str, str]],
        here: str,
        timeout: float,
        clock: Clock,
    ) -> None:
        self.answers: dict[str, Answer] = {}
        self._here, self._timeout, self._clock = here, timeout, clock
        self._workers = min(AT_ONCE, len(nodes))
        self._ready: queue.Queue[NodeRecord | None] = queue.Queue(len(nodes) + self._workers)
        self._by_endpoint: dict[str, list[NodeRecord]] = defaultdict(list)
        for node in nodes:
            roles = tried[node.id]
            endpoint = roles.get(CONTROL + LOCAL) or roles.get(CONTROL, "")
            self._by_endpoint[endpoint].append(node.model_copy(update={"endpoints": dict(roles)}))

    def __repr__(self) -> str:
        return f"<Asking from {self._here}: {len(self.answers)} answers>"

    def run_in(self, scope: Scope) -> None:
        for number in range(self._workers):
            scope.spawn(f"ask-{number}", self._work)

    def reached(self, endpoint: str) -> None:
        """An endpoint takes connections: who has its control socket there is asked."""
        for node in self._by_endpoint.pop(endpoint, ()):
            self._ready.put(node)

    def no_more(self) -> None:
        """All endpoints were tried."""
        for _ in range(self._workers):
            self._ready.put(None)

    def _work(self) -> None:
        while (node := self._ready.get()) is not None:
            self.answers[node.id] = self._ask(node)

    def _ask(self, node: NodeRecord) -> Answer:
        began = self._clock.monotonic()
        try:
            value = ask(node, STATUS, here=self._here, timeout=self._timeout, clock=self._clock)
        except ControlRefused:  # of an older version: it answers
            value = {}
        except MeshError as error:
            return Answer(None, str(error))
        return Answer(value if isinstance(value, Mapping) else {}, "", self._clock.monotonic() - began)
