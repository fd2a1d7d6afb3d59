"""The spool: what was committed is there, whatever happens to its writer; what is damaged is put aside."""

import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from mesh.delivery.counts import Tally
from mesh.delivery.result import Result, Stream, Want
from mesh.delivery.spool import COPY_AT_ONCE, ROW_BYTES, Damaged, Spool
from mesh.errors import StorageError
from tests.support.waiting import wait_for

DOOR: Stream = ("motion", "door", 7)
GATE: Stream = ("motion", "gate", 7)
ALL = 2**40


def results(*numbers: int, stream: Stream = DOOR, size: int = 100) -> list[Result]:
    parts = (b"topic", b"header", b"x" * (size - 11))
    return [Result(number, stream, 1, parts, size) for number in numbers]


def want(*streams: Stream, first: int = 0, skip: frozenset[int] = frozenset(), most: int = 10_000) -> Want:
    return Want(frozenset(streams or (DOOR,)), first, skip, ALL, most)


def numbers(found: list[Result]) -> list[int]:
    return [result.number for result in found]


def files(folder: Path) -> list[str]:
    return sorted(path.suffix for path in folder.iterdir())


def test_nothing_is_made_before_something_is_written(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", ALL)
    assert spool.adopt() == ({}, 0, [])
    spool.close()
    assert not (tmp_path / "spool").exists()


def test_what_is_written_is_read_in_order_as_it_came(tmp_path: Path) -> None:
    spool = Spool(tmp_path, ALL)
    spool.write(results(1, 3, 5) + results(2, 4, stream=GATE))
    assert numbers(spool.read(want(DOOR, GATE))) == [1, 2, 3, 4, 5]
    assert numbers(spool.read(want(GATE))) == [2, 4]
    assert numbers(spool.read(want(DOOR, first=2, skip=frozenset({3})))) == [5]
    assert numbers(spool.read(want(DOOR, most=2))) == [1, 3]
    (first, *_) = spool.read(want())
    assert (first.stream, first.frames, first.parts, first.size) == (DOOR, 1, results(1)[0].parts, 100)
    spool.close()


def test_a_read_is_bounded_in_bytes_but_gives_one_at_least(tmp_path: Path) -> None:
    spool = Spool(tmp_path, ALL)
    spool.write(results(1, 2, 3))
    assert numbers(spool.read(Want(frozenset({DOOR}), 0, frozenset(), 250, 10))) == [1, 2]
    assert numbers(spool.read(Want(frozenset({DOOR}), 0, frozenset(), 1, 10))) == [1]
    spool.close()


def test_its_bytes_are_known_and_what_goes_makes_room(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 10 * (100 + ROW_BYTES))
    spool.write(results(*range(8)))
    assert spool.free == 2 * (100 + ROW_BYTES)
    assert numbers(spool.oldest(300, frozenset({1}))) == [0, 2]
    assert spool.oldest(0, frozenset()) == []
    spool.write((), spool.oldest(300, frozenset()))
    assert numbers(spool.read(want())) == [2, 3, 4, 5, 6, 7]
    assert spool.free == 4 * (100 + ROW_BYTES)
    spool.close()


def test_an_empty_file_is_removed_and_one_with_results_waits(tmp_path: Path) -> None:
    spool = Spool(tmp_path, ALL)
    spool.write(results(1))
    spool.close()
    assert files(tmp_path) == [".spool"]
    spool = Spool(tmp_path, ALL)
    spool.adopt()
    spool.write((), spool.read(want()))
    spool.close()
    assert files(tmp_path) == []


def test_the_next_one_goes_on_from_what_is_there(tmp_path: Path) -> None:
    spool = Spool(tmp_path, ALL)
    tally = Tally(10, 4, Counter(overflow=1))
    spool.write(results(5, 6, 7), (), {DOOR: tally})
    spool.close()
    again = Spool(tmp_path, ALL)
    found, number, notes = again.adopt()
    assert (number, notes, again.bytes) == (8, [], 3 * (100 + ROW_BYTES))
    assert found[DOOR].rows == found[DOOR].frames == 3
    assert found[DOOR].tally == tally
    again.close()


def test_a_file_that_is_in_use_is_left_alone_and_those_of_the_dead_become_one(tmp_path: Path) -> None:
    first, second, living = Spool(tmp_path, ALL), Spool(tmp_path, ALL), Spool(tmp_path, ALL)
    first.write(results(1, 2), (), {DOOR: Tally(2)})
    second.write(results(1, 9) + results(3, stream=GATE), (), {DOOR: Tally(5, 3), GATE: Tally(1)})
    living.write(results(1))
    first.close()
    second.close()
    heir = Spool(tmp_path, ALL)
    found, number, _ = heir.adopt()
    assert number == 6
    assert found[DOOR].tally == Tally(7, 3)
    assert (found[DOOR].rows, found[GATE].rows) == (4, 1)
    assert numbers(heir.read(want(DOOR, GATE))) == [1, 2, 3, 4, 5], "oldest file first, numbered anew"
    assert [r.stream for r in heir.read(want(DOOR, GATE))] == [DOOR, DOOR, DOOR, GATE, DOOR]
    assert len(list(tmp_path.glob("*.spool"))) == 2
    assert numbers(living.read(want())) == [1]
    heir.close()
    living.close()


def test_counts_of_a_cameras_former_boots_are_forgotten_once_they_are_delivered(tmp_path: Path) -> None:
    spool = Spool(tmp_path, ALL)
    old, older = ("motion", "door", 6), ("motion", "door", 5)
    spool.write(
        results(1) + results(2, stream=older), (), {DOOR: Tally(1), old: Tally(9, 9), older: Tally(1)}
    )
    spool.close()
    again = Spool(tmp_path, ALL)
    assert set(again.adopt()[0]) == {DOOR, older}
    again.close()


@pytest.mark.parametrize("where", [0, 100])
def test_a_damaged_file_is_put_aside_and_the_others_are_used(tmp_path: Path, where: int) -> None:
    spool = Spool(tmp_path, ALL)
    spool.write(results(1))
    spool.close()
    (good,) = tmp_path.glob("*.spool")
    damaged = tmp_path / "0-bad.spool"
    content = bytearray(good.read_bytes())
    content[where : where + 64] = b"\xee" * 64
    damaged.write_bytes(content)
    spool = Spool(tmp_path, ALL)
    found, _, notes = spool.adopt()
    assert found[DOOR].rows == 1
    assert len(notes) == 1
    assert "0-bad.damaged" in notes[0]
    assert (tmp_path / "0-bad.damaged").read_bytes() == content
    spool.close()


def test_a_file_of_a_later_version_is_put_aside(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "1.spool") as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    spool = Spool(tmp_path, ALL)
    assert "version 99" in spool.adopt()[2][0]
    spool.close()
    assert files(tmp_path) == [".damaged"]


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    spool = Spool(tmp_path / "file" / "spool", ALL)
    with pytest.raises(StorageError, match="cannot be used"):
        spool.write(results(1))
    spool.close()


WRITER = """
import sys
from pathlib import Path
from mesh.delivery.counts import Tally
from mesh.delivery.result import Result
from mesh.delivery.spool import Spool

spool, stream, number = Spool(Path(sys.argv[1]), 2**40), ("motion", "door", 7), 0
while True:
    chunk = [Result(number + n, stream, 1, (b"t", b"h", bytes(5000)), 5002) for n in range(20)]
    number += 20
    spool.write(chunk, (), {stream: Tally(number)})
    print(number, flush=True)
"""


def test_a_writer_that_is_killed_leaves_every_row_that_it_had_committed(tmp_path: Path) -> None:
    said, script = tmp_path / "said", tmp_path / "writer.py"
    script.write_text(WRITER)
    with said.open("wb") as out:
        writer = subprocess.Popen([sys.executable, str(script), str(tmp_path / "spool")], stdout=out)
        try:
            wait_for(lambda: len(said.read_bytes().split()) > 5)
        finally:
            writer.send_signal(signal.SIGKILL)
            writer.wait()
    told = int(said.read_bytes().split(b"\n")[-2])
    spool = Spool(tmp_path / "spool", ALL)
    found, number, notes = spool.adopt()
    assert notes == []
    assert number in (told, told + 20), "a chunk is there whole or not at all"
    assert found[DOOR].rows == found[DOOR].tally.results == number
    assert numbers(spool.read(want())) == list(range(number))[:10_000]
    spool.close()


def test_a_number_that_is_there_already_is_no_damage(tmp_path: Path) -> None:
    spool = Spool(tmp_path, ALL)
    spool.write(results(1))
    with pytest.raises(StorageError) as raised:
        spool.write(results(1))
    assert not isinstance(raised.value, Damaged)
    assert numbers(spool.read(want())) == [1]
    spool.close()


HEIR = """
import resource, sys
from pathlib import Path
from mesh.delivery.result import Result
from mesh.delivery.spool import Spool

stream = ("motion", "door", 7)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
spool = Spool(Path(sys.argv[1]), 2**40)
found, number, notes = spool.adopt()
spool.write([Result(number, stream, 1, (b"t", b"h", b"x"), 3)])
print(found[stream].rows, found[stream].tally.results, number, len(notes), notes)
spool.close()
"""


@pytest.mark.parametrize("room", [100_000, 600_000])
def test_a_disk_that_is_full_as_files_become_one_costs_nothing(tmp_path: Path, room: int) -> None:
    script, folder = tmp_path / "heir.py", tmp_path / "spool"
    script.write_text(HEIR)
    first, second = Spool(folder, ALL), Spool(folder, ALL)
    first.write(results(1, 2), (), {DOOR: Tally(2)})
    second.write(results(*range(900), size=1000), (), {DOOR: Tally(950, 50)})
    first.close()
    second.close()
    heir = subprocess.run(
        [sys.executable, str(script), str(folder), str(room)], capture_output=True, text=True, check=True
    )
    rows, told, number, notes, text = heir.stdout.split(maxsplit=4)
    assert rows == told, "each row is counted in the file that it is in"
    assert 2 <= int(rows) < 902
    assert (int(rows) > 2) == (room > 500_000), "as far as there was room"
    assert (int(number), notes) == (int(rows) + 1, "1"), "numbers go on behind what is there"
    assert "waits for the next start" in text
    assert len(list(folder.glob("*.spool"))) == 2
    again = Spool(folder, ALL)
    found, _, late_notes = again.adopt()
    assert late_notes == []
    twice = found[DOOR].rows - 903
    assert twice in (0, COPY_AT_ONCE), "a batch at most, if the disk refused to let go of it"
    assert found[DOOR].tally == Tally(952 + twice, 50), "the one written last was not told of"
    again.close()
