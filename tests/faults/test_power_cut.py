"""The power is cut, for real as far as a file system can tell: an ext4 in a file writes nothing any more
while a collector records to it, and loses what it had not been made to write. And collectors are killed
while their disk is full, or read-only. What was acknowledged is there each time."""

import random
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mesh.scope import Scope
from tests.faults.feed import Feed, check, recorded, spin
from tests.faults.figures import LONG, row
from tests.support.disks import Ext4, fill, mounted
from tests.support.forks import FAILED, Forks
from tests.support.waiting import wait_for

TIMES = 10 if LONG else 1
CUTS, KILLS = 12 * TIMES, 40 * TIMES
SEED = 11
SPIN_S = 0.03
OPTIONS = {"segment_seconds": 0.6, "commit_s": 0.01, "commit_frames": 16}


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    with Forks("tests.support.collector:collect", tmp_path_factory.mktemp("forks") / "log") as forks:
        yield forks


def finish(forks: Forks, into: Path, feed: Feed) -> None:
    """The last collector takes in all that waits, and ends."""
    last = forks.start(into=str(into), **OPTIONS)
    at = last.hear()
    assert recorded(into) >= feed.delivered, "what was acknowledged is there"
    feed.start_anew()
    feed.deliver_to(at)
    feed.drain()
    last.send(signal.SIGTERM)
    assert last.wait() == 0


def test_what_was_acknowledged_is_there_when_the_power_comes_back(forks: Forks, tmp_path: Path) -> None:
    rng = random.Random(SEED)
    with Ext4(tmp_path) as disk, forks.watched(), Scope("senders") as scope:
        into, feed = disk.at / "recordings", Feed(3, 2, scope, rng)
        for _ in range(CUTS):
            child = forks.start(into=str(into), **OPTIONS)
            at = child.hear()
            assert recorded(into) >= feed.delivered, "what was acknowledged is there"
            offered, before = feed.offer(), feed.delivered
            feed.deliver_to(at)
            wanted = before + rng.randint(0, offered)
            wait_for(lambda wanted=wanted: feed.delivered >= wanted, "results are acknowledged")  # type: ignore[misc]
            spin(rng.uniform(0, SPIN_S))
            disk.power_cut()
            child.kill()
            disk.restart()
        finish(forks, into, feed)
        check(into, feed, in_order=False, tidy=False)
        row(
            f"power of an ext4 cut {CUTS} times",
            offered=feed.offered.total(),
            delivered=feed.delivered,
            lost=0,
        )


def test_a_disk_that_was_taken_away_and_put_back_ends_the_collector_and_the_next_goes_on(
    forks: Forks, tmp_path: Path
) -> None:
    """It holds an index that is on no disk any more: it would wait for ever."""
    with Ext4(tmp_path) as disk, forks.watched(), Scope("senders") as scope:
        into, feed = disk.at / "recordings", Feed(2, 1, scope, random.Random(SEED))
        child = forks.start(into=str(into), **OPTIONS)
        feed.deliver_to(child.hear())
        offered = feed.offer()
        wait_for(lambda: feed.delivered == offered, "results are acknowledged")
        disk.power_cut()
        feed.offer()
        disk.plug_in_again()
        assert child.wait() == FAILED
        assert "is another file than the one that was opened" in forks.logged()
        finish(forks, into, feed)
        check(into, feed)


def test_what_was_acknowledged_is_there_when_a_disk_is_full_or_read_only_now_and_then(
    forks: Forks, tmp_path: Path
) -> None:
    rng = random.Random(SEED)
    with mounted(tmp_path / "disk", "size=16m") as disk, forks.watched(), Scope("senders") as scope:
        into, feed = disk / "recordings", Feed(3, 1, scope, rng)
        waited = 0
        for _ in range(KILLS):
            trouble = rng.choice(("none", "full at the start", "full", "read-only"))
            with ExitStack() as stack:
                if trouble == "full at the start":
                    stack.callback(fill(disk).unlink)
                child = forks.start(into=str(into), **OPTIONS)
                if trouble == "full at the start":
                    spin(rng.uniform(0, 4 * SPIN_S))
                    child.kill()
                    continue
                at = child.hear()
                assert recorded(into) >= feed.delivered, "what was acknowledged is there"
                feed.deliver_to(at)
                if trouble == "full":
                    stack.callback(fill(disk, leave=rng.randrange(1 << 16)).unlink)
                elif trouble == "read-only":
                    stack.enter_context(mounted(into / f"cam{rng.randrange(3)}", "ro,size=1m"))
                offered, before = feed.offer(), feed.delivered
                if trouble == "none":
                    wait_for(lambda: feed.delivered >= before + offered // 2, "results are acknowledged")  # noqa: B023
                spin(rng.uniform(0, SPIN_S))
                child.kill()
                waited += feed.delivered < before + offered
        assert waited > KILLS // 4
        finish(forks, into, feed)
        check(into, feed, in_order=False)
        row(f"killed {KILLS} times, the disk full or read-only", offered=feed.offered.total(), lost=0)
