"""The thread that moves results between the window and the spool.

Rules kept here: the disk is touched on this thread only, and never under the sender's lock, so that a slow
disk holds up neither whoever offers nor what is being sent; what the disk refuses stays in memory, is logged
once a second at most, and is tried again; at the end whatever is not delivered goes to the spool.
"""

import logging
import threading
from collections.abc import Callable, Iterable

from mesh.clock import Clock
from mesh.delivery.counts import Counts
from mesh.delivery.result import GiveUp, Result
from mesh.delivery.spool import Damaged, Spool, row_bytes
from mesh.delivery.window import Window
from mesh.errors import StorageError
from mesh.stats import Counters, Rarely

log = logging.getLogger(__name__)

DELETE_AT_ONCE = 256
DELETE_EVERY_S = 0.2
LOOK_EVERY_S = 1.0
RETRY_S = 1.0


class Spooler:
    """Works on a sender's `window` and `counts` under its `lock`; `on_change` tells the sender of changes."""

    def __init__(
        self,
        spool: Spool,
        window: Window,
        counts: Counts,
        counters: Counters,
        lock: threading.Condition,
        on_change: Callable[[], None],
        clock: Clock,
    ) -> None:
        self._spool = spool
        self._window = window
        self._counts = counts
        self._counters = counters
        self._lock = lock
        self._on_change = on_change
        self._clock = clock
        self._awake = threading.Event()
        self._rarely = Rarely()
        self._retry_at = self._deleted_at = clock.monotonic()

    @property
    def free(self) -> int:
        """Bytes that the spool can take before something has to go; 0 while it cannot be used."""
        return 0 if self._window.failing else self._spool.free

    def wake(self) -> None:
        self._awake.set()

    def run(self, stopping: threading.Event, sending_over: threading.Event) -> None:
        """Work until `stopping`; once nothing is sent any more, put away what is left."""
        while not stopping.is_set():
            self._awake.clear()
            if not self.run_once():
                pending = bool(self._window.acknowledged_count)
                self._clock.wait(self._awake, DELETE_EVERY_S if pending else LOOK_EVERY_S)
        sending_over.wait()
        self._put_away()

    def run_once(self) -> bool:
        """Write, delete and read what there is to; whether anything was moved."""
        now = self._clock.monotonic()
        failed = self._window.failing
        if failed and now < self._retry_at:
            return False
        with self._lock:
            self._window.failing = False
        try:
            moved = self._write(now)
            moved = self._read() or moved
            if failed and moved:
                log.warning("the spool in %s can be used again", self._spool.folder)
            return moved
        except Damaged as error:
            self._start_anew(error)
        except StorageError as error:
            self._fail(error)
        return False

    def _write(self, now: float) -> bool:
        with self._lock:
            chunk = self._window.spill() if self._window.overfull() else []
            due = now - self._deleted_at >= DELETE_EVERY_S
            due = due or self._window.acknowledged_count >= DELETE_AT_ONCE
            acked = self._window.acknowledged_rows() if chunk or due else []
        if not chunk and not acked:
            return False
        self._deleted_at = now
        self._move(chunk, acked)
        return True

    def _move(self, chunk: list[Result], acked: list[Result]) -> None:
        """Write a chunk, and delete rows: those that were acknowledged, and the oldest to make room."""
        try:
            fitting, victims = self._fit(chunk, acked)
            refused = chunk[: len(chunk) - len(fitting)]
            with self._lock:
                for result in (*victims, *refused):
                    result.cause = GiveUp.SPOOL_FULL
                tallies = self._counts.foretell(acked, [*victims, *refused])
            self._spool.write(fitting, [*acked, *victims], tallies)
        except BaseException:
            with self._lock:
                self._counts.deliver(self._window.kept(chunk))
            raise
        with self._lock:
            self._window.spilled(fitting)
            self._window.deleted(acked)
            self._counts.deliver(acked)
            self._counts.give_up(self._window.evicted(victims))
            gone, delivered = self._window.refused(refused)
            self._counts.give_up(gone)
            self._counts.deliver(delivered)
            self._lock.notify_all()
        self._counters.add("spooled", len(fitting))

    def _fit(self, chunk: list[Result], acked: Iterable[Result]) -> tuple[list[Result], list[Result]]:
        """What of a chunk can be written, and the oldest rows that have to go for it."""
        needed = sum(map(row_bytes, chunk)) - sum(map(row_bytes, acked)) - self._spool.free
        with self._lock:
            skip = self._window.in_use()
        victims = self._spool.oldest(needed, skip)
        needed -= sum(map(row_bytes, victims))
        first = 0
        while needed > 0 and first < len(chunk):
            needed -= row_bytes(chunk[first])
            first += 1
        return chunk[first:], victims

    def _read(self) -> bool:
        with self._lock:
            wants = self._window.wants()
        moved = False
        for want in wants:
            results = self._spool.read(want)
            with self._lock:
                self._window.loaded(want, results)
            moved = moved or bool(results)
        if moved:
            self._on_change()
        return moved

    def _fail(self, error: StorageError) -> None:
        with self._lock:
            self._window.failing = True
        now = self._clock.monotonic()
        self._retry_at = now + RETRY_S
        self._counters.add("spool_errors")
        if (held := self._rarely.ready(now)) is not None:
            log.error("%s; going on in memory (%d more since the last such line)", error, held)
        self._on_change()

    def _start_anew(self, error: Damaged) -> None:
        """Put a file that cannot be read aside; what was on it alone is counted."""
        try:
            aside = self._spool.put_aside()
        except StorageError as failure:
            self._fail(failure)
            return
        with self._lock:
            acked = self._window.acknowledged_rows()
            self._window.deleted(acked)
            self._counts.deliver(acked)
            self._counts.lose(self._window.lost_spool(), GiveUp.SPOOL_ERROR)
            self._lock.notify_all()
        self._counters.add("spool_errors")
        log.error("%s; put aside as %s", error, aside)
        self._on_change()

    def _put_away(self) -> None:
        try:
            self._put_away_all()
        except StorageError as error:
            log.error("%s; results that no collector acknowledged are lost", error)
            with self._lock:
                self._counts.give_up(self._window.give_up_all(GiveUp.SPOOL_ERROR))
        with self._lock:
            waiting = sum(self._window.frames()[1].values())
        if waiting:
            log.warning("%d results wait in the spool in %s for the next start", waiting, self._spool.folder)
        try:
            self._spool.close()
        except StorageError as error:
            log.error("%s", error)

    def _put_away_all(self) -> None:
        while True:
            with self._lock:
                chunk = self._window.spill(everything=True)
                acked = self._window.acknowledged_rows()
                if not chunk and not acked:
                    self._window.close()
                    return
            self._move(chunk, acked)
