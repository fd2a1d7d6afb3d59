"""What a node does when a signal tells it to end.

Rules kept here: all of it is done on threads of its own, so that no signal breaks into what goes on; the
first has the node drain, the second has it end without waiting for anything, the third ends the process,
whatever it hangs in: who listens to signals does nothing else, and waits for nobody, not for the log either.
"""

import logging
import os
import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.scope import Scope
from mesh.signals import Requests, Wakeups

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)
EXIT_FAILED, EXIT_INTERRUPTED = 1, 130
LAST_WORDS_S = 1.0  # they may be written to a pipe that nobody reads


class Signals:
    """A context manager: SIGTERM and SIGINT are the node's while it is open. `number` is that of the first.

    stop:   have the node end
    hurry:  have it wait for nothing any more
    end:    end the process, with an exit code
    """

    def __init__(
        self,
        stop: Callable[[], None],
        hurry: Callable[[], None],
        end: Callable[[int], None] = os._exit,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._stop, self._hurry, self._end, self._clock = stop, hurry, end, clock
        self.number: int | None = None
        self._requests = Requests()
        self._wakeups = Wakeups(SIGNALS)
        self._scope, self._acting = Scope("signals"), Scope("acting")
        self._told = threading.Event()  # what was said last

    def __enter__(self) -> Self:
        self._wakeups.__enter__()
        self._scope.on_stop(self._wakeups.poke)
        self._scope.spawn("wait", self._wait)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        with ExitStack() as then:
            then.push(self._wakeups.__exit__)
            then.push(self._scope.__exit__)
            self._acting.__exit__(kind, value, trace)  # meanwhile signals are heard

    def _wait(self) -> None:
        while not self._scope.stopping.is_set():
            for number in self._wakeups.wait(None):
                if number in SIGNALS:
                    self._came(number)

    def _came(self, number: int) -> None:
        request = self._requests.came(self._clock.monotonic())
        if request == 1:
            self.number = number
        self._acting.spawn(f"request {request}", self._act, request, number)
        if request > 2:
            self._clock.wait(self._told, LAST_WORDS_S)
            self._end(EXIT_INTERRUPTED if number == signal.SIGINT else EXIT_FAILED)

    def _act(self, request: int, number: int) -> None:
        match request:
            case 0:
                log.debug("signal %d came together with the one before", number)
            case 1:
                self._stop()
            case 2:
                self._hurry()
                log.warning("told again to end: it waits for nothing any more; once more ends the process")
            case _:
                log.error("the process is ended: what it had in memory is lost")
                self._told.set()
