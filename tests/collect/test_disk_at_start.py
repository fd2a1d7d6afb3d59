"""A collector that starts on a disk without room, or on one that is read-only, says so, and begins by itself
once it can: after a power cut nobody may be there to help it."""

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

import mesh
from mesh.clock import SYSTEM_CLOCK
from mesh.delivery import Collector, Sender
from mesh.errors import StorageError
from mesh.frame import Frame
from mesh.presence import new_record
from mesh.recordings.index import SegmentRow
from mesh.recordings.limits import Free, Keep
from mesh.registry import open_registry
from mesh.registry.records import NodeKind, NodeRecord, NodeState
from mesh.scope import Scope
from nodes.collect.folder import FolderHeld, FolderLock
from nodes.collect.forwarding.forwarding import Forwarding
from nodes.collect.keeping import Keeper
from nodes.collect.locking import lock
from nodes.collect.node import Collect, CollectConfig
from nodes.collect.opening import Opening
from nodes.collect.recovery import recover
from nodes.node import Node, NodeConfig
from tests.collect.support import make
from tests.recordings.support import record
from tests.support.disks import fill, mounted, remount
from tests.support.waiting import wait_for

DISK = 4 << 20
SHARE = 0.3  # more than the index needs
FRAMES = 130  # in segments of a second
REGISTRY = "memory:disk-at-start"
NAME = "collect"
NO_LIMITS = Keep()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", f"size={DISK}") as disk:
        yield disk


def frame(seq: int) -> Frame:
    return make(seq, size=(192, 112))


def recorded_before(into: Path) -> list[SegmentRow]:
    record(into, map(frame, range(FRAMES)))
    found = recover(into)  # its streams are counted, as a collector has them
    rows = found.index.segments()
    found.index.close()
    return rows


@contextmanager
def collecting(into: Path, keep: Keep = NO_LIMITS) -> Iterator[Collect]:
    work = Collect(CollectConfig(into, keep=keep))
    node = Node(work, NodeConfig(REGISTRY, name=NAME))
    with Scope("node") as scope:
        scope.on_stop(node.finish)
        scope.spawn("node", _run, node)
        yield work


def _run(node: Node) -> None:
    node.run(signals=False)


def this() -> NodeRecord | None:
    registry = open_registry(REGISTRY)
    return next((NodeRecord.of(entry) for entry in registry.list("nodes/")), None)


def says(word: str) -> bool:
    node = this()
    return node is not None and node.state is NodeState.DEGRADED and word in node.why


def deliver(seqs: range) -> None:
    """Results, once the collector takes them."""

    def at() -> list[Collector]:
        node = this()
        ready = node is not None and node.state is NodeState.RUNNING and "pull" in node.endpoints
        return [Collector(NAME, node.endpoints["pull"], node.endpoints["pub"])] if node and ready else []

    with Scope("sender") as scope:
        sender = Sender(scope, "process")
        sender.set_collectors(wait_for(at, "it is running"))
        for seq in seqs:
            sender.offer(frame(seq))
        assert sender.drain(30)


def seqs(into: Path) -> list[int]:
    with mesh.open_recordings(into) as recordings:
        return [frame.seq for frame in recordings.frames("front")]


def test_it_says_so_and_begins_when_there_is_room(disk: Path) -> None:
    into = disk / "recordings"
    recorded_before(into)
    ballast = fill(disk)
    with collecting(into) as work:
        wait_for(lambda: says("the disk is full: free some space"), "it says so")
        node = wait_for(this, "it is listed")
        assert node is not None
        assert "pull" not in node.endpoints, "it takes nothing in meanwhile"
        ballast.unlink()
        deliver(range(FRAMES, FRAMES + 20))
        assert work.stats().recorded[0].recorded == FRAMES + 20
    assert seqs(into) == list(range(FRAMES + 20))


def test_it_says_that_it_is_read_only_and_begins_when_it_is_not(disk: Path) -> None:
    into = disk / "recordings"
    recorded_before(into)
    remount(disk, "ro")
    with collecting(into) as work:
        wait_for(lambda: says("the disk is read-only: mount it for writing"), "it says so")
        remount(disk, "rw")
        deliver(range(FRAMES, FRAMES + 20))
        assert work.stats().recorded[0].recorded == FRAMES + 20
    assert seqs(into) == list(range(FRAMES + 20))


def test_a_folder_that_is_not_there_on_a_read_only_disk_is_refused_at_once(disk: Path) -> None:
    remount(disk, "ro")
    with pytest.raises(StorageError, match="the disk is read-only: mount it for writing or record elsewhere"):
        Collect(CollectConfig(disk / "recordings"))


def no_space() -> None:
    raise OSError(errno.ENOSPC, "no space")


def no_pages() -> None:
    """As in a write-ahead log that could not grow, and is gone when it is closed."""
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute("PRAGMA max_page_count = 1")
        db.execute("CREATE TABLE wide (text)")


@pytest.mark.parametrize("fails", [no_space, no_pages])
def test_a_disk_that_was_full_is_tried_again_although_it_has_room_since(
    fails: Callable[[], None], tmp_path: Path
) -> None:
    told: list[str] = []
    tries = iter([fails])

    def forward() -> Forwarding:
        if (fail := next(tries, None)) is not None:
            try:
                fail()
            except (OSError, sqlite3.Error) as error:
                raise StorageError("cannot write") from error
        own = new_record(NodeKind.COLLECT, NAME, {}, SYSTEM_CLOCK)
        return Forwarding(tmp_path, (), own, REGISTRY)

    keeper = Keeper(tmp_path, NO_LIMITS, told.append)
    opening = Opening(tmp_path, keeper, forward, told.append, SYSTEM_CLOCK)
    assert opening.now() is None
    assert "the disk is full" in told[-1]
    opened = opening.now()
    assert opened is not None
    opened[0].index.close()
    opened[1].close()
    opening.close()


def test_it_stops_when_it_is_told_to(disk: Path) -> None:
    recorded_before(disk / "recordings")
    fill(disk)
    with collecting(disk / "recordings"):
        wait_for(lambda: says("the disk is full"), "it says so")
    assert len(seqs(disk / "recordings")) == FRAMES


def test_the_oldest_go_first_where_the_limits_ask_for_it(disk: Path) -> None:
    into = disk / "recordings"
    rows = recorded_before(into)
    lock(into, [rows[0].path], "evidence", 0)
    fill(disk)
    with collecting(into, Keep(free=Free(share=SHARE))) as work:
        deliver(range(FRAMES, FRAMES + 20))
        wait_for(lambda: os.statvfs(disk).f_bavail >= SHARE * os.statvfs(disk).f_blocks, "its limit is kept")
        stats = work.stats()
        assert stats.recorded[0].recorded == FRAMES + 20, "what was removed counts"
        assert stats.counters["removed_segments"] > 0
    held = seqs(into)
    first = rows[0].frames
    assert held[:first] == list(range(first)), "what is locked stays"
    assert held[first:] == list(range(held[first], FRAMES + 20)), "the rest are the newest, once and in order"


def test_nothing_goes_from_a_full_folder_that_another_holds(disk: Path) -> None:
    into = disk / "recordings"
    recorded_before(into)
    fill(disk)
    other = FolderLock(into)
    with pytest.raises(FolderHeld), collecting(into, Keep(free=Free(share=SHARE))):
        pass
    other.release()
    assert seqs(into) == list(range(FRAMES))
