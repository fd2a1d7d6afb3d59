"""A folder that is recorded to step by step, and the other end of a forwarder, held in a test's own hands."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.frame import Frame
from mesh.recordings.index import SegmentRow
from mesh.scope import Scope
from nodes.collect.forwarding.address import Address, parse
from nodes.collect.forwarding.carrier import Done
from nodes.collect.forwarding.forwarder import Forwarder
from nodes.collect.recorder import Recorder
from nodes.collect.recovery import recover
from tests.collect.support import make
from tests.support.waiting import wait_for

HQ = parse("tcp://hq.example:7700")


class Folder:
    """A folder of recordings with its index, written as a collector does. A context manager."""

    def __init__(self, into: Path, segment_seconds: float = 60.0) -> None:
        self.into = into
        self.tell: list[Callable[[list[SegmentRow]], None]] = []
        self._seconds = segment_seconds

    def __enter__(self) -> "Folder":
        self.into.mkdir(exist_ok=True)
        self._index = recover(self.into).index
        self.recorder = Recorder(self.into, segment_seconds=self._seconds)
        return self

    def __exit__(self, *exc: object) -> None:
        self.recorder.close()
        self.commit()
        self._index.close()

    def record(self, *seqs: int, camera: str = "front", **changes: Any) -> list[Frame]:
        """Record frames and commit them."""
        frames = [make(seq, camera=camera, stage="motion", **changes) for seq in seqs]
        for frame in frames:
            self.recorder.write(frame)
        self.commit()
        return frames

    def commit(self) -> list[str]:
        """Have the disk and the index hold what was written; the files that changed."""
        rows = self.recorder.commit().segments
        self._index.write(rows)
        for tell in self.tell:
            tell([each.row for each in rows])
        return [each.row.path for each in rows]


class Hands:
    """Takes on as many frames as there is `room` for, and is done with them when the test says so."""

    def __init__(self, room: int = 1_000_000) -> None:
        self.room = room
        self.taken: list[tuple[int, Frame]] = []
        self.why = ""
        self._done: Done = lambda numbers: None

    def make(self, scope: Scope, address: Address, done: Done, clock: Clock) -> "Hands":
        self._done = done
        return self

    def offer(self, number: int, frame: Frame) -> bool:
        if len(self.taken) >= self.room:
            return False
        self.taken.append((number, frame))
        return True

    def stats(self) -> dict[str, int]:
        return {}

    def finish(self, *seqs: int) -> None:
        """These frames have come to the other end; all of them, unless told which."""
        self._done([number for number, frame in list(self.taken) if not seqs or frame.seq in seqs])

    def grant(self, room: int) -> None:
        self.room = room
        self._done([])

    @property
    def seqs(self) -> list[int]:
        return [frame.seq for _, frame in list(self.taken)]

    def wait(self, seqs: Iterable[int]) -> None:
        wanted = list(seqs)
        wait_for(lambda: self.seqs == wanted, f"{wanted} are handed on")


def forwarder(
    folder: Folder, hands: Hands, *, since_ns: int | None = 0, to: Address = HQ, clock: Clock = SYSTEM_CLOCK
) -> Forwarder:
    """One that is told what is recorded from now on."""
    made = Forwarder(folder.into, to, since_ns, hands.make, clock=clock)
    folder.tell.append(made.recorded)
    return made


def of(made: Forwarder) -> tuple[int, int, dict[str, int]]:
    """Forwarded, waiting, dropped by cause."""
    count = made.count()
    return count.forwarded, count.waiting, count.dropped


def wait_count(made: Forwarder, forwarded: int, waiting: int, **dropped: int) -> None:
    wait_for(lambda: of(made) == (forwarded, waiting, dropped), f"{forwarded}, {waiting}, {dropped}")
