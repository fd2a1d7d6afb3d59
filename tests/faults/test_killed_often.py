"""`kill -9` a collector at two hundred random moments while it recovers and records: what was acknowledged is
there each time it starts again, and in the end everything is: once, in order, and to be decoded.

Each is a whole node with sockets and files, forked from a process that has imported it: it starts within
milliseconds. `test_collector_killed` kills the command itself.
"""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import mesh
from mesh.delivery import Collector, Sender
from mesh.frame import Detection, EndOfStream, Frame
from mesh.recordings.verify import verify
from mesh.scope import Scope
from nodes.collect.rebuild import rebuild
from tests.faults.figures import LONG, row
from tests.recordings.made import holdings
from tests.support.collector import NAME
from tests.support.forks import Child, Forks
from tests.support.frames import jpeg_frame
from tests.support.waiting import wait_for

TIMES = 10 if LONG else 1
STAGE = "motion"
BOOT_KILLS = 13  # a camera starts anew after so many
EARLY = 0.15  # of the kills come before the collector has said that it runs
SPIN_S = 0.012  # up to so long after what is waited for
START_S = 0.08
PICTURES = 97
SEED = int(os.environ.get("MESH_FAULTS_SEED", "7"))
STEP_NS = 40_000_000


@dataclass(frozen=True)
class Way:
    """How it records: cameras, partitions of each, and how results wait for the disk."""

    cameras: int
    partitions: int
    commit_s: float
    commit_frames: int
    kills: int


WAYS = {
    "each result by itself": Way(2, 1, 0.0, 1, kills=60),
    "in groups, each file synced": Way(3, 2, 0.01, 16, kills=80),
    "in groups, the file system synced": Way(18, 1, 0.01, 64, kills=60),
}


@cache
def payload(number: int) -> bytes:
    return bytes(jpeg_frame(number, size=16).payload)


class Feed:
    """Results of some cameras, each partition sent by a process node of its own."""

    def __init__(self, way: Way, scope: Scope, rng: random.Random) -> None:
        self.way, self._rng = way, rng
        self.senders = [Sender(scope, f"process-{p}", resend_after_s=0.5) for p in range(way.partitions)]
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
        most = max(3, 40 // self.way.cameras)
        sizes = {f"cam{camera}": self._rng.randrange(most) for camera in range(self.way.cameras)}
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
                    more = {"partition": p, "partitions": self.way.partitions}
                    sender.offer(EndOfStream(camera, boot, count, STAGE, **more))  # type: ignore[arg-type]
        self.boot += 1

    def drain(self) -> None:
        assert all(sender.drain(30) for sender in self.senders)

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
            partitions=self.way.partitions,
        )

    def _offer(self, camera: str) -> None:
        seq = self.offered[camera, self.boot]
        self.offered[camera, self.boot] += 1
        self.senders[seq % self.way.partitions].offer(self.frame(camera, self.boot, seq))


def spin(seconds: float) -> None:
    """Pass some time without sleeping, which would be much longer: no condition tells of what is hit then."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def recorded(into: Path) -> int:
    return sum(lines.read_bytes().count(b"\n") for lines in into.glob("cam*/*/*.jsonl"))


def kill_at_random(child: Child, feed: Feed, into: Path, rng: random.Random) -> bool:
    """Kill a collector that has just been started; whether it had begun to record."""
    if rng.random() < EARLY:
        spin(rng.uniform(0, START_S))
        child.kill()
        return False
    at = child.hear()
    assert at is not None, f"the collector has ended: {child.code}"
    assert recorded(into) >= feed.delivered, "what was acknowledged is there"
    offered, before = feed.offer(), feed.delivered
    feed.deliver_to(at)
    wanted = before + rng.randint(0, offered)
    wait_for(lambda: feed.delivered >= wanted, "results are acknowledged")
    spin(rng.uniform(0, SPIN_S))
    child.kill()
    return True


def check(into: Path, feed: Feed) -> None:
    """Everything that was offered is recorded once, in order, and decodes."""
    found: Counter[tuple[str, int]] = Counter()
    with mesh.open_recordings(into) as recordings:
        for camera in recordings.cameras():
            for frame in recordings.frames(camera):
                key = (frame.camera, frame.boot)
                assert frame.seq == found[key], f"{key}: what comes after {found[key]} frames"
                assert bytes(frame.payload) == payload(frame.seq % PICTURES)
                assert frame.image.shape == (12, 16, 3)
                found[key] += 1
        assert (recordings.stats().bad_files, recordings.stats().bad_frames) == (0, 0)
    assert found == feed.offered
    assert [each.path for each in verify(into)] == [], "no problem, and nothing was put aside"
    before = holdings(into)
    assert (done := rebuild(into)).aside == 0
    assert done.frames == found.total()
    assert holdings(into) == before, "the index agrees with the files row for row"


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    with Forks("tests.support.collector:collect", tmp_path_factory.mktemp("forks") / "log") as forks:
        yield forks


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.timeout(1200 if LONG else 120)
def test_what_was_acknowledged_is_there_whenever_a_collector_is_killed(
    forks: Forks, tmp_path: Path, name: str
) -> None:
    way, rng, into = WAYS[name], random.Random(SEED), tmp_path / "recordings"
    recording = 0
    with forks.watched(), Scope("senders") as scope:
        feed = Feed(way, scope, rng)
        options = {
            "into": str(into),
            "segment_seconds": 0.6,
            "commit_s": way.commit_s,
            "commit_frames": way.commit_frames,
        }
        for kill in range(way.kills * TIMES):
            if kill % BOOT_KILLS == BOOT_KILLS - 1:
                feed.start_anew()
            recording += kill_at_random(forks.start(**options), feed, into, rng)
        last = forks.start(**options)
        at = last.hear()
        assert recorded(into) >= feed.delivered
        feed.start_anew()
        feed.deliver_to(at)
        feed.drain()
        last.send(signal.SIGTERM)
        assert last.wait() == 0
        check(into, feed)
    row(
        f"1 collector killed at {way.kills * TIMES} random moments, {name}",
        offered=feed.offered.total(),
        delivered=feed.delivered,
        lost=0,
        while_recording=recording,
    )
