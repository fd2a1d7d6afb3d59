"""`kill -9` a collector at two hundred random moments while it recovers and records: what was acknowledged is
there each time it starts again, and in the end everything is: once, in order, and to be decoded.

Each is a whole node with sockets and files, forked from a process that has imported it: it starts within
milliseconds. `test_collector_killed` kills the command itself. MESH_FAULTS_SEED draws other moments.
"""

import os
import random
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mesh.scope import Scope
from tests.faults.feed import Feed, check, recorded, spin
from tests.faults.figures import LONG, row
from tests.support.forks import Child, Forks
from tests.support.waiting import wait_for

TIMES = 10 if LONG else 1
BOOT_KILLS = 13  # a camera starts anew after so many
EARLY = 0.15  # of the kills come before the collector has said that it runs
SPIN_S = 0.012  # up to so long after what is waited for
START_S = 0.08
SEED = int(os.environ.get("MESH_FAULTS_SEED", "7"))


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
        feed = Feed(way.cameras, way.partitions, scope, rng)
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
