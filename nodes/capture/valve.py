"""Whether a camera gives pictures: it does, is paused, or has been stopped for good.

Rules kept here: whoever waits in a capture waits on `called` as well, and looks here when that is set; a
source that is being opened, or is live, is ended by a pause; one that can wait is held open through it, where
its camera says so; a pause is answered once nothing is read any more. Thread-safe.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mesh.later import Later


class Valve:
    """One camera's, until `stop`.

    called:   set while it is paused, from the stop on, and while somebody asks for a picture
    stopped:  set from the stop on
    wake:     has those who wait for something else (consumers, a connection) look at what they wait for
    """

    def __init__(self, wake: Callable[[], None], *, paused: bool = False) -> None:
        self.called, self.stopped = threading.Event(), threading.Event()
        self._wake = wake
        self._changed = threading.Condition()  # of all that follows
        self._paused = paused
        self._asked = self._resting = False
        self._over = ""  # why there is nothing to pause any more
        self._halts: dict[threading.Event, bool] = {}  # of what is open, and whether a pause sets them, too
        self._pauses: list[Later] = []  # to be answered once it rests
        if paused:
            self.called.set()

    def __repr__(self) -> str:
        return f"<Valve {'stopped' if self.is_stopped else 'paused' if self._paused else 'open'}>"

    @property
    def is_paused(self) -> bool:
        return self._paused

    @property
    def is_stopped(self) -> bool:
        return self.stopped.is_set()

    def pause(self) -> Later:
        """Have it rest; answered (with None) once it does."""
        done = Later()
        with self._changed:
            self._paused = True
            if not self._resting:
                self._pauses.append(done)
                for halt in (halt for halt, ends in self._halts.items() if ends):
                    halt.set()
            rests, over = self._resting, self._over
            self._tell()
        if rests:
            done.give(None)
        if over:
            done.refuse(over)
        self._wake()
        return done

    def resume(self) -> None:
        with self._changed:
            self._paused = False
            self._tell()
        self._refuse("it was resumed meanwhile")

    def stop(self) -> None:
        """End the source, and every wait."""
        with self._changed:
            self.stopped.set()
            for halt in self._halts:
                halt.set()
            self._tell()
        self.end("it is being let go of here: ask again")
        self._wake()

    def end(self, why: str) -> None:
        """There is nothing to pause any more."""
        with self._changed:
            self._over = why
        self._refuse(why)

    def ask(self) -> None:
        """Somebody wants a picture: have whoever waits look."""
        with self._changed:
            self._asked = True
            self._tell()
        self._wake()

    def heed(self) -> None:
        """What was asked for is being looked at."""
        with self._changed:
            self._asked = False
            self._tell()

    @contextmanager
    def opening(self) -> Iterator[threading.Event]:
        """The event that ends the source which is opened inside; set already when it is not to be opened.
        While it rests a pause ends nothing: what is opened then was asked for."""
        halt = threading.Event()
        with self._changed:
            self._halts[halt] = not self._resting
            if self.is_stopped or (self._paused and not self._resting):
                halt.set()
        try:
            yield halt
        finally:
            with self._changed:
                del self._halts[halt]

    def keep(self, halt: threading.Event) -> None:
        """The source of that event can wait: a pause does not end it."""
        with self._changed:
            self._halts[halt] = False

    def rest(self, serve: Callable[[], None]) -> None:
        """Stay while it is paused, calling `serve` when a picture is asked for."""
        while self._rests():
            serve()

    def _rests(self) -> bool:
        """Wait; True when a picture is asked for, False when it is over."""
        with self._changed:
            self._resting = self._paused
            pauses, self._pauses = self._pauses, []
        for pause in pauses:
            pause.give(None)
        with self._changed:
            self._changed.wait_for(lambda: self._asked or self.is_stopped or not self._paused)
            self._resting = self._paused and not self.is_stopped
            asked, self._asked = self._asked and self._resting, self._asked and not self._resting
            self._tell()
            return asked

    def _refuse(self, why: str) -> None:
        with self._changed:
            pauses, self._pauses = self._pauses, []
        for pause in pauses:
            pause.refuse(why)

    def _tell(self) -> None:
        if self._paused or self.is_stopped or self._asked:
            self.called.set()
        else:
            self.called.clear()
        self._changed.notify_all()
