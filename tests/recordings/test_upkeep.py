"""The index made again, recordings locked, unlocked and deleted."""

import fcntl
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mesh.errors import StorageError
from mesh.recordings.catalog import Catalog
from mesh.recordings.folder import holder, lock_reason
from mesh.recordings.index import Index
from mesh.recordings.query import Query
from mesh.recordings.verify import verify
from nodes.collect.deleting import delete, is_free
from nodes.collect.folder import FolderLock
from nodes.collect.locking import Locking, lock, unlock
from nodes.collect.rebuild import Rebuilt, rebuild
from nodes.collect.recorder import Recorder
from nodes.collect.recovery import recover
from tests.recordings.made import NOON, every_second, frame, holdings, note, person, record
from tests.support.waiting import WITHIN_S

FIRST = "door/2026-10-15/12-00-00-raw.mkv"
SECOND = "door/2026-10-15/12-00-10-raw.mkv"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With an event, a gap within a segment, a late frame, and the streams' counts."""
    into = tmp_path_factory.mktemp("made")
    door = [*every_second("door", 0, 20, person(0.7)), *every_second("door", 30, 32)]
    yard = every_second("yard", 0, 10)
    record(into, [*door, frame("door", 38, seq=38), *yard], late=[frame("door", 35, seq=35)])
    recover(into).index.close()
    return into


@pytest.fixture
def into(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "recordings"))


def test_rebuilding_gives_the_same_rows(into: Path) -> None:
    before = holdings(into)
    assert sum(bool(held.events) for held in before.values()) == 2
    assert sum(bool(held.gaps) for held in before.values()) == 1
    assert rebuild(into) == Rebuilt(segments=4, frames=34, aside=0)
    assert holdings(into) == before
    (into / "index.db").unlink()
    assert rebuild(into) == Rebuilt(segments=4, frames=34, aside=0)
    assert holdings(into) == before


def test_rebuilding_keeps_what_the_index_alone_knows(into: Path) -> None:
    index = Index(into)
    before, streams = index.id, index.streams()
    index.close()
    assert [(row.camera, row.recorded, row.late) for row in streams] == [("door", 24, 1), ("yard", 10, 0)]
    rebuild(into)
    index = Index(into)
    assert (index.id, index.streams()) == (before, streams)
    index.close()


def test_what_is_damaged_is_put_aside_whole_and_never_cut(into: Path) -> None:
    (into / "index.db").unlink()
    data = (into / FIRST).read_bytes()[:-2000]
    (into / FIRST).write_bytes(data)
    lines = (into / SECOND).with_suffix(".jsonl")
    text = lines.read_bytes()
    lines.write_bytes(text[:1000] + b"\x00" + text[1000:])
    assert rebuild(into) == Rebuilt(segments=2, frames=14, aside=4)
    aside = into / "quarantine"
    assert (aside / "door.2026-10-15.12-00-00-raw.mkv").read_bytes() == data
    assert (aside / "door.2026-10-15.12-00-10-raw.jsonl").stat().st_size == len(text) + 1
    assert "it is damaged" in (aside / "door.2026-10-15.12-00-00-raw.txt").read_text()
    assert not any(each.is_problem for each in verify(into))


def test_a_damaged_picture_costs_no_other(into: Path) -> None:
    before = holdings(into)
    (into / "index.db").unlink()
    data = bytearray((into / FIRST).read_bytes())
    data[data.index(b"\xff\xd8", 3000) + 100] ^= 1
    (into / FIRST).write_bytes(data)
    assert rebuild(into) == Rebuilt(segments=4, frames=34, aside=0)
    assert holdings(into) == before
    assert [each.path for each in verify(into)] == [FIRST], "it is still named"


def test_nothing_is_rebuilt_under_a_collector(into: Path) -> None:
    assert holder(into) is None
    collector = FolderLock(into)
    with pytest.raises(StorageError, match=r"process \d+ records to .*: stop it first"):
        rebuild(into)
    collector.release()
    FolderLock(into).release()


def test_who_looks_whether_somebody_records_holds_up_no_collector(tmp_path: Path) -> None:
    FolderLock(tmp_path).release()
    looking = os.open(tmp_path / "index.lock", os.O_RDONLY)
    fcntl.flock(looking, fcntl.LOCK_SH)
    with ThreadPoolExecutor(1) as pool:
        collector = pool.submit(FolderLock, tmp_path, WITHIN_S)
        os.close(looking)
        collector.result().release()


def test_locking_is_a_file_of_its_own_and_the_same_twice(into: Path) -> None:
    assert lock(into, [FIRST, SECOND], "a theft,\nsee report", NOON) == Locking(done=2)
    assert lock(into, [FIRST], "again", NOON) == Locking(before=1)
    assert lock(into, ["door/2026-10-15/13-00-00-raw.mkv", "door/2026-10-16/x-raw.mkv"], "", NOON).gone == 2
    assert lock_reason(into / FIRST) == "locked 2026-10-15T12:00:00.000Z a theft, see report"
    (into / "index.db").unlink()
    rebuild(into)
    assert [str(each.path) for each in verify(into)] == []
    assert unlock(into, [FIRST, SECOND]) == Locking(done=2)
    assert unlock(into, [FIRST]) == Locking(before=1)
    assert list(into.rglob("*.lock")) == [into / "index.lock"]


def test_what_is_deleted_is_gone_and_stays_counted(into: Path) -> None:
    lock(into, [SECOND], "", NOON)
    with Catalog(into) as catalog:
        rows = catalog.segments(Query(cameras=("door",)))
    assert [is_free(into, row) for row in rows] == [True, False, True]
    done = delete(into, rows)
    assert (done.segments, done.bytes) == (2, rows[0].bytes + rows[2].bytes)
    assert {row.path for row in rows if (into / row.path).exists()} == {SECOND}
    assert list(holdings(into)) == [SECOND, "yard/2026-10-15/12-00-00-raw.mkv"]
    found = recover(into)  # a collector starts: nothing comes back, and no count shrinks
    found.index.close()
    assert [row.recorded for row in found.streams.values()] == [24, 10]
    assert not any(each.is_problem for each in verify(into))


def test_what_still_grows_is_not_deleted_and_what_has_ended_is(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, segment_seconds=10)
    for each in every_second("door", 0, 15):
        recorder.write(each)
    note(tmp_path, recorder.commit().segments)
    with Catalog(tmp_path) as catalog:
        assert delete(tmp_path, catalog.segments()).segments == 1
        assert [row.open for row in catalog.segments()] == [True]
    recorder.close()
    note(tmp_path, recorder.end_commit().segments)
    assert [held.row.frames for held in holdings(tmp_path).values()] == [5]
    assert not any(each.is_problem for each in verify(tmp_path))
