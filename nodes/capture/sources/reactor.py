"""One thread that reads many cameras' connections.

A thread a camera costs hand-overs of the GIL for every picture: with a hundred cameras more than reading,
parsing and numbering together.

Rules kept here: a channel is read by the reactor's thread alone, between `add` and its `finish`, and is
finished exactly once; what goes wrong in one is told to that one; nothing here blocks but the wait for data.
"""

import selectors
import threading
from collections.abc import Callable
from typing import Protocol

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.transport.sockets import Waker

LOOK_S = 0.25  # how often it looks whether a channel has stalled
PAUSE_S = 0.004  # between two rounds: what comes meanwhile is read and published together, for a third less
MANY = 20  # channels from which a pause is that long; with fewer it is shorter: one camera waits for nobody


class Channel(Protocol):
    """A connection that is read when it has something."""

    def fileno(self) -> int: ...

    def read(self) -> bool:
        """Take in what is there, without blocking; False when it is over. What it raises ends it, too."""
        ...

    def check(self) -> bool:
        """False when it is over, as whoever reads has asked. Raises when nothing has come for too long."""
        ...

    def finish(self, error: Exception | None) -> None:
        """It is not read any more, because of `error` or because it is over."""
        ...


class Reactor:
    """Reads channels on the thread that calls `run`, until `stop`. Any other method may be called from any
    thread; `close` once `run` has ended."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._new: list[Channel] = []
        self._channels: set[Channel] = set()
        self._look_at = 0.0
        self._stopped = False
        self._running = threading.Lock()  # held until `stop`; waiting for it costs half of what an event does
        self._running.acquire()
        self._selector = selectors.DefaultSelector()
        self._waker = Waker()
        self._selector.register(self._waker.fd, selectors.EVENT_READ)

    def __repr__(self) -> str:
        return f"<Reactor {len(self._channels)} channels{' stopped' if self._stopped else ''}>"

    def add(self, channel: Channel) -> None:
        """Read `channel` until it is over. One that comes after `stop` is finished at once."""
        with self._lock:
            taken = not self._stopped
            if taken:
                self._new.append(channel)
        if taken:
            self._waker.wake()
        else:
            channel.finish(None)

    def wake(self) -> None:
        """Look now whether a channel is over."""
        self._waker.wake()

    def stop(self) -> None:
        """Finish every channel, and end `run`."""
        with self._lock:
            if not self._stopped:
                self._stopped = True
                self._running.release()
        self._waker.wake()

    def run(self) -> None:
        """Read until `stop`."""
        try:
            while not self._stopped:
                if self._turn() and len(self._channels) > 1:
                    pause_s = PAUSE_S * min(1.0, len(self._channels) / MANY)
                    self._running.acquire(timeout=pause_s)  # in real time, whatever the clock
        finally:
            self.stop()
            for channel in (*self._channels, *self._taken_in()):
                channel.finish(None)
            self._channels.clear()

    def close(self) -> None:
        self._selector.close()
        self._waker.close()

    def _turn(self) -> bool:
        """Wait for something to do, and do it; whether anything was read."""
        woken = has_read = False
        for key, _ in self._selector.select(LOOK_S if self._channels else None):
            if key.data is None:
                woken = True
            elif key.data in self._channels:
                has_read = True
                self._guard(key.data, key.data.read)
        if woken:
            self._waker.clear()
            for channel in self._taken_in():
                self._begin(channel)
        if woken or self._clock.monotonic() >= self._look_at:
            self._look_at = self._clock.monotonic() + LOOK_S
            for channel in tuple(self._channels):
                self._guard(channel, channel.check)
        return has_read

    def _taken_in(self) -> list[Channel]:
        with self._lock:
            new, self._new = self._new, []
        return new

    def _begin(self, channel: Channel) -> None:
        self._channels.add(channel)
        self._selector.register(channel.fileno(), selectors.EVENT_READ, channel)
        self._guard(channel, channel.read)  # something may have come in before it was registered

    def _guard(self, channel: Channel, work: Callable[[], bool]) -> None:
        """Do `work` for a channel, and finish it when that says so, or fails."""
        error: Exception | None = None
        try:
            if work():
                return
        except Exception as raised:  # noqa: BLE001 - it ends this channel, on the thread that waits for it
            error = raised
        self._channels.discard(channel)
        self._selector.unregister(channel.fileno())
        channel.finish(error)
