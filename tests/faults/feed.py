"""What collectors are fed with that are to be killed: results by real senders, all of which are checked in
the end, frame by frame."""

import random
import time
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path

import mesh
from mesh.delivery import Collector, Sender
from mesh.frame import Detection, EndOfStream, Frame
from mesh.recordings.folder import QUARANTINE
from mesh.recordings.verify import verify
from mesh.scope import Scope
from nodes.collect.rebuild import rebuild
from tests.recordings.made import holdings
from tests.support.collector import NAME
from tests.support.frames import jpeg_frame
from tests.support.waiting import WITHIN_S

STAGE = "motion"
PICTURES = 97
STEP_NS = 40_000_000


@cache
def payload(number: int) -> bytes:
    return bytes(jpeg_frame(number, size=16).payload)


class Feed:
    """Results of some cameras, each partition sent by a process node of its own."""

    def __init__(self, cameras: int, partitions: int, scope: Scope, rng: random.Random) -> None:
        self._cameras, self._partitions, self._rng = cameras, partitions, rng
        self.senders = [Sender(scope, f"process-{p}", resend_after_s=0.5) for p in range(partitions)]
        self.offered: Counter[tuple[str, int]] = Counter()  # frames, by camera and boot
        self.boot = 1

    @property
    def delivered(self) -> int:
        counts = [count for sender in self.senders for count in sender.counts().values()]
        return sum(count.delivered for count in counts)

    def deliver_to(self, at: dict[str, str]) -> None:
        for sender in self.senders:
            sender.set_collectors([Collector(NAME, at["pull"], at["pub"])])

    def offer(self) -> int:
        """Some frames of each camera; how many."""
        most = max(3, 40 // self._cameras)
        sizes = {f"cam{camera}": self._rng.randrange(most) for camera in range(self._cameras)}
        for turn in range(most):
            for camera, size in sizes.items():
                if turn < size:
                    self._offer(camera)
        return sum(sizes.values())

    def start_anew(self) -> None:
        """Every camera ends, and begins again."""
        for (camera, boot), count in list(self.offered.items()):
            if boot == self.boot:
                for p, sender in enumerate(self.senders):
                    more = {"partition": p, "partitions": self._partitions}
                    sender.offer(EndOfStream(camera, boot, count, STAGE, **more))  # type: ignore[arg-type]
        self.boot += 1

    def drain(self) -> None:
        assert all(sender.drain(WITHIN_S) for sender in self.senders)

    def frame(self, camera: str, boot: int, seq: int) -> Frame:
        seen = (Detection("person", 0.5, (1.0, 1.0, 4.0, 4.0), STAGE),) if seq % 3 else ()
        return Frame(
            camera=camera,
            boot=boot,
            seq=seq,
            stage=STAGE,
            captured_ns=1_792_000_000_000_000_000 + boot * 3_600_000_000_000 + seq * STEP_NS,
            width=16,
            height=12,
            payload=payload(seq % PICTURES),
            detections=seen,
            partitions=self._partitions,
        )

    def _offer(self, camera: str) -> None:
        seq = self.offered[camera, self.boot]
        self.offered[camera, self.boot] += 1
        self.senders[seq % self._partitions].offer(self.frame(camera, self.boot, seq))


def spin(seconds: float) -> None:
    """Pass some time without sleeping, which would be much longer: no condition tells of what is hit then."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def recorded(into: Path) -> int:
    return sum(lines.read_bytes().count(b"\n") for lines in into.glob("cam*/*/*.jsonl"))


def check(into: Path, feed: Feed, *, in_order: bool = True, tidy: bool = True) -> None:
    """Everything that was offered is recorded once, in order, and decodes. Where the disk refused for a while
    some may come late; where the power was cut a file of which nothing was safe yet may be none, and is put
    aside."""
    found: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
    with mesh.open_recordings(into) as recordings:
        for camera in recordings.cameras():
            for frame in recordings.frames(camera):
                assert bytes(frame.payload) == payload(frame.seq % PICTURES)
                assert frame.image.shape == (12, 16, 3)
                found[frame.camera, frame.boot].append(frame.seq)
        assert (recordings.stats().bad_files, recordings.stats().bad_frames) == (0, 0)
    assert found.keys() == feed.offered.keys()
    for stream, seqs in found.items():
        assert (seqs if in_order else sorted(seqs)) == list(range(feed.offered[stream])), stream
    findings = [each for each in verify(into) if tidy or each.path != QUARANTINE]
    assert [f"{each.path}: {each.text}" for each in findings] == [], "all is well, and nothing put aside"
    before = holdings(into)
    assert (done := rebuild(into)).aside == 0
    assert done.frames == feed.offered.total()
    assert holdings(into) == before, "the index agrees with the files row for row"
