"""What is recorded is forwarded once, in order, whoever ends in between; what cannot be had is counted."""

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from mesh.clock import SYSTEM_CLOCK
from mesh.errors import StorageError
from mesh.frame import Detection, Frame
from mesh.presence import new_record
from mesh.recordings.kept import Kept
from mesh.recordings.lines import found_in
from mesh.registry.records import NodeKind, NodeRecord
from mesh.scope import Scope
from nodes.collect.forwarding.address import Address, parse
from nodes.collect.forwarding.cursor import Cursor
from nodes.collect.forwarding.forwarder import Forwarder
from nodes.collect.forwarding.forwarding import Forwarding
from tests.collect.forwarding.hands import Folder, Hands, forwarder, of, wait_count
from tests.collect.support import START_NS, segments
from tests.support.waiting import wait_for

CALM = threading.Event()  # never set


@contextmanager
def forwarding(
    folder: Folder, hands: Hands, *, since_ns: int | None = 0, to: str = "tcp://hq.example:7700"
) -> Iterator[Forwarder]:
    made = forwarder(folder, hands, since_ns=since_ns, to=parse(to))
    with closing(made):
        yield made
    folder.tell.remove(made.recorded)


def begun(into: Path, own: NodeRecord, to: Sequence[Address]) -> None:
    """A collector's start, as far as it forwards."""
    with Scope("test") as scope, closing(Forwarding(into, to, own, "tcp://127.0.0.1:2", scope)):
        pass


def said(frame: Frame) -> tuple[object, ...]:
    what = (frame.camera, frame.stage, frame.boot, frame.seq, frame.part, frame.captured_ns, frame.hops)
    return (*what, bytes(frame.payload), found_in(frame), dict(frame.attributes))


def test_a_frame_is_what_was_recorded_and_goes_once_it_is_safe(tmp_path: Path) -> None:
    person = (Detection("person", 0.5, (1, 2, 3, 4), "detector", {"id": 7}),)
    hands = Hands()
    with Folder(tmp_path) as folder, forwarding(folder, hands) as made:
        recorded = folder.record(0, 1, detections=person, attributes={"plate": "AB"}, part=2)
        hands.wait([0, 1])
        assert [said(frame) for _, frame in hands.taken] == [said(frame) for frame in recorded]
        folder.record(2)  # the segment is open and grows
        hands.wait([0, 1, 2])
        hands.finish()
        wait_count(made, 3, 0)


def test_what_is_not_done_is_handed_on_again_by_the_next_one(tmp_path: Path) -> None:
    first, again, last = Hands(), Hands(), Hands()
    with Folder(tmp_path) as folder, forwarding(folder, first) as made:
        folder.record(*range(6))
        first.wait(range(6))
        first.finish(0, 1, 3)  # 2 has not come: 3 may be told again
        wait_count(made, 3, 3)
    with Folder(tmp_path) as folder, forwarding(folder, again):
        again.wait([2, 3, 4, 5])
        again.finish()
        folder.record(6)
        again.wait([2, 3, 4, 5, 6])
        again.finish()
    with Folder(tmp_path) as folder, forwarding(folder, last):
        folder.record(7)
        last.wait([7])


def test_a_destination_that_has_no_room_costs_no_memory_and_no_files(tmp_path: Path) -> None:
    hands = Hands(room=10)
    with Folder(tmp_path, segment_seconds=1) as folder, forwarding(folder, hands) as made:
        folder.record(*range(300))  # a dozen files
        wait_for(lambda: len(hands.taken) == 10 and made.count().waiting == 300, "it is full")
        assert len(made._hands) <= 64
        wait_for(lambda: opened(".mkv") <= {segments(tmp_path)[-1]}, "what was read ahead is closed")
        for room in range(20, 320, 20):
            hands.finish()
            hands.grant(room)
        hands.wait(range(300))
        hands.finish()
        wait_count(made, 300, 0)


def opened(suffix: str) -> set[Path]:
    """The files of that kind that this process has open."""
    found = set()
    for path in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # it was closed just now
            found.add(path.readlink())
    return {path for path in found if path.suffix == suffix}


def test_streams_take_turns(tmp_path: Path) -> None:
    hands = Hands(room=0)
    with Folder(tmp_path, segment_seconds=1) as folder, forwarding(folder, hands):
        folder.record(*range(300), camera="behind")
        folder.record(0, 1, 2, camera="live")
        hands.grant(10_000)
        wait_for(lambda: len(hands.taken) == 303)
        cameras = [frame.camera for _, frame in hands.taken]
        assert cameras.index("live") < 200, "a camera does not wait for another one's hours"
        assert [frame.seq for _, frame in hands.taken if frame.camera == "behind"] == list(range(300))


@pytest.mark.parametrize(
    ("since_ns", "seqs"),
    [(None, [200]), (0, [0, 1, 100, 101, 200]), (START_NS + 3_000_000_000, [100, 101, 200])],
    ids=["from now on", "from the beginning", "from a time on"],
)
def test_a_new_destination_begins_where_it_is_told_to(
    tmp_path: Path, since_ns: int | None, seqs: list[int]
) -> None:
    with Folder(tmp_path, segment_seconds=1) as folder:
        folder.record(0, 1)
        folder.record(100, 101)  # four seconds later
    hands = Hands()
    with Folder(tmp_path) as folder, forwarding(folder, hands, since_ns=since_ns):
        folder.record(200)
        hands.wait(seqs)
        hands.finish()
    with Folder(tmp_path) as folder, forwarding(folder, more := Hands(), since_ns=0):
        folder.record(300)
        more.wait([300])  # it is known by now


def test_destinations_know_nothing_of_one_another(tmp_path: Path) -> None:
    near, away = Hands(), Hands(room=0)
    with (
        Folder(tmp_path) as folder,
        forwarding(folder, near) as quick,
        forwarding(folder, away, to="tcp://far.example:7700") as slow,
    ):
        folder.record(0, 1)
        near.wait([0, 1])
        near.finish()
        wait_count(quick, 2, 0)
        assert of(slow) == (0, 2, {})


def test_what_retention_removes_before_it_was_forwarded_is_counted(tmp_path: Path) -> None:
    hands = Hands(room=0)
    with Folder(tmp_path, segment_seconds=1) as folder, forwarding(folder, hands) as made:
        for second in range(40):  # more files than are in memory
            folder.record(*range(second * 25, second * 25 + 3))
        wait_count(made, 0, 120)
        paths = [str(path.relative_to(tmp_path)) for path in segments(tmp_path)]
        first_read, gone = paths[0], [*paths[1:4], paths[30]]
        with closing(Kept(tmp_path)) as kept:
            kept.remove(gone)
        made.removed(gone)
        wait_count(made, 0, 108, removed=12)
        hands.grant(10_000)
        wait_for(lambda: len(hands.taken) == 108)
        assert {seq // 25 for seq in hands.seqs} == set(range(40)) - {1, 2, 3, 30}, first_read
        hands.finish()
        wait_count(made, 108, 0, removed=12)


def test_what_went_while_nobody_forwarded_is_counted_at_the_next_start(tmp_path: Path) -> None:
    with Folder(tmp_path, segment_seconds=1) as folder, forwarding(folder, Hands(room=0)) as made:
        folder.record(0, 1)
        folder.record(100, 101, 102)
        folder.record(200)
        wait_count(made, 0, 6)
    gone = str(segments(tmp_path)[1].relative_to(tmp_path))
    with closing(Kept(tmp_path)) as kept:
        kept.remove([gone])
    hands = Hands()
    with Folder(tmp_path) as folder, forwarding(folder, hands) as made:
        hands.wait([0, 1, 200])
        wait_count(made, 0, 3, removed=3)


def test_files_that_vanished_or_are_damaged_are_passed_over_and_others_go_on(tmp_path: Path) -> None:
    with Folder(tmp_path, segment_seconds=1) as folder:
        for second in range(6):
            folder.record(*range(second * 100, second * 100 + 3))
    files = segments(tmp_path)
    files[0].unlink()
    files[1].write_bytes(b"no Matroska")
    files[2].with_suffix(".jsonl").write_bytes(b"")
    video = bytearray(files[3].read_bytes())
    at = video.index(b"\xff\xd8", video.index(b"\xff\xd8") + 2)  # in the second picture
    video[at + 40] ^= 1
    files[3].write_bytes(video)
    hands = Hands()
    with Folder(tmp_path) as folder:  # it mends nothing of what was closed
        pass
    with closing(sqlite3.connect(tmp_path / "index.db")) as db:
        known = db.execute("SELECT COUNT(*) FROM segments").fetchone()[0]
    with Folder(tmp_path) as folder, forwarding(folder, hands) as made:
        hands.wait([300, 302, *range(400, 403), *range(500, 503)])
        hands.finish()
        wait_for(lambda: made.count().waiting == 0)
        forwarded, _, dropped = of(made)
        assert forwarded == 8
        assert sum(dropped.values()) == 3 * known - 8
        assert dropped["damaged"] >= 4


def test_a_folder_that_is_away_is_waited_for(tmp_path: Path) -> None:
    hands, into = Hands(room=0), tmp_path / "disk"
    with Folder(into, segment_seconds=1) as folder, forwarding(folder, hands) as made:
        folder.record(*range(100))
        wait_count(made, 0, 100)
        folder.commit()
        into.rename(tmp_path / "unplugged")
        into.mkdir()
        hands.grant(10_000)
        wait_for(lambda: "mount its disk again" in made.count().why, "it says so")
        into.rmdir()
        (tmp_path / "unplugged").rename(into)
        hands.wait(range(100))
        wait_for(lambda: not made.count().why)
        assert of(made)[2] == {}


def garbage(data: bytes) -> bytes:
    return b"garbage" * 1000


def words(data: bytes) -> bytes:
    """sqlite3 cannot even say what is wrong."""
    return data.replace(b"numberssegments", b"\xeeumberssegments")


def a_row(data: bytes) -> bytes:
    """What an index says of a row is not what its table says."""
    before, path, after = data.partition(b"-motion.mkv")
    assert path
    return before + b"-motion.mkw" + after


def version(data: bytes) -> bytes:
    return data[:60] + bytes(4) + data[64:]


@pytest.mark.parametrize("damage", [garbage, words, a_row, version])
def test_a_cursor_that_cannot_be_read_is_put_aside(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    with Folder(tmp_path) as folder, forwarding(folder, Hands()):
        folder.record(0)
    cursor = tmp_path / "forward.db"
    cursor.write_bytes(damage(cursor.read_bytes()))
    hands = Hands()
    with Folder(tmp_path) as folder, forwarding(folder, hands, since_ns=None) as made:
        assert made.lost_cursor
        folder.record(1)
        hands.wait([1])
    assert list((tmp_path / "quarantine").glob("forward*.db"))


def test_a_cursor_that_cannot_be_written_is_told_and_written_later(tmp_path: Path) -> None:
    hands, cursor = Hands(), tmp_path / "forward.db"
    with Folder(tmp_path) as folder, forwarding(folder, hands) as made:
        with closing(sqlite3.connect(cursor)) as db:
            db.execute("ALTER TABLE segments RENAME TO elsewhere")
            folder.record(0)
            wait_for(lambda: str(cursor) in made.count().why, "it says so")
            assert not hands.taken, "it is not known yet what the next start begins with"
            db.execute("ALTER TABLE elsewhere RENAME TO segments")
        hands.wait([0])
        wait_for(lambda: not made.count().why, "it is over")


def test_a_destination_is_known_once_it_is_known_what_it_begins_with(tmp_path: Path) -> None:
    with Folder(tmp_path) as folder:
        folder.record(0)
    index = tmp_path / "index.db"
    index.rename(tmp_path / "away")
    with pytest.raises(StorageError):
        Cursor(tmp_path, "tcp://hq.example:7700")
    (tmp_path / "away").rename(index)
    with closing(Cursor(tmp_path, "tcp://hq.example:7700")) as cursor:
        assert (cursor.found, cursor.waiting()) == (False, 0)


def three_wait(folder: Folder) -> None:
    """Three frames are recorded, and wait for the usual destination."""
    with forwarding(folder, Hands(room=0)) as made:
        folder.record(0, 1, 2)
        wait_count(made, 0, 3)


def test_what_waits_for_a_destination_that_is_given_no_more_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = new_record(NodeKind.COLLECT, "edge", {}, SYSTEM_CLOCK)
    with Folder(tmp_path) as folder:
        three_wait(folder)
        moved = [parse("http://127.0.0.1:1/?unsigned=1")]
        for to in (moved, moved, []):
            begun(tmp_path, own, to)
    told = [record.getMessage() for record in caplog.records if "frames wait for" in record.getMessage()]
    assert [text.partition(",")[0] for text in told] == ["3 frames wait for tcp://hq.example:7700"] * 3


@pytest.mark.parametrize(("frames", "done", "waits"), [(1, 2, "1 frames"), (1, 3, ""), (3, 0, "3 frames")])
def test_what_waits_is_counted_by_the_index(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, frames: int, done: int, waits: str
) -> None:
    """The cursor's count of a file that grew is brought up to date by who forwards next."""
    own = new_record(NodeKind.COLLECT, "edge", {}, SYSTEM_CLOCK)
    with Folder(tmp_path) as folder:
        three_wait(folder)
        with closing(sqlite3.connect(tmp_path / "forward.db")) as db, db:
            db.execute("UPDATE segments SET frames = ?, done = ?", (frames, done))
        begun(tmp_path, own, [])
    assert waits in caplog.text
    assert bool(waits) == ("frames wait for" in caplog.text)


def test_a_cursor_that_nobody_needs_may_be_missing_or_damaged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = new_record(NodeKind.COLLECT, "edge", {}, SYSTEM_CLOCK)
    with Folder(tmp_path) as folder:
        folder.record(0)
        begun(tmp_path, own, [])
        assert not (tmp_path / "forward.db").exists()
        (tmp_path / "forward.db").write_bytes(b"no database" * 1000)
        begun(tmp_path, own, [])
    assert "nobody knows what waits" in caplog.text


def test_a_cursor_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    with Folder(tmp_path) as folder:
        with forwarding(folder, Hands()):
            pass
        with closing(sqlite3.connect(tmp_path / "forward.db")) as db:
            db.execute("PRAGMA user_version = 99")
        with pytest.raises(StorageError, match="newer version"):
            forwarder(folder, Hands())


def test_draining_waits_for_what_waits_unless_nothing_gets_through(tmp_path: Path) -> None:
    hands, away = Hands(), Hands(room=0)
    with Folder(tmp_path) as folder, forwarding(folder, hands) as made:
        folder.record(0, 1)
        hands.wait([0, 1])
        assert not made.drain(0, CALM)
        hands.finish()
        assert made.drain(30, CALM)
    with Folder(tmp_path) as folder, forwarding(folder, away) as made:
        away.why = "nobody answers"
        folder.record(2)
        assert not made.drain(3600, CALM)
        count = made.count()
        assert (count.why, count.waiting) == ("nobody answers", 1)
        assert count.since_ns > 0
