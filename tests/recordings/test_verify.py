"""What is wrong with a folder is named, file by file, and all else goes on."""

import re
import shutil
import sqlite3
from pathlib import Path

import pytest

from mesh.recordings.catalog import Catalog
from mesh.recordings.verify import verify
from nodes.collect.folder import FolderLock
from nodes.collect.recorder import Recorder
from tests.recordings.made import every_second, note, person, record

FIRST = "door/2026-10-15/12-00-00-raw.mkv"
SECOND = "door/2026-10-15/12-00-10-raw.mkv"
THIRD = "yard/2026-10-15/12-00-00-raw.mkv"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    into = tmp_path_factory.mktemp("made")
    record(into, [*every_second("door", 0, 20, person(0.7)), *every_second("yard", 0, 10)])
    return into


@pytest.fixture
def into(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "recordings"))


def problems(into: Path, *cameras: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for each in verify(into, cameras):
        if each.is_problem:
            found.setdefault(each.path, []).append(each.text)
    return found


def test_what_the_recorder_wrote_is_sound(into: Path) -> None:
    told: list[tuple[int, int]] = []
    assert list(verify(into, tell=lambda done, total: told.append((done, total)))) == []
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_a_flipped_byte_in_a_picture_is_one_damaged_picture(into: Path) -> None:
    data = bytearray((into / FIRST).read_bytes())
    data[data.index(b"\xff\xd8", 3000) + 100] ^= 1
    (into / FIRST).write_bytes(data)
    ((path, (text,)),) = problems(into).items()
    assert path == FIRST
    assert re.match(r"1 of its 10 pictures are damaged, the first \d\.000 s after its begin\Z", text)
    assert problems(into, "yard") == {}


def test_a_flipped_byte_in_a_line_is_found_by_what_the_lines_should_say(into: Path) -> None:
    lines = (into / SECOND).with_suffix(".jsonl")
    text = lines.read_text()
    lines.write_text(text.replace('"captured_ns":17920656', '"captured_ns":17920657', 1))
    assert any("line do not agree" in each for each in problems(into)[SECOND])
    lines.write_text(text.replace('"person"', '"parson"', 1))
    assert problems(into) == {SECOND: ["the index says other events than its lines"]}
    lines.write_text(text[:2000] + "\x00" + text[2000:])
    assert re.match(r"its lines cannot be read from the \d+th on", problems(into)[SECOND][0])


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda video: video.write_bytes(video.read_bytes()[:-2000]), "its video was cut short"),
        (lambda video: video.with_suffix(".jsonl").unlink(), "its lines are missing"),
        (lambda video: video.unlink(), "its video is missing"),
        (lambda video: video.write_bytes(b"a text"), "it is not a Matroska file"),
        (
            lambda video: video.write_bytes(video.read_bytes() + b"more"),
            "its video has 4 bytes behind its end",
        ),
    ],
)
def test_a_file_that_is_harmed_is_named_and_the_others_are_listed(
    into: Path, harm: object, said: str
) -> None:
    harm(into / SECOND)  # type: ignore[operator]
    found = problems(into)
    assert list(found) == [SECOND]
    assert said in found[SECOND][0]
    with Catalog(into) as catalog:
        assert [row.path for row in catalog.segments()] == [FIRST, SECOND, THIRD]


def test_files_and_the_index_that_do_not_know_each_other(into: Path) -> None:
    with sqlite3.connect(into / "index.db") as db:
        db.execute("DELETE FROM segments WHERE path = ?", (FIRST,))
        db.execute("UPDATE segments SET frames = 9, bytes = 1 WHERE path = ?", (SECOND,))
    db.close()
    for end in (".mkv", ".jsonl"):
        (into / THIRD).with_suffix(end).unlink()
    found = problems(into)
    assert found[FIRST] == ["the index does not know it"]
    assert found[SECOND][0] == "the index says frames 9, and its files 10"
    assert len(found[SECOND]) == 2
    assert found[THIRD] == ["its lines are missing", "its video is missing"]
    holder = FolderLock(into)  # a collector: what it wrote just now is not in the index yet
    assert FIRST not in problems(into)
    holder.release()


def test_without_an_index_the_files_are_checked_all_the_same(into: Path) -> None:
    (into / "index.db").unlink()
    (into / FIRST).write_bytes((into / FIRST).read_bytes()[:-2000])
    found = problems(into)
    assert set(found) == {"index.db", FIRST}
    assert "it has no index; make it with: mesh recordings rebuild" in found["index.db"][0]


def test_what_is_not_ours_is_noted_and_no_problem(into: Path) -> None:
    for name in ("notes.txt", "door/notes.txt", "door/2026-10-15/holiday.mkv"):
        (into / name).write_text("somebody's own\n")
    (into / "other").mkdir()
    (into / FIRST).with_suffix(".lock").write_text("kept\n")
    (into / "door/2026-10-15/01-00-00-raw.lock").write_text("kept\n")
    found = list(verify(into))
    assert {(each.path, each.text) for each in found} == {
        ("notes.txt", "is none of ours"),
        ("other", "is none of ours"),
        ("door/notes.txt", "is none of ours"),
        ("door/2026-10-15/holiday.mkv", "is none of ours"),
        ("door/2026-10-15/01-00-00-raw.lock", "locks nothing"),
    }
    assert not any(each.is_problem for each in found)


def test_a_segment_that_still_grows_is_sound(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, segment_seconds=60)
    for each in every_second("door", 0, 9, person(0.5)):
        recorder.write(each)
    note(tmp_path, recorder.commit().segments)
    for each in every_second("door", 9, 12):
        recorder.write(each)
    recorder.commit()  # in the files, and not in the index yet
    collector = FolderLock(tmp_path)
    assert list(verify(tmp_path)) == []
    collector.release()
    assert list(problems(tmp_path)) == [FIRST]  # whoever recorded has died
    recorder.close()
