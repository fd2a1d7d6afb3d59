"""`mesh recordings …`: what it prints, for people and for programs, and how it ends."""

import json
import os
import shutil
from collections.abc import Callable
from contextlib import closing, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from mesh.cli import finding, upkeep
from mesh.cli.choosing import query
from mesh.clock import SYSTEM_CLOCK
from mesh.errors import ConfigError, StorageError
from mesh.recordings.index import Index, StreamRow
from mesh.recordings.times import parse_time
from nodes.collect.folder import FolderLock
from tests.recordings.made import NOON, SECOND, every_second, person, record
from tests.support.processes import Processes
from tests.support.terminal import Terminal

DAY = "2026-10-15"
FIRST = f"door/{DAY}/12-00-00-raw.mkv"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    into = tmp_path_factory.mktemp("made")
    door = [*every_second("door", 0, 20, person(0.7)), *every_second("door", 100, 105)]
    record(into, [*door, *every_second("yard", 0, 5)])
    return into


@pytest.fixture
def into(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "recordings"))


def said(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_list_json_has_the_keys_that_scripts_rely_on(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finding.list_(made, camera=["door"], label=["person"], min_score=0.5, as_json=True)
    first, second = said(capsys)["segments"]
    assert first == {
        "camera": "door",
        "stage": "raw",
        "boot": 7,
        "from": f"{DAY}T12:00:00.000Z",
        "to": f"{DAY}T12:00:09.000Z",
        "from_ns": NOON,
        "to_ns": NOON + 9 * SECOND,
        "seconds": 9.0,
        "frames": 10,
        "late": 0,
        "bytes": (made / FIRST).stat().st_size + (made / FIRST).with_suffix(".jsonl").stat().st_size,
        "state": [],
        "lock": None,
        "path": FIRST,
    }
    assert second["from"] == f"{DAY}T12:00:10.000Z"
    finding.list_(made, at=f"{DAY}T12:01:42Z", as_json=True)
    assert [row["frames"] for row in said(capsys)["segments"]] == [5]
    finding.list_(made, at="9999-12-31", as_json=True)
    assert said(capsys)["segments"] == []


def test_events_gaps_and_stats_tell_the_same_to_programs_and_people(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finding.events(made, as_json=True)
    (event,) = said(capsys)["events"]
    assert (event["label"], event["by"], event["frames"], event["best"]) == ("person", "motion", 20, 0.7)
    assert (event["from_ns"], event["seconds"]) == (NOON, 19.0)
    finding.events(made, label=["person"])
    line = f"event\tdoor\traw\tperson\tmotion\t{DAY}T12:00:00.000Z\t{DAY}T12:00:19.000Z\t19.0\t20\t0.70\n"
    assert capsys.readouterr().out == line
    finding.gaps(made, as_json=True)
    (gap,) = said(capsys)["gaps"]
    assert (gap["camera"], gap["seconds"]) == ("door", 81.0)
    finding.gaps(made, least=82)
    assert capsys.readouterr().out == ""
    finding.stats(made, begin=f"{DAY}T12:00", end=f"{DAY}T12:00:20", as_json=True)
    door, yard = said(capsys)["days"]
    assert (door["day"], door["frames"], door["seconds"], door["events"]) == (DAY, 20, 19.0, {"person": 1})
    assert (yard["seconds"], yard["coverage"]) == (4.0, 20.0 if parse_time("now", now()) > NOON else 0.0)


def now() -> int:
    return SYSTEM_CLOCK.wall_ns()


def test_info_tells_of_the_whole_folder_and_who_records_there(
    into: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    collector = FolderLock(into)
    finding.info(into, as_json=True)
    found = said(capsys)
    collector.release()
    assert [(row["camera"], row["frames"]) for row in found["streams"]] == [("door", 25), ("yard", 5)]
    assert found["bytes"] == sum(row["bytes"] for row in found["streams"]) > 0
    assert found["recorded_by"]["pid"] > 0
    assert (found["locked"], found["put_aside"], found["index_version"]) == (0, 0, 4)
    finding.info(into)
    assert "folder\trecorded by\tnobody now\n" in capsys.readouterr().out


def test_rebuild_says_what_there_is(into: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (into / FIRST).write_bytes(b"a text")
    (into / "index.db").unlink()
    upkeep.rebuild(into)
    aside = f"; 2 files were put aside in {into}/quarantine"
    assert capsys.readouterr().out == f"the index of {into} has 3 recordings with 20 frames{aside}\n"
    finding.info(into)
    assert "folder\tput aside\t2 files\n" in capsys.readouterr().out
    upkeep.verify(into)
    assert capsys.readouterr().out == (
        "note\tquarantine\t2 files were put aside; the .txt beside them says why\n"
        f"nothing is wrong with the recordings in {into}\n"
    )


def test_what_is_chosen_has_to_be_said_and_has_to_be_there(into: Path) -> None:
    with pytest.raises(ConfigError, match="say which: paths, or options"):
        upkeep.lock(into)
    with pytest.raises(ConfigError, match="say which"):
        upkeep.delete(into, every=True, camera=["door"], yes=True)
    with pytest.raises(ConfigError, match="is no recording in"):
        upkeep.lock(into, [Path("door/nothing.mkv")])
    with pytest.raises(ConfigError, match="--at is a moment of its own"):
        query(None, None, "-2h", None, at="now")
    with pytest.raises(ConfigError, match="camera 'Door' is not a name"):
        finding.list_(into, camera=["Door"])


@pytest.mark.parametrize(
    "command",
    [
        finding.list_,
        finding.events,
        finding.gaps,
        finding.stats,
        upkeep.verify,
        upkeep.lock,
        upkeep.unlock,
        upkeep.delete,
    ],
)
def test_a_camera_that_is_not_there_is_no_all_clear(
    made: Path, command: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match=r"made.* holds no recording of camera 'nope'; it has: door, yard"):
        command(made, camera=["door", "nope"])
    assert capsys.readouterr().out == ""


def test_a_camera_of_which_nothing_is_left_may_be_asked_for(
    into: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(Index(into)) as index:
        index.write(streams=[StreamRow("raw", "hall", 7, skipped=3)])
    finding.events(into, camera=["hall"])
    (into / "index.db").unlink()
    with pytest.raises(ConfigError, match="of camera 'hall'; it has: door, yard"):
        finding.events(into, camera=["hall"])
    finding.list_(into, camera=["door"], begin="2026-11-01")
    assert capsys.readouterr().out == ""


def test_a_person_reads_that_nothing_was_found_and_a_program_nothing(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, theirs = os.openpty()
    with os.fdopen(ours, "rb", buffering=0) as screen, os.fdopen(theirs, "w") as terminal:
        for command, what in (
            (finding.list_, "recording"),
            (finding.events, "event"),
            (finding.gaps, "gap"),
            (finding.stats, "recording"),
        ):
            with redirect_stdout(terminal):
                command(made, begin="2026-11-01")
            terminal.flush()
            assert screen.read(4096).decode() == f"no {what} found in {made}\r\n"
            command(made, begin="2026-11-01")
    assert capsys.readouterr().out == ""


def test_lock_unlock_and_delete_by_path_and_by_question(
    into: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    upkeep.lock(into, [Path(FIRST), (into / FIRST).with_suffix(".jsonl")], reason="a theft")
    assert capsys.readouterr().out == "1 locked, 1 were locked before\n"
    finding.list_(into, camera=["door"], as_json=True)
    assert said(capsys)["segments"][0]["lock"].endswith("Z a theft")
    with pytest.raises(StorageError, match=f"{FIRST} is locked: mesh recordings unlock"):
        upkeep.delete(into, [Path(FIRST)], yes=True)
    upkeep.delete(into, camera=["door"], yes=True)
    assert capsys.readouterr().out == "2 deleted, 0.000 GB; 1 stay: they are locked, or still grow\n"
    upkeep.unlock(into, every=True)
    assert capsys.readouterr().out == "1 unlocked, 1 were not locked\n"
    upkeep.delete(into, every=True, yes=True)
    assert [path for path in into.rglob("*") if path.suffix in (".mkv", ".jsonl", ".lock")] == [
        into / "index.lock"
    ] * (into / "index.lock").exists()


def test_without_an_index_the_files_are_listed_and_verify_fails(into: Path, tmp_path: Path) -> None:
    (into / "index.db").unlink()
    with Processes(tmp_path / "logs") as processes:
        checked = processes.start("recordings", "verify", into, "--json")
        listed = processes.run("recordings", "list", into, "--camera", "door", "--from", "-90000d")
        assert (listed.code, listed.out.count("\n")) == (0, 3)
        assert "it has no index: reading its files" in listed.err
        assert checked.wait() == 1
        assert [each["path"] for each in json.loads(checked.out)["problems"]] == ["index.db"]
        assert checked.log.splitlines()[-1] == f"mesh: 1 problem found in {into}"


def test_deleting_asks_first(into: Path, tmp_path: Path) -> None:
    with Processes(tmp_path / "logs") as processes:
        with Terminal(processes, "recordings", "delete", into, "--all") as terminal:
            terminal.wait_for(lambda: terminal.has("Delete 4 recordings"), "it asks")
            terminal.press("n\r")
            assert terminal.wait() == 1
        assert len(list(into.rglob("*.mkv"))) == 4
