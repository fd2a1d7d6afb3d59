"""What became of the results of each stream: counts that go on over a restart, where a spool kept them.

Rules kept here: every result is delivered, given up for a cause, or still open; `carried` says which part of
the counts an earlier run left behind, so that whoever adds both runs up counts nothing twice.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mesh.delivery.result import GiveUp, Result, Stream
from mesh.delivery.window import Window


@dataclass(slots=True)
class Tally:
    """What became of one stream's results. `undelivered` is by cause."""

    results: int = 0
    delivered: int = 0
    undelivered: Counter[str] = field(default_factory=Counter)

    def copy(self) -> "Tally":
        return Tally(self.results, self.delivered, Counter(self.undelivered))

    def add(self, other: "Tally") -> None:
        self.results += other.results
        self.delivered += other.delivered
        self.undelivered += other.undelivered


@dataclass(slots=True)
class SentCount(Tally):
    """A stream's tally, with what is open: `waiting` results, of which `spooled` are safe on disk.

    carried:  the part of the tally that was found in the spool
    """

    waiting: int = 0
    spooled: int = 0
    carried: Tally = field(default_factory=Tally)


class Counts:
    """Tallies by (stage, camera, boot). Not thread-safe: the sender's lock is held."""

    def __init__(self) -> None:
        self._tallies: dict[Stream, Tally] = {}
        self._carried: dict[Stream, Tally] = {}

    def of(self, stream: Stream) -> Tally:
        tally = self._tallies.get(stream)
        if tally is None:
            tally = self._tallies[stream] = Tally()
        return tally

    def own(self, stream: Stream) -> int:
        """How many results of a stream this run has made."""
        carried = self._carried.get(stream)
        return self.of(stream).results - (carried.results if carried else 0)

    def carry(self, stream: Stream, found: Tally, waiting: int) -> None:
        """Go on from what a spool tells; what it knows of and does not hold was in memory, and is gone."""
        tally = found.copy()
        died = tally.results - tally.delivered - sum(tally.undelivered.values()) - waiting
        if died > 0:
            tally.undelivered[GiveUp.DIED] += died
        self._carried[stream] = tally
        self._tallies[stream] = tally.copy()

    def deliver(self, results: Iterable[Result]) -> None:
        for result in results:
            self.of(result.stream).delivered += result.frames

    def give_up(self, results: Iterable[Result]) -> None:
        """Count results that are given up by their cause."""
        for result in results:
            self.of(result.stream).undelivered[result.cause or GiveUp.CLOSED] += result.frames

    def revive(self, results: Iterable[Result]) -> None:
        """Results that had been given up have arrived after all, and are counted as delivered."""
        for result in results:
            self.of(result.stream).undelivered[result.cause or GiveUp.CLOSED] -= result.frames

    def lose(self, frames: Mapping[Stream, int], cause: GiveUp) -> None:
        for stream, count in frames.items():
            self.of(stream).undelivered[cause] += count

    def foretell(self, delivered: Iterable[Result], given_up: Iterable[Result]) -> dict[Stream, Tally]:
        """The tallies as they will be once these are delivered, and these given up."""
        then = Counts()
        then._tallies = {stream: tally.copy() for stream, tally in self._tallies.items()}
        then.deliver(delivered)
        then.give_up(given_up)
        return then._tallies

    def snapshot(self, window: Window) -> dict[Stream, SentCount]:
        waiting, spooled = window.frames()
        return {
            stream: SentCount(
                tally.results,
                tally.delivered,
                +tally.undelivered,
                waiting[stream],
                spooled[stream],
                self._carried.get(stream, Tally()).copy(),
            )
            for stream, tally in self._tallies.items()
        }
