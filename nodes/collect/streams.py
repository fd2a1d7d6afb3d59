"""What a collector knows of its streams while it runs: its counts, and what is on its way to the disk. Pure.

Rules kept here: a result is pending from when it is taken in until it is safe, or passed over by choice, or
held in case it is wanted soon; whoever sent it, and however often, is owed an acknowledgement then, and not
before; a count is what the disk holds. What is held counts as skipped until the disk holds it: so all that
was acknowledged is in one count or the other, whatever happens.
"""

import threading
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from mesh.ages import AgeTally
from mesh.delivery import Identity
from mesh.frame import EndOfStream, Frame
from mesh.recordings.index import StreamRow
from mesh.registry.records import FoundCount, RecordedCount
from mesh.wire import Envelope
from nodes.collect.gate import Gate
from nodes.collect.reorder import Bounds, Reorder

Key = tuple[str, str, int]  # stage, camera, boot
Place = tuple[str, str]  # camera, stage: what the recorder keeps a file open for

BOOTS_SHOWN = 4
LIVE_STREAMS = 1024


@dataclass(frozen=True, slots=True)
class Arrival:
    """A result that was pushed, and what to acknowledge it by."""

    body: Frame | EndOfStream
    envelope: Envelope


@dataclass(slots=True)
class Pending:
    """A result that is not safe yet: its place in its sender's run, and who waits for it. One that was `held`
    was acknowledged then: nobody does."""

    run: int = -1
    n: int = 0
    late: bool = False
    held: bool = False
    owed: dict[Envelope, None] = field(default_factory=dict)


@dataclass(slots=True)
class Stream:
    """One (stage, camera, boot). `place` is where its frames are recorded; `written_at` (monotonic) is when
    the last one was, while its file is open; `ended` are the partitions whose end was passed on."""

    key: Key
    reorder: Reorder[Arrival]
    recorded: int = 0
    duplicates: int = 0
    late: int = 0
    pending: dict[Identity, Pending] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)
    gate: Gate = field(default_factory=Gate)
    skipped_before: int = 0  # as the index had it
    written_at: float | None = None
    newest: tuple[int, int] = (-1, 0)  # (seq, part) of what was subscribed to
    place: Place = field(init=False)

    def __post_init__(self) -> None:
        stage, camera, _ = self.key
        self.place = camera, stage

    @classmethod
    def of(cls, row: StreamRow, bounds: Bounds) -> "Stream":
        """A stream as the index remembers it."""
        counts = (row.recorded, row.duplicates, row.late)
        key = (row.stage, row.camera, row.boot)
        gate = Gate.going_on(row.skipped_ns, row.skipped_to_ns)
        return cls(key, Reorder(bounds, row.resume), *counts, gate=gate, skipped_before=row.skipped)

    def row(self) -> StreamRow:
        """What the index is to remember: no result that is not safe is passed over."""
        unsafe = [
            (key[3], pending.run, pending.n) for key, pending in self.pending.items() if not pending.held
        ]
        resume = self.reorder.resume().before(unsafe)
        counts = self.recorded, self.duplicates, self.late
        skipped = self.skipped_before + self.gate.passed + self.held
        since_ns, to_ns = self.gate.left_out()
        return StreamRow(
            *self.key, *counts, resume, skipped=skipped, skipped_ns=since_ns, skipped_to_ns=to_ns
        )

    @property
    def held(self) -> int:
        """Frames that are held, or were and are not safe yet."""
        return len(self.gate.held) + sum(pending.held for pending in self.pending.values())

    @property
    def is_still(self) -> bool:
        """Whether nothing of it is on its way to the disk."""
        waits = self.pending or self.reorder.items or self.gate.held
        return not waits and self.written_at is None

    def is_behind(self, place: tuple[int, int]) -> bool:
        """Whether a frame that was subscribed to comes after a later one."""
        behind = place < self.newest
        self.newest = max(place, self.newest)
        return behind

    def settle(self, identity: Identity) -> dict[Envelope, None]:
        """A frame is safe: count it; the acknowledgements that are owed for it."""
        pending = self.pending.pop(identity)
        self.recorded += 1
        self.late += pending.late
        return pending.owed


class Streams:
    """Every stream that the folder holds, by key; made on demand. Its counts may be read by any thread."""

    def __init__(self, rows: Mapping[Key, StreamRow], index: int, bounds: Bounds) -> None:
        self._index = index
        self._bounds = bounds
        self._rows = dict(rows)
        self._live: OrderedDict[Key, Stream] = OrderedDict()
        self._lock = threading.Lock()
        self._shown = {key: (row, 0) for key, row in rows.items()}
        self._held: dict[Key, int] = {}
        self._found = dict(rows)
        self._ages = AgeTally()

    def __getitem__(self, key: Key) -> Stream:
        if (stream := self._live.get(key)) is None:
            self._let_go()
            row = self._rows.get(key, StreamRow(*key))
            stream = self._live[key] = Stream.of(row, self._bounds)
        self._live.move_to_end(key)
        return stream

    def row(self, key: Key) -> StreamRow:
        """What the index is to remember of a stream."""
        stream = self[key]
        row = self._rows[key] = stream.row()
        self._held[key] = stream.held
        return row

    def safe(self, frame: Frame, now_ns: int) -> None:
        """The disk holds a frame for good, by the wall clock."""
        self._ages.add((frame.stage, frame.camera, frame.boot), now_ns - frame.captured_ns)

    def show(self, keys: Iterable[Key]) -> None:
        """Rows that `row` gave are in the index: they count."""
        with self._lock:
            self._shown.update((key, (self._rows[key], self._held.pop(key, 0))) for key in keys)

    def counts(self) -> tuple[RecordedCount, ...]:
        """The newest boots of each stage and camera, in order."""
        with self._lock:
            shown = dict(self._shown)
        return tuple(self._count(*shown[key]) for key in sorted(newest(shown)))

    def _let_go(self) -> None:
        """Forget streams that have long been still; their rows are kept."""
        if len(self._live) < LIVE_STREAMS:
            return
        still = [key for key, stream in self._live.items() if stream.is_still]
        for key in still[: max(0, len(self._live) + 1 - LIVE_STREAMS)]:
            self._rows[key] = self._live.pop(key).row()

    def _count(self, row: StreamRow, held: int) -> RecordedCount:
        key = row.stage, row.camera, row.boot
        found, ages = self._found.get(key), self._ages.of(key)
        return RecordedCount(
            stage=row.stage,
            camera=row.camera,
            boot=row.boot,
            recorded=row.recorded,
            duplicates=row.duplicates,
            late=row.late,
            skipped=row.skipped,
            held=held,
            index=self._index,
            found=FoundCount(
                recorded=found.recorded,
                duplicates=found.duplicates,
                late=found.late,
                skipped=found.skipped,
            )
            if found
            else FoundCount(),
            ages=ages.counts,
            age_sum_s=ages.sum_s,
        )


def newest(streams: Iterable[Key]) -> Iterator[Key]:
    """The newest boots of each stage and camera, in order."""
    shown: Counter[tuple[str, str]] = Counter()
    for stage, camera, boot in sorted(streams, reverse=True):
        if shown[stage, camera] < BOOTS_SHOWN:
            shown[stage, camera] += 1
            yield stage, camera, boot
