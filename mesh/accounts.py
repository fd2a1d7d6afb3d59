"""What became of every frame that a subscriber was offered: the counts behind an inbox, and the ledger.

Pure. Rules kept here: a publisher numbers what it offers in a partition (`n`, from 0, by its `run`), and what
a subscriber has accounted for are spans of these numbers: inside a span every number is in exactly one count
(processed, dropped by a named cause, lost, in flight, or a duplicate); what passed before the first span of a
run (`before_join`), and while the partition was another member's (`elsewhere`), is counted and lies outside.
A frame is given out once, by its place (see `mesh.arrivals`), whichever publisher brings it first, and also
behind later ones: a publisher that is slow may bring what no other one will. What is kept of a run's spans is
bounded: old ones become one, and what lay between them is `away`, inside.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto

from mesh.arrivals import NOWHERE, Arrivals
from mesh.frame import EndOfStream, Frame
from mesh.wire import Message

BOOTS_KEPT = 2
SPANS_KEPT = 32  # of a publisher's run in a partition

Span = tuple[int, int, int, int]  # partition, run, and the numbers from `first` to `end`, exclusive


class Cause(StrEnum):
    """Why a frame was dropped."""

    BEFORE_JOIN = "before_join"  # published before this subscription began
    ELSEWHERE = "elsewhere"  # published while another member of the group took the partition
    AWAY = "away"  # as `elsewhere`, so long ago that the spans on both sides of it are kept as one
    OVERWRITTEN = "overwritten"  # by a newer one, here or in the shared memory that it came in
    UNREADABLE = "unreadable"  # its pixels were in shared memory that cannot be opened here
    OVERFLOW = "overflow"
    LATE = "late"  # it came after a later one of its partition, where only what is newer is wanted
    EXPIRED = "expired"  # older than the limit when its turn came
    DECODE = "decode"  # its image did not decode
    PROCESSOR = "processor"  # a processor raised
    STORAGE = "storage"  # the disk refused it
    ABANDONED = "abandoned"  # still waiting when its subscriber closed


@dataclass(frozen=True, slots=True)
class StreamCount:
    """What became of one camera's frames of one stage since `boot`: a snapshot.

    offered:     the sum of all that follows, but for `duplicates` and `repeats`
    duplicates:  numbers of a publisher whose frames had come under another number, as from another publisher
    repeats:     messages that came again, under a number that was accounted for
    ended:       whether every partition that is taken in has ended
    spans:       (partition, run, first, end): what is accounted for, end exclusive; their lengths are
                 processed + lost + in_flight + duplicates + what was dropped, but before_join and elsewhere
    """

    stage: str
    camera: str
    boot: int
    offered: int
    processed: int
    dropped: Mapping[str, int]
    lost: int
    in_flight: int
    duplicates: int
    ended: bool
    repeats: int = 0
    spans: tuple[Span, ...] = ()


class _Taking(Enum):
    """Whether a partition is taken in."""

    JOINS = auto()  # it is, and nothing has come yet
    YES = auto()
    NO = auto()


@dataclass(slots=True)
class _Run:
    """One publisher's numbers in a partition: accounted for from `first` to `next`, and in `closed`."""

    first: int
    next: int
    seq: int = -1  # of its newest frame, once one has come
    away: bool = False  # the partition was left since, and nothing of this run has come again
    closed: list[tuple[int, int]] = field(default_factory=list)

    def skip(self, n: int) -> int:
        """Begin a new span at `n`; how many numbers lie between."""
        self.away, skipped = False, n - self.next
        if skipped:
            self.closed.append((self.first, self.next))
            self.first = self.next = n
        return skipped

    def merge(self) -> int:
        """Make the oldest two spans one where there are too many; how many numbers lay between."""
        if len(self.closed) < SPANS_KEPT:
            return 0
        (first, end), (resumed, last) = self.closed[:2]
        self.closed[:2] = [(first, last)]
        return resumed - end


@dataclass(slots=True)
class _Part:
    """One partition since a boot."""

    runs: dict[int, _Run] = field(default_factory=dict)
    arrivals: Arrivals = field(default_factory=Arrivals)
    heard: int | None = None  # the run that was heard last, since the partition was entered
    ended: bool = False


@dataclass(slots=True)
class Ledger:
    """The counts of one camera for one boot.

    replaces:  whether a frame is not to be given out behind a later one of its partition
    """

    boot: int
    replaces: Callable[[Frame], bool]
    partitions: int = 1  # as the latest end says
    parts: dict[int, _Part] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)
    processed: int = 0
    lost: int = 0
    in_flight: int = 0
    duplicates: int = 0
    repeats: int = 0

    def settle(self, dropped: str | None) -> None:
        """A frame that was in flight is processed, or dropped for a cause."""
        self.in_flight -= 1
        if dropped is None:
            self.processed += 1
        else:
            self.dropped[dropped] += 1

    def arrive(self, message: Message, frame: Frame, joining: bool) -> bool:
        """Account for a frame and the gap before it; False when it is not to be given out."""
        part = self._part(message.topic.partition)
        part.heard = message.run
        run = part.runs.get(message.run)
        if run is not None and message.n < run.next:
            self.repeats += 1
            return False
        if run is None or message.n != run.next or run.away:
            run = self._gap(part, run, message, joining, frame.seq)
        run.next += 1
        place = (frame.seq, frame.part)
        if place > part.arrivals.newest:
            part.arrivals.extend(message.run, place, frame.partitions)
            run.seq = frame.seq
        elif not self._fits_in(part, run, message.run, frame):
            return False
        self.in_flight += 1
        return True

    def end(self, message: Message, end: EndOfStream, joining: bool) -> bool:
        """Account for the tail; False when the end was known."""
        self.partitions, part = end.partitions, self._part(end.partition)
        part.heard = message.run
        run = part.runs.get(message.run)
        if run is None or message.n > run.next:
            frames = (end.count - end.partition + end.partitions - 1) // end.partitions  # of the partition
            self._gap(part, run, message, joining, frames * end.partitions + end.partition)
        known, part.ended = part.ended, True
        return not known

    def spans(self) -> tuple[Span, ...]:
        return tuple(
            (partition, number, first, end)
            for partition, part in self.parts.items()
            for number, run in part.runs.items()
            for first, end in (*run.closed, (run.first, run.next))
        )

    def _part(self, partition: int) -> _Part:
        part = self.parts.get(partition)
        if part is None:
            part = self.parts[partition] = _Part()
        return part

    def _fits_in(self, part: _Part, run: _Run, number: int, frame: Frame) -> bool:
        """Account for a frame that comes behind a later one; whether it is to be given out. `number` is that
        of its publisher's run."""
        run.seq = max(run.seq, frame.seq)
        if not part.arrivals.fill(number, (frame.seq, frame.part), frame.partitions):
            self.duplicates += 1
            return False
        if self.replaces(frame):
            self.dropped[Cause.LATE] += 1
            return False
        return True

    def _gap(self, part: _Part, run: _Run | None, message: Message, joining: bool, seq: int) -> _Run:
        """Account for what a publisher numbered and did not come, before a message that is at `seq`: a
        frame's own, or where the partition's next frame would be."""
        if run is None:
            run = part.runs[message.run] = self._join(part, message, joining, seq)
        elif run.away:
            self.dropped[Cause.ELSEWHERE] += run.skip(message.n)
            merged = run.merge()
            self.dropped[Cause.ELSEWHERE] -= merged
            self.dropped[Cause.AWAY] += merged
        else:
            # Another publisher of the stream may have brought what this one's link lost.
            missed, run.next = message.n - run.next, message.n
            after = run.seq if run.seq >= 0 else part.arrivals.newest[0]
            had = min(missed, part.arrivals.between(after, seq, message.body.partitions))
            self.duplicates += had
            self.lost += missed - had
        return run

    def _join(self, part: _Part, message: Message, joining: bool, seq: int) -> _Run:
        """A publisher's run that is heard for the first time. In a partition that was taken in before, what
        lies beyond the newest frame of all is lost; the rest passed before that run was subscribed to."""
        newest, lost = part.arrivals.newest, 0
        if not joining:
            ahead = (seq - newest[0]) // message.body.partitions - 1
            lost = message.n if newest == NOWHERE else max(0, min(message.n, ahead))
        self.lost += lost
        self.dropped[Cause.BEFORE_JOIN] += message.n - lost
        return _Run(message.n - lost, message.n)


class Account:
    """One camera at one stage: a ledger for each of the newest boots, and which partitions are taken in.

    whole:     whether all partitions of the camera come here, so that it has ended only when all of them have
    replaces:  whether a frame is not to be given out behind a later one of its partition
    """

    __slots__ = ("_replaces", "_taking", "_whole", "ledgers")

    def __init__(self, *, whole: bool, replaces: Callable[[Frame], bool]) -> None:
        self.ledgers: dict[int, Ledger] = {}
        self._replaces = replaces
        self._taking: dict[int, _Taking] = {}
        self._whole = whole

    def accept(self, message: Message) -> bool:
        """Account for a message; False when it is not to be given out."""
        body, partition = message.body, message.topic.partition
        taking = self._taking.get(partition, _Taking.JOINS)
        if taking is _Taking.NO:
            return False
        joining = taking is _Taking.JOINS
        if joining:
            self._taking[partition] = _Taking.YES
        ledger = self.ledgers.get(body.boot)
        if ledger is None:
            ledger = self._begin(body.boot)
        if isinstance(body, EndOfStream):
            return ledger.end(message, body, joining)
        return ledger.arrive(message, body, joining)

    def leave(self, partition: int) -> None:
        """Take no more of a partition: what still comes is refused, and not counted."""
        self._taking[partition] = _Taking.NO

    def enter(self, partition: int) -> None:
        """Take a partition again: what passed meanwhile was taken elsewhere."""
        if self._taking.get(partition) is not _Taking.NO:
            return
        self._taking[partition] = _Taking.JOINS
        for ledger in self.ledgers.values():
            if (part := ledger.parts.get(partition)) is not None:
                part.heard = None
                for run in part.runs.values():
                    run.away = True

    def reached(self, partition: int) -> tuple[int, int, int] | None:
        """Of the newest boot that came since the partition was entered: (boot, run, n), the run that was
        heard last and the next number expected of it."""
        for boot in sorted(self.ledgers, reverse=True):
            part = self.ledgers[boot].parts.get(partition)
            if part is not None and part.heard is not None:
                return boot, part.heard, part.runs[part.heard].next
        return None

    def snapshots(self, stage: str, camera: str) -> list[StreamCount]:
        return [self._snapshot(stage, camera, ledger) for ledger in self.ledgers.values()]

    def _snapshot(self, stage: str, camera: str, ledger: Ledger) -> StreamCount:
        dropped = {str(cause): count for cause, count in ledger.dropped.items() if count}
        offered = ledger.processed + sum(dropped.values()) + ledger.lost + ledger.in_flight
        return StreamCount(
            stage=stage,
            camera=camera,
            boot=ledger.boot,
            offered=offered,
            processed=ledger.processed,
            dropped=dropped,
            lost=ledger.lost,
            in_flight=ledger.in_flight,
            duplicates=ledger.duplicates,
            ended=self._has_ended(ledger),
            repeats=ledger.repeats,
            spans=ledger.spans(),
        )

    def _has_ended(self, ledger: Ledger) -> bool:
        """A member of a group that has left every partition waits for no end: others are told of it."""
        if self._whole:
            return sum(part.ended for part in ledger.parts.values()) >= ledger.partitions
        return all(part.ended for p, part in ledger.parts.items() if self._taking.get(p) is not _Taking.NO)

    def _begin(self, boot: int) -> Ledger:
        ledger = self.ledgers[boot] = Ledger(boot, self._replaces)
        idle = [b for b, old in self.ledgers.items() if not old.in_flight and b != boot]
        for old in idle[: max(0, len(self.ledgers) - BOOTS_KEPT)]:
            del self.ledgers[old]
        return ledger
