"""Folders as a collector may find them when it starts: their files and their index are made to agree."""

import shutil
import sqlite3
from fractions import Fraction
from pathlib import Path

import av
import pytest

import mesh
from mesh.delivery import identity
from mesh.errors import StorageError
from mesh.recordings.ebml import CLUSTER
from mesh.recordings.index import Index, SegmentRow, StreamRow
from mesh.recordings.resume import Resume
from nodes.collect.folder import FolderLock
from nodes.collect.recorder import Recorder
from nodes.collect.recovery import Recovered, recover
from tests.collect.support import START_NS, make, read, segments

BLANK = (16, 16)


def interrupted(into: Path, frames: int, *, acknowledged: int = 0, **changes: object) -> Path:
    """A folder as a process leaves it that died after so many frames; the segment's path.

    The frames that were `acknowledged` had been committed, and stand in the index.
    """
    work = into.parent / "work"
    recorder = Recorder(work)
    for seq in range(frames):
        recorder.write(make(seq, **changes))
        if acknowledged and seq == acknowledged - 1:
            done = recorder.commit()
            assert len(done.safe) == acknowledged
            index = Index(work)
            index.write(done.segments)
            index.close()
    recorder.commit()
    shutil.copytree(work, into)
    recorder.close()
    (path,) = segments(into)
    return path


def recovered(into: Path) -> Recovered:
    """What is recovered; its index is closed."""
    found = recover(into)
    found.index.close()
    return found


def counts(found: Recovered) -> dict[tuple[str, str, int], tuple[int, int]]:
    return {key: (row.recorded, row.late) for key, row in found.streams.items()}


def rows(into: Path) -> list[SegmentRow]:
    index = Index(into)
    try:
        return index.segments()
    finally:
        index.close()


def check(into: Path, path: Path, frames: int) -> None:
    """The segment holds so many frames, in both files, and the index says so."""
    held = read(path)
    assert [entry["seq"] for entry in held.lines] == list(range(frames))
    assert held.packets == [bytes(make(seq).payload) for seq in range(frames)]
    assert [entry["pts_ms"] for entry in held.lines] == held.pts_ms
    name = str(path.relative_to(into))
    times = [entry["captured_ns"] for entry in held.lines]
    size = path.stat().st_size + path.with_suffix(".jsonl").stat().st_size
    assert rows(into) == [SegmentRow(name, "raw", "front", 7, False, frames, 0, min(times), max(times), size)]


def test_an_empty_folder(tmp_path: Path) -> None:
    found = recovered(tmp_path)
    assert (found.streams, rows(tmp_path)) == ({}, [])


def test_a_segment_that_was_open_is_cut_to_the_frames_that_both_files_hold(tmp_path: Path) -> None:
    into = tmp_path / "rec"
    path = interrupted(into, 30, acknowledged=20)
    found = recovered(into)
    check(into, path, 30)
    assert counts(found) == {("raw", "front", 7): (30, 0)}
    assert all(identity(make(seq)) in found.seen for seq in range(30))
    assert identity(make(30)) not in found.seen


def test_recovering_again_changes_nothing(tmp_path: Path) -> None:
    into = tmp_path / "rec"
    path = interrupted(into, 10)
    recovered(into)
    before = {each.name: each.read_bytes() for each in path.parent.iterdir()}
    (into / "index.db").unlink()
    assert counts(recovered(into)) == {("raw", "front", 7): (10, 0)}
    assert {each.name: each.read_bytes() for each in path.parent.iterdir()} == before
    check(into, path, 10)


def test_a_video_that_is_cut_at_any_byte_keeps_its_whole_frames(tmp_path: Path) -> None:
    source = tmp_path / "source"
    path = interrupted(source, 5)
    size = path.stat().st_size
    kept = []
    for end in sorted({*range(0, 700, 7), *range(700, size, 997), size - 1, size}):
        into = tmp_path / f"cut-{end}"
        shutil.copytree(source, into)
        video = into / path.relative_to(source)
        with video.open("r+b") as file:
            file.truncate(end)
        found = recovered(into)
        frames = sum(row.recorded for row in found.streams.values())
        kept.append(frames)
        if frames:
            check(into, video, frames)
        else:
            assert segments(into) == []
        assert not (into / "quarantine").exists()
        shutil.rmtree(into)
    assert kept == sorted(kept)
    assert set(kept) == {0, 1, 2, 3, 4, 5}


@pytest.mark.parametrize("lost", [1, 30, 400])
def test_lines_that_are_cut_take_their_frames_along(tmp_path: Path, lost: int) -> None:
    into = tmp_path / "rec"
    path = interrupted(into, 10)
    lines = path.with_suffix(".jsonl")
    whole = lines.read_bytes()[:-lost]
    lines.write_bytes(whole)
    recovered(into)
    check(into, path, min(10, whole.count(b"\n")))


def test_a_segment_of_ffmpeg_whose_pictures_share_clusters_keeps_whole_ones(tmp_path: Path) -> None:
    """As earlier versions wrote them: a cluster is kept with all of its frames, or not."""
    into = tmp_path / "rec"
    path = interrupted(into, 40, acknowledged=10, size=BLANK)
    held = read(path)
    with av.open(str(path), "w", format="matroska", options={"cluster_time_limit": "1000"}) as output:
        stream = output.add_mux_stream("mjpeg", width=16, height=16)
        for pts_ms, picture in zip(held.pts_ms, held.packets, strict=True):
            packet = av.Packet(picture)
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 1000), True
            packet.pts = packet.dts = pts_ms
            output.mux(packet)
    lines = path.with_suffix(".jsonl")
    lines.write_bytes(b"".join(lines.read_bytes().splitlines(keepends=True)[:-1]))
    recovered(into)
    held = read(path)
    assert 20 <= len(held.packets) == len(held.lines) < 39
    assert [entry["pts_ms"] for entry in held.lines] == held.pts_ms


def test_a_segment_that_was_killed_before_its_first_lines_came_is_none(tmp_path: Path) -> None:
    into = tmp_path / "rec"
    path = interrupted(into, 5)
    path.with_suffix(".jsonl").write_bytes(path.with_suffix(".jsonl").read_bytes()[:30])
    Index(into).close()  # as a collector makes it before it records
    assert counts(recovered(into)) == {}
    assert segments(into) == []
    assert not (into / "quarantine").exists()


def test_a_tail_of_zeros_as_a_power_cut_leaves_it_is_cut_off(tmp_path: Path) -> None:
    into = tmp_path / "rec"
    path = interrupted(into, 10, acknowledged=5)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(size - 3000)
        file.truncate(size + 5000)
    with path.with_suffix(".jsonl").open("ab") as lines:
        lines.write(bytes(100))
    recovered(into)
    check(into, path, 9)


def test_a_frame_whose_bytes_are_damaged_is_not_kept(tmp_path: Path) -> None:
    into = tmp_path / "rec"
    path = interrupted(into, 10)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    recovered(into)
    check(into, path, len(read(path).lines))
    assert 4 <= len(read(path).lines) <= 5


def finished(into: Path) -> Path:
    """Two cameras' segments that were ended, without an index; the path of one."""
    with Recorder(into) as recorder:
        for seq in range(10):
            recorder.write(make(seq))
            recorder.write(make(seq, camera="back"))
    return next(into.glob("front/*/*.mkv"))


@pytest.mark.parametrize("lost", ["a video's end", "a line"])
@pytest.mark.parametrize("index", ["none", "of others"])
def test_a_finished_segment_that_lacks_something_is_copied_before_it_is_cut_where_no_index_knows_it(
    tmp_path: Path, lost: str, index: str
) -> None:
    """Nobody can say whether what lies behind the damage was acknowledged, or who has put it there."""
    path = finished(tmp_path)
    if index == "of others":
        recovered(tmp_path)
        with sqlite3.connect(tmp_path / "index.db") as db:
            db.execute("DELETE FROM segments WHERE camera = 'front'")
            db.execute("DELETE FROM streams WHERE camera = 'front'")
        db.close()
    harmed = path if lost == "a video's end" else path.with_suffix(".jsonl")
    harmed.write_bytes(harmed.read_bytes()[:-500])
    before = {file.suffix: file.read_bytes() for file in (path, path.with_suffix(".jsonl"))}
    found = counts(recovered(tmp_path))
    kept = found.pop(("raw", "front", 7))
    assert found == {("raw", "back", 7): (10, 0)}
    assert [entry["seq"] for entry in read(path).lines] == list(range(kept[0]))
    assert 5 <= kept[0] < 10
    aside = {file.suffix: file for file in (tmp_path / "quarantine").iterdir()}
    assert {suffix: aside[suffix].read_bytes() for suffix in before} == before
    assert "it is damaged" in aside[".txt"].read_text()
    recovered(tmp_path)
    assert len(list((tmp_path / "quarantine").iterdir())) == 3


@pytest.mark.parametrize("ended", [True, False])
def test_a_segment_of_which_the_first_frame_cannot_be_found_is_put_aside_whole_where_no_index_knows_it(
    tmp_path: Path, ended: bool
) -> None:
    into = tmp_path / "rec"
    path = finished(into) if ended else interrupted(into, 10)
    data = bytearray(path.read_bytes())
    data[data.index(CLUSTER.to_bytes(4, "big")) + 1] ^= 1
    path.write_bytes(data)
    found = counts(recovered(into))
    assert found == ({("raw", "back", 7): (10, 0)} if ended else {})
    (aside,) = (into / "quarantine").glob("*.mkv")
    assert aside.read_bytes() == data


def test_a_finished_segment_with_a_damaged_picture_is_kept_where_no_index_knows_it(tmp_path: Path) -> None:
    """The pictures behind it are as good as ever."""
    path = finished(tmp_path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert counts(recovered(tmp_path))["raw", "front", 7] == (10, 0)
    assert path.read_bytes() == data
    assert not (tmp_path / "quarantine").exists()
    with mesh.open_recordings(tmp_path) as recordings:
        assert len(list(recordings.frames("front"))) == 9
        assert recordings.stats().bad_frames == 1


def test_a_finished_segment_is_left_as_it_is(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        for seq in range(10):
            recorder.write(make(seq), late=seq == 9)
    (path,) = segments(tmp_path)
    before = path.read_bytes()
    found = recovered(tmp_path)
    assert path.read_bytes() == before
    assert counts(found) == {("raw", "front", 7): (10, 1)}


@pytest.mark.parametrize("spoil", ["no video at all", "zeros", "fewer frames than were safe", "no lines"])
def test_what_cannot_be_read_is_put_aside_with_its_reason(tmp_path: Path, spoil: str) -> None:
    into = tmp_path / "rec"
    path = interrupted(into, 10, acknowledged=8)
    data, lines = path.read_bytes(), path.with_suffix(".jsonl")
    if spoil == "no lines":
        lines.write_bytes(b"")
    else:
        fewer = data[: len(data) // 2]
        path.write_bytes({"zeros": bytes(len(data)), "no video at all": b"a text"}.get(spoil, fewer))
    found = recovered(into)
    assert (path.exists(), rows(into)) == (False, [])
    assert identity(make(0)) not in found.seen
    aside = {each.suffix: each for each in (into / "quarantine").iterdir()}
    assert set(aside) == {".mkv", ".jsonl", ".txt"}
    assert "17-46-40-raw" in aside[".txt"].read_text()
    assert aside[".txt"].read_text().endswith("\n")


def test_a_second_file_of_that_name_is_put_beside_the_first(tmp_path: Path) -> None:
    into = tmp_path / "rec"
    path = interrupted(into, 3)
    for _ in range(2):
        path.write_bytes(b"a text")
        recovered(into)
        path.parent.mkdir(exist_ok=True)
    assert len(list((into / "quarantine").glob("*.mkv"))) == 2


@pytest.mark.parametrize("damage", [None, b"", b"this is no database" * 100])
def test_an_index_that_is_missing_or_damaged_is_made_again(tmp_path: Path, damage: bytes | None) -> None:
    into = tmp_path / "rec"
    path = interrupted(into, 10, acknowledged=5)
    recovered(into)
    (into / "index.db").unlink()
    if damage is not None:
        (into / "index.db").write_bytes(damage)
    assert counts(recovered(into)) == {("raw", "front", 7): (10, 0)}
    check(into, path, 10)
    assert (into / "quarantine").exists() is bool(damage)


def test_an_index_of_other_tables_is_made_again_and_a_newer_one_is_refused(tmp_path: Path) -> None:
    for statement in ("CREATE TABLE streams (a)", "PRAGMA user_version = 1"):
        with sqlite3.connect(tmp_path / "index.db") as db:
            db.execute(statement)
        db.close()
    recovered(tmp_path)
    assert (tmp_path / "quarantine").exists()
    with sqlite3.connect(tmp_path / "index.db") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(StorageError, match="written by a newer version: update"):
        recover(tmp_path)


OF_VERSION_3 = (  # from what stands now
    "DROP TABLE ahead",
    "ALTER TABLE segments DROP COLUMN skipped_ns",
    *(f"ALTER TABLE streams DROP COLUMN {name}" for name in ("skipped", "skipped_ns", "skipped_to_ns")),
    "PRAGMA user_version = 3",
)
OF_VERSION_2 = (
    *OF_VERSION_3,
    "DROP TABLE events",
    "DROP TABLE gaps",
    "DROP TABLE removing",
    *(f"DROP INDEX segments_{each}" for each in ("by_time", "by_length", "by_age", "open")),
    *(f"ALTER TABLE segments DROP COLUMN {name}" for name in ("first_ns", "last_ns", "bytes")),
    *(f"ALTER TABLE streams DROP COLUMN {name}" for name in ("removed", "removed_late")),
    "ALTER TABLE folder DROP COLUMN aged_ns",
    "PRAGMA user_version = 2",
)


@pytest.mark.parametrize("former", [OF_VERSION_2, OF_VERSION_3], ids=["2", "3"])
def test_an_index_of_an_earlier_version_learns_from_the_files_what_it_did_not_know(
    tmp_path: Path, former: tuple[str, ...]
) -> None:
    into = tmp_path / "rec"
    interrupted(into, 10)
    recovered(into)
    now = rows(into)
    with sqlite3.connect(into / "index.db") as db:
        for statement in former:
            db.execute(statement)
    db.close()
    again = recovered(into)
    assert rows(into) == now
    assert now[0].first_ns == START_NS
    assert again.streams["raw", "front", 7] == StreamRow("raw", "front", 7, 10)
    assert not (into / "quarantine").exists()


def test_an_index_of_the_first_version_keeps_what_it_knows(tmp_path: Path) -> None:
    found = recover(tmp_path)
    found.index.close()
    with sqlite3.connect(tmp_path / "index.db") as db:
        for statement in (
            *OF_VERSION_2,
            "ALTER TABLE streams DROP COLUMN resume",
            "ALTER TABLE streams ADD COLUMN run INTEGER NOT NULL DEFAULT 0",
            "ALTER TABLE streams ADD COLUMN next INTEGER NOT NULL DEFAULT 0",
            "INSERT INTO streams VALUES ('motion', 'front', 7, 0, 3, 0, 42, 17)",
            "INSERT INTO streams VALUES ('raw', 'front', 7, 0, 0, 0, 0, 0)",
            "PRAGMA user_version = 1",
        ):
            db.execute(statement)
    db.close()
    again = recovered(tmp_path)
    assert again.index.id == found.index.id
    assert again.streams["motion", "front", 7].duplicates == 3
    assert again.streams["motion", "front", 7].resume == Resume(((42, 17),))
    assert again.streams["raw", "front", 7].resume == Resume()
    assert not (tmp_path / "quarantine").exists()


def test_files_that_somebody_removed_are_forgotten(tmp_path: Path) -> None:
    into = tmp_path / "rec"
    path = interrupted(into, 10, acknowledged=5)
    recovered(into)
    path.unlink()
    path.with_suffix(".jsonl").unlink()
    assert counts(recovered(into)) == {("raw", "front", 7): (0, 0)}
    assert rows(into) == []


def test_what_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    for name in (
        "notes.txt",
        "front/notes.jsonl",
        "front/2026-10-14/notes.jsonl",
        "front/x/17-46-40-raw.mkv",
    ):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("somebody's own\n")
    before = sorted(tmp_path.rglob("*"))
    recovered(tmp_path)
    assert [each for each in sorted(tmp_path.rglob("*")) if each.name != "index.db"] == before


def test_two_collectors_on_one_folder_are_refused(tmp_path: Path) -> None:
    first = FolderLock(tmp_path)
    with pytest.raises(StorageError, match=r"another collector \(process \d+\) records to .* already"):
        FolderLock(tmp_path)
    first.release()
    FolderLock(tmp_path).release()
