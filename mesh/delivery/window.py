"""The sending window: results that no collector has acknowledged yet. Pure: no sockets, no disk, no clock.

Rules kept here:

- A result is open (in memory, on disk, or both) until it is acknowledged or given up; both are told, and
  given up is told with its cause.
- Each camera has one collector at a time, chosen by rendezvous; what goes to one goes oldest first, and what
  is in flight to one is bounded (see `lane`). Results of a collector that left go to the next, in order.
- Memory is bounded in bytes and in number. With a spool, what passes the limit moves there, oldest first;
  without one the oldest goes, one that was never sent before one that may have arrived.
- A result on disk counts as delivered once its row is deleted, not before: whoever finds the file after a
  `kill -9` then goes on counting without a gap and without counting anything twice.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mesh.delivery.lane import Lane
from mesh.delivery.result import GiveUp, Place, Result, Stream, Want
from mesh.delivery.shelves import Shelves
from mesh.placement import rendezvous

CHUNK_RESULTS = 512
CHUNK_BYTES = 8 * 1024 * 1024
SLACK_BYTES = 16 * 1024 * 1024  # what may come while a chunk is on its way to a slow disk


class Window:
    """max_bytes, max_results:  of what is in memory only; with `spool`, more than that is moved to it

    What was read back from the spool comes on top: FLIGHT_BYTES and FLIGHT_RESULTS at most for each
    collector, however small `max_bytes` is.
    """

    def __init__(
        self,
        max_bytes: int,
        max_results: int,
        resend_after_s: float,
        *,
        spool: bool = False,
        next_number: int = 0,
    ) -> None:
        self._max_bytes = max_bytes
        self._max_results = max_results
        self._resend_after_s = resend_after_s
        self._spool = spool
        self.failing = False  # the spool, just now: what is in memory then passes what is on disk
        self._closed = False
        self.next_number = next_number  # of what is offered next
        self._kept = self._bytes = 0  # results that are in memory only, and their bytes
        self._open: dict[int, Result] = {}  # in memory and not acknowledged; those never spooled oldest first
        self._shelves = Shelves()
        self._acked: dict[int, Result] = {}  # acknowledged; their rows are to be deleted
        self._late: dict[int, Result] = {}  # sent, then given up or moved to disk: it may have arrived
        self._lanes: dict[str, Lane] = {}
        self._owners: dict[str, str | None] = {}  # of each camera, among these lanes

    def __len__(self) -> int:
        """Results that are open, in memory or on disk."""
        return len(self._open) + len(self._acked) + self.shelved

    def __repr__(self) -> str:
        memory = f"{self._kept} results, {self._bytes} bytes"
        return f"<Window {memory}, {len(self) - self._kept} on disk, to {sorted(self._lanes)}>"

    @property
    def bytes(self) -> int:
        """Of results that are in memory only."""
        return self._bytes

    @property
    def shelved(self) -> int:
        """Results that are on disk only."""
        return len(self._shelves)

    @property
    def collectors(self) -> frozenset[str]:
        return frozenset(self._lanes)

    def frames(self) -> tuple[Counter[Stream], Counter[Stream]]:
        """Frames of each stream that are open, and those among them that are safe on disk."""
        waiting, spooled = Counter[Stream](), Counter[Stream]()
        for result in [*self._open.values(), *self._acked.values()]:
            waiting[result.stream] += result.frames
            if result.place is Place.SPOOLED:
                spooled[result.stream] += result.frames
        for stream, frames in self._shelves.frames():
            waiting[stream] += frames
            spooled[stream] += frames
        return waiting, spooled

    def offer(self, stream: Stream, frames: int, parts: Sequence[Any]) -> list[Result]:
        """Take in a result and number it; give those that had to go to make room for it."""
        result = Result(self.next_number, stream, frames, parts, sum(map(len, parts)))
        self.next_number += 1
        if self._closed:
            result.cause = GiveUp.CLOSED
            return [result]
        gone = self._make_room(result.size)
        self._open[result.number] = result
        self._keep(result)
        self._assign(result)
        return gone

    def has_room(self, size: int, spool_free: int = 0) -> bool:
        """Whether a result of so many bytes fits in without anything going, now or when the rest moves to
        a spool in which `spool_free` bytes are free."""
        if not self._kept:
            return True
        bytes_then, results_then = self._bytes + size, self._kept + 1
        if bytes_then <= self._max_bytes and results_then <= self._max_results:
            return True
        return bytes_then <= min(spool_free, self._hard_bytes) and results_then <= self._hard_results

    def set_collectors(self, collectors: Iterable[str]) -> None:
        """The collectors that live now. What belonged to one that left is assigned anew, in order."""
        wanted = set(collectors)
        if wanted == set(self._lanes):
            return
        paces = {name: lane.pace for name, lane in self._lanes.items()}
        self._lanes = {
            name: Lane(self._max_bytes, self._max_results, paces.get(name)) for name in sorted(wanted)
        }
        self._owners.clear()
        for result in sorted(self._open.values(), key=lambda result: (result.sent_at, result.number)):
            owner = self._owner(result.stream)
            if result.sent_to is not None and result.sent_to == owner:
                self._lanes[owner].take_off(result)
            else:
                result.sent_to = None
                self._assign(result)

    def waiting(self, collector: str) -> Result | None:
        """The next result to send to a collector; None while enough is in flight, or an older one is on
        disk."""
        lane = self._lanes[collector]
        result = lane.first(self._open)
        if result is None or self._is_held_back(result) or lane.is_full(result):
            return None
        return result

    def sent(self, result: Result, collector: str, now: float) -> None:
        """The result that `waiting` gave has been handed to the socket.

        Where it was given up meanwhile it may arrive all the same; where it was moved to disk meanwhile it
        is sent again from there.
        """
        result.resent += result.was_sent
        result.sent_at = now
        if self._open.get(result.number) is result:
            result.sent_to = collector
            self._lanes[collector].take_off(result)
        elif result.cause is not None:
            self._remember(result)

    def acknowledge(
        self, collector: str, numbers: Iterable[int], now: float
    ) -> tuple[list[Result], list[Result]]:
        """Results delivered now, and those among them that had been given up.

        What is on disk is delivered once its row is deleted: see `acknowledged_rows`.
        """
        numbers = list(numbers)
        if collector in self._lanes:
            self._lanes[collector].heard(numbers, now)
        delivered, revived = [], []
        for number in numbers:
            if (result := self._open.get(number)) is not None:
                if self._settle(result):
                    delivered.append(result)
            elif (late := self._late.pop(number, None)) is not None:
                if late.cause is None:
                    self._unshelve(late)
                else:
                    revived.append(late)
        return delivered + revived, revived

    def resend(self, now: float) -> int:
        """Queue again what a collector should have acknowledged by now and did not; how many."""
        count = 0
        for lane in self._lanes.values():
            late = lane.late(now, self._resend_after_s)
            for result in late:
                self._land(result)
                lane.queue(result)
            count += len(late)
        return count

    def close(self) -> None:
        """Give up whatever is offered from now on."""
        self._closed = True

    def give_up_all(self, cause: GiveUp = GiveUp.CLOSED) -> list[Result]:
        """Empty the window, and close it; what was in memory only."""
        self.close()
        gone = sorted(r for r in self._open.values() if r.place is not Place.SPOOLED)
        for result in list(self._open.values()):
            self._remove(result)
        for result in gone:
            result.cause = cause
        return gone

    # What follows is between the window and the spool.

    def shelve(self, stream: Stream, results: int, frames: int) -> None:
        """So much of a stream was found on disk, numbered below this window's own."""
        self._shelves.find(stream, results, frames)

    def overfull(self) -> bool:
        """Whether memory has passed its limit."""
        return self._bytes > self._max_bytes or self._kept > self._max_results

    def spill(self, *, everything: bool = False) -> list[Result]:
        """The oldest results that are not in flight, to be written to the spool: down to half of the limit.

        With `everything`, whatever is in memory only, in flight or not. At most a chunk at a time; say
        `spilled` or `kept` with it.
        """
        chunk: list[Result] = []
        left_bytes, left = self._bytes, self._kept
        for result in sorted(self._open.values()) if everything else self._open.values():
            enough = left_bytes <= self._max_bytes // 2 and left <= self._max_results // 2
            full = len(chunk) >= CHUNK_RESULTS or self._bytes - left_bytes >= CHUNK_BYTES
            if full or (enough and not everything):
                break
            if result.place is Place.MEMORY and (everything or result.sent_to is None):
                result.place = Place.MOVING
                chunk.append(result)
                left_bytes, left = left_bytes - result.size, left - 1
        return chunk

    def spilled(self, chunk: Iterable[Result]) -> None:
        """These are on disk now, and leave memory."""
        for result in chunk:
            self._remove(result)
            result.place = Place.SPOOLED
            if result.acknowledged:
                self._acked[result.number] = result
                continue
            self._shelves.put(result)
            if result.was_sent:
                self._remember(result)

    def kept(self, chunk: Iterable[Result]) -> list[Result]:
        """The disk refused these: they stay in memory. Those that were acknowledged meanwhile."""
        delivered = []
        for result in chunk:
            result.place = Place.MEMORY
            if result.acknowledged:
                self._remove(result)
                delivered.append(result)
        return delivered

    def refused(self, chunk: Iterable[Result]) -> tuple[list[Result], list[Result]]:
        """The spool is too small for these: those that are given up, and those acknowledged meanwhile."""
        gone, delivered = [], []
        for result in chunk:
            self._remove(result)
            if result.acknowledged:
                delivered.append(result)
                continue
            result.cause = GiveUp.SPOOL_FULL
            gone.append(result)
            if result.was_sent:
                self._remember(result)
        return gone, delivered

    def evicted(self, results: Iterable[Result]) -> list[Result]:
        """These had to go from the disk; those among them that are not acknowledged are given up."""
        gone = [result for result in results if result.number not in self._acked]
        for result in gone:
            self._shelves.take(result)
            if (late := self._late.get(result.number)) is not None:
                late.cause = GiveUp.SPOOL_FULL
        return gone

    def wants(self) -> list[Want]:
        """What to read from the spool: for each collector that has nothing to be sent and could take some."""
        if self.failing or not self.shelved:
            return []
        wants = (self._want(name, lane) for name, lane in self._lanes.items())
        return [want for want in wants if want is not None]

    def loaded(self, want: Want, results: Sequence[Result]) -> None:
        """What the spool gave for a want: the oldest, in order."""
        for result in results:
            if result.number in self._acked:  # a late acknowledgement came as it was read
                continue
            self._shelves.take(result)
            self._late.pop(result.number, None)
            result.place = Place.SPOOLED
            self._open[result.number] = result
            self._assign(result)
        if results:
            self._shelves.taken_below(want.streams, results[-1].number + 1)

    def in_use(self) -> frozenset[int]:
        """The numbers of results on disk that are in memory, too, or acknowledged."""
        return frozenset(n for n, r in self._open.items() if r.place is Place.SPOOLED) | frozenset(
            self._acked
        )

    @property
    def acknowledged_count(self) -> int:
        return len(self._acked)

    def acknowledged_rows(self) -> list[Result]:
        """Results whose rows may be deleted; say `deleted` when they are."""
        return list(self._acked.values())

    def deleted(self, results: Iterable[Result]) -> None:
        for result in results:
            self._acked.pop(result.number, None)

    def lost_spool(self) -> Mapping[Stream, int]:
        """The spool's file had to be put aside: the frames of each stream that were on it alone."""
        lost = dict(self._shelves.frames())
        self._shelves.clear()
        for number in [n for n, late in self._late.items() if late.cause is None]:
            del self._late[number]
        for result in self._open.values():
            if result.place is Place.SPOOLED:
                result.place = Place.MEMORY
                self._keep(result)
        return lost

    @property
    def _hard_bytes(self) -> int:
        return self._max_bytes + (SLACK_BYTES if self._spool and not self.failing else 0)

    @property
    def _hard_results(self) -> int:
        return self._max_results * (2 if self._spool and not self.failing else 1)

    def _is_held_back(self, result: Result) -> bool:
        if result.place is Place.MOVING:
            return True
        return self._shelves.is_behind(result) and not self.failing

    def _want(self, name: str, lane: Lane) -> Want | None:
        first = lane.first(self._open)
        if not lane.is_half_empty or not (first is None or self._is_held_back(first)):
            return None
        streams, lowest = self._shelves.wanted(lambda stream: self._owner(stream) == name)
        return Want(streams, lowest, self.in_use(), *lane.room) if streams else None

    def _settle(self, result: Result) -> bool:
        """Take in that an open result is acknowledged; whether it is delivered now."""
        if result.place is Place.MOVING:
            result.acknowledged = True
            return False
        self._remove(result)
        if result.place is Place.SPOOLED:
            result.parts = ()
            self._acked[result.number] = result
            return False
        return True

    def _unshelve(self, late: Result) -> None:
        """A result that had been sent and then moved to disk has arrived after all."""
        self._shelves.take(late)
        self._acked[late.number] = late

    def _remove(self, result: Result) -> None:
        self._land(result)
        del self._open[result.number]
        if result.place is not Place.SPOOLED:
            self._kept -= 1
            self._bytes -= result.size

    def _keep(self, result: Result) -> None:
        self._kept += 1
        self._bytes += result.size

    def _land(self, result: Result) -> None:
        if (lane := self._lanes.get(result.sent_to or "")) is not None:
            lane.land(result)
        result.sent_to = None

    def _assign(self, result: Result) -> None:
        owner = self._owner(result.stream)
        if owner is not None:
            self._lanes[owner].queue(result)

    def _owner(self, stream: Stream) -> str | None:
        camera = stream[1]
        if camera not in self._owners:
            self._owners[camera] = rendezvous(camera, self._lanes)
        return self._owners[camera]

    def _make_room(self, size: int) -> list[Result]:
        gone: list[Result] = []
        while self._kept >= self._hard_results or self._bytes + size > self._hard_bytes:
            oldest = self._expendable()
            if oldest is None:
                break
            self._remove(oldest)
            oldest.cause = GiveUp.SPOOL_ERROR if self.failing else GiveUp.OVERFLOW
            if oldest.was_sent:
                self._remember(oldest)
            gone.append(oldest)
        return gone

    def _expendable(self) -> Result | None:
        """The oldest result that is in memory only, rather one that is not in flight."""
        sent = None
        for result in self._open.values():
            if result.place is Place.MEMORY:
                if result.sent_to is None:
                    return result
                sent = sent or result
        return sent

    def _remember(self, result: Result) -> None:
        result.parts = ()
        self._late[result.number] = result
        while len(self._late) > 4 * self._max_results:
            del self._late[next(iter(self._late))]
