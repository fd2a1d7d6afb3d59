"""Whatever is done to the files of one camera: the others are listed, read and exported as before, `verify`
names what is wrong, and a collector that starts, or a rebuild, loses nothing of either."""

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

import mesh
from mesh.errors import StorageError
from mesh.recordings.catalog import Catalog
from mesh.recordings.export import Film, Written, export
from mesh.recordings.query import Query
from mesh.recordings.verify import verify
from nodes.collect.folder import FolderLock
from nodes.collect.rebuild import rebuild
from nodes.collect.recovery import recover
from tests.recordings.made import every_second, holdings, person, record

HARMED = "door/2026-10-15/12-00-10-raw.mkv"
YARD = Query(cameras=("yard",))
Harm = Callable[[Path], object]


def flip(at: Callable[[bytearray], int]) -> Harm:
    def harm(video: Path) -> None:
        data = bytearray(video.read_bytes())
        data[at(data)] ^= 1
        video.write_bytes(data)

    return harm


def of_lines(harm: Harm) -> Harm:
    return lambda video: harm(video.with_suffix(".jsonl"))


def of_index(harm: Harm) -> Harm:
    return lambda video: harm(video.parents[2] / "index.db")


def shorten(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1500])


def remove_both(video: Path) -> None:
    video.unlink()
    video.with_suffix(".jsonl").unlink()


def beside(name: str) -> Harm:
    return lambda video: (video.parent / name).write_text("somebody's own\n")


def forget(index: Path) -> None:
    with sqlite3.connect(index) as db:
        db.execute("DELETE FROM segments WHERE path = ?", (HARMED,))
    db.close()


HARMS: dict[str, Harm] = {
    "a byte of a picture is flipped": flip(lambda data: data.index(b"\xff\xd8", 3000) + 100),
    "a byte of the head is flipped": flip(lambda data: 2),
    "a byte of a cluster's head is flipped": flip(lambda data: data.index(b"\x1f\x43\xb6\x75", 3000) + 5),
    "a byte of a line is flipped": of_lines(flip(lambda data: data.index(b"captured_ns") + 2)),
    "the video is cut short": shorten,
    "the video is empty": lambda video: video.write_bytes(b""),
    "the video is gone": Path.unlink,
    "the lines are cut short": of_lines(shorten),
    "the lines are gone": of_lines(Path.unlink),
    "both are gone": remove_both,
    "the index is gone": of_index(Path.unlink),
    "the index is cut short": of_index(shorten),
    "the index is another file": of_index(lambda index: index.write_text("a text\n")),
    "the index has lost a row": of_index(forget),
    "a foreign file lies there": beside("notes.txt"),
    "a foreign video lies there": beside("holiday.mkv"),
    "a foreign video has a name like ours": beside("13-00-00-raw.mkv"),
}
NO_PROBLEM = {"a foreign file lies there", "a foreign video lies there"}
OF_INDEX = {name for name in HARMS if name.startswith("the index")}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    into = tmp_path_factory.mktemp("made")
    record(into, [*every_second("door", 0, 30, person(0.7)), *every_second("yard", 0, 20, person(0.9))])
    recover(into).index.close()
    return into


def files(into: Path) -> dict[str, bytes]:
    return {str(path.relative_to(into)): path.read_bytes() for path in into.glob("*/*/*") if path.is_file()}


def check_yard(into: Path, out: Path) -> None:
    """Everything that can be asked of the other camera is answered."""
    with Catalog(into) as catalog:
        assert [row.frames for row in catalog.segments(YARD)] == [10, 10]
        assert {row.camera for row in catalog.segments()} <= {"door", "yard"}
        (event,) = catalog.events(YARD)
        assert (event.label, event.frames) == ("person", 20)
        assert "yard" in {total.camera for total in catalog.totals()}
    with mesh.open_recordings(into) as recordings:
        assert [frame.seq for frame in recordings.frames("yard")] == list(range(20))
        assert export(recordings, Film(("yard",)), out) == Written(20, 19.0)
    out.unlink()


def named(into: Path) -> set[str]:
    return {each.path for each in verify(into) if each.is_problem}


@pytest.mark.parametrize("name", HARMS)
def test_a_harmed_file_costs_itself_alone(made: Path, tmp_path: Path, name: str) -> None:
    into, out = Path(shutil.copytree(made, tmp_path / "recordings")), tmp_path / "yard.mkv"
    HARMS[name](into / HARMED)
    before = files(into)
    yard = {path: held for path, held in holdings(made).items() if path.startswith("yard")}
    check_yard(into, out)
    found = named(into)
    if name in NO_PROBLEM:
        assert found == set()
    elif name in OF_INDEX:
        assert found & {"index.db", HARMED}
    else:
        assert {path.partition("/")[0] for path in found} == {"door"}
        assert len(found) == 1
    for again in ("a collector starts", "it is made again"):
        if again == "a collector starts":
            lock = FolderLock(into)
            recover(into).index.close()
            lock.release()
        else:
            rebuild(into)
        check_yard(into, out)
        rows = holdings(into)
        assert {path: held for path, held in rows.items() if path in yard} == yard
        there = set(files(into).values()) | {path.read_bytes() for path in (into / "quarantine").glob("*")}
        lost = {path for path, data in before.items() if data and data not in there}
        assert lost <= ({HARMED.replace("mkv", "jsonl")} if name == "the video is gone" else set())
    if name in OF_INDEX:
        assert holdings(into) == holdings(made)
        assert not named(into)


def test_two_collectors_on_one_folder_are_refused_and_the_first_goes_on(made: Path, tmp_path: Path) -> None:
    into = Path(shutil.copytree(made, tmp_path / "recordings"))
    first = FolderLock(into)
    with pytest.raises(StorageError, match=r"another collector \(process \d+\) records to"):
        FolderLock(into)
    check_yard(into, tmp_path / "yard.mkv")
    assert named(into) == set()
    first.release()
