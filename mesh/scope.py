"""Scopes: every thread of the mesh starts, stops and is joined inside one.

Rules kept here: leaving a scope stops it and joins every thread; the first error that any thread raised is
raised to whoever leaves the scope; a thread that fails stops its whole scope. No thread is a daemon; nobody
waits for one without hearing of signals meanwhile.
"""

import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

# A signal that came while a process was stopped (`kill -STOP`) goes to any of its threads once it goes on,
# and does not wake the main one, on which Python handles it. So that one may not wait for longer than this.
HEAR_SIGNALS_S = 1.0

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
        """Ask every thread to end. Safe to call from any thread, more than once."""
        with self._lock:
            self.stopping.set()
            wakeups, self._wakeups = self._wakeups, []
        for wake in wakeups:
            wake()

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
            if thread is threading.current_thread():
                continue
            thread.join(HEAR_SIGNALS_S)
            while thread.is_alive():
                thread.join(HEAR_SIGNALS_S)

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
        self.stop()
        self.join()
        if self._error is not None and value is None:
            raise self._error
        if self._error is not None and self._error is not value:
            log.error("%s: a thread also failed: %r", self.name, self._error)
