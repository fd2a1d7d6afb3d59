"""Scopes: every thread of the mesh starts, stops and is joined inside one.

Rules kept here: leaving a scope stops it and joins every thread, also when Ctrl-C breaks into that; the first
error that any thread raised is raised to whoever leaves the scope; a thread that fails stops its whole scope.
No thread is a daemon.
"""

import logging
import threading
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Self

log = logging.getLogger(__name__)


class Scope:
    """A set of threads with one life. Use it as a context manager.

    A thread's function watches `stopping` (an Event), or registers a wake-up with `on_stop` when it blocks
    on something else, such as a socket. What fails in a scope also fails its `parent`; a parent that stops
    leaves its children running, for their owner to stop in the right order.
    """

    def __init__(self, name: str, parent: "Scope | None" = None) -> None:
        self.name = name
        self._parent = parent
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._wakeups: list[Callable[[], None]] = []
        self._error: BaseException | None = None

    def __repr__(self) -> str:
        alive = [t.name for t in self._threads if t.is_alive()]
        return f"<Scope {self.name} {'stopping' if self.stopping.is_set() else 'running'} threads={alive}>"

    @property
    def error(self) -> BaseException | None:
        """The first error that a thread raised, if any."""
        return self._error

    def spawn(self, name: str, run: Callable[..., None], *args: object) -> None:
        """Start `run(*args)` on a thread of this scope."""
        thread = threading.Thread(target=self._guard, args=(run, args), name=f"{self.name}:{name}")
        with self._lock:
            self._threads = [t for t in self._threads if t.is_alive()]
            self._threads.append(thread)
            thread.start()

    def on_stop(self, wake: Callable[[], None]) -> None:
        """Call `wake` once when the scope stops (at once if it already has)."""
        with self._lock:
            if not self.stopping.is_set():
                self._wakeups.append(wake)
                return
        wake()

    def stop(self) -> None:
        """Ask every thread to end. Safe to call from any thread, more than once.

        A wake-up that Ctrl-C broke into is called again, with those that are left, by the next `stop`.
        """
        with self._lock:
            self.stopping.set()
        while (wake := self._next_wakeup()) is not None:
            try:
                wake()
            except BaseException:
                with self._lock:
                    self._wakeups.append(wake)
                raise

    def _next_wakeup(self) -> Callable[[], None] | None:
        with self._lock:
            return self._wakeups.pop(0) if self._wakeups else None

    def fail(self, error: BaseException) -> None:
        """Keep `error`, if it is the first, and stop; so does the parent."""
        if self._error is None:
            self._error = error
        self.stop()
        if self._parent is not None:
            self._parent.fail(error)

    def join(self) -> None:
        """Wait for every thread to end."""
        for thread in list(self._threads):
            if thread is not threading.current_thread():
                thread.join()

    def _guard(self, run: Callable[..., None], args: tuple[object, ...]) -> None:
        try:
            run(*args)
        except BaseException as error:  # noqa: BLE001 - a scope's end: kept, and raised by __exit__
            self.fail(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        with ExitStack() as then:
            then.callback(self.join)
            then.callback(self.stop)  # where an interrupt broke into the first: who is not woken never ends
            self.stop()
        if self._error is not None and value is None:
            raise self._error
        if self._error is not None and self._error is not value:
            log.error("%s: a thread also failed: %r", self.name, self._error)
