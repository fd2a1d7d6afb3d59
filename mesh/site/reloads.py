"""Has a site's file read again, for whoever asks.

Rules kept here: one at a time, on a thread of its own, as it may take a while; whoever asks meanwhile is
answered by the next one, and however many ask are answered by the same one.
"""

import threading
from collections.abc import Callable
from typing import Any

from mesh.errors import MeshError
from mesh.later import Later
from mesh.scope import Scope


class Reloads:
    """`reload` gives what whoever asked is told; the `MeshError` that it raises, why it was refused."""

    def __init__(self, reload: Callable[[], Any]) -> None:
        self._reload = reload
        self._changed = threading.Condition()
        self._asked: list[Later] = []
        self._over = False

    def __repr__(self) -> str:
        return f"<Reloads {len(self._asked)} wait>"

    def ask(self) -> Later:
        """Have it done. Any thread may."""
        later = Later()
        with self._changed:
            self._asked.append(later)
            self._changed.notify()
        return later

    def run_in(self, scope: Scope) -> None:
        """Do it on a thread of `scope`, until that stops."""
        scope.on_stop(self._end)
        scope.spawn("reload", self._run)

    def _end(self) -> None:
        with self._changed:
            self._over = True
            self._changed.notify()

    def _run(self) -> None:
        while asked := self._take():
            try:
                value = self._reload()
            except MeshError as error:
                for later in asked:
                    later.refuse(str(error))
            else:
                for later in asked:
                    later.give(value)

    def _take(self) -> list[Later]:
        """Those who asked until now; none once it is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._asked or self._over)
            if self._over:
                return []
            asked, self._asked = self._asked, []
            return asked
