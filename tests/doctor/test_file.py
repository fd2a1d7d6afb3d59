"""The check of the site's file, made to fail. `tests/e2e/test_up.py` has a site whose process fails."""

from pathlib import Path

import pytest

from mesh.doctor.file import Process, UpSeen, Written, judge
from mesh.doctor.findings import Finding, Level

PATH = Path("mesh.toml")
WELL = UpSeen("mesh up (process 7)", 7, (Process("registry", True, 0, ""),))


def only(file: Written | None, level: Level) -> Finding:
    (found,) = [finding for finding in judge(file) if finding.level is level]
    return found


def test_a_file_that_is_right_and_runs_is_well() -> None:
    assert {finding.level for finding in judge(Written(PATH, ups=[WELL]))} == {Level.OK}
    assert {finding.level for finding in judge(None)} == {Level.OK}


def test_each_problem_of_a_file_is_told() -> None:
    file = Written(PATH, problems=("mesh.toml:3: a: b", "mesh.toml:4: c: d"), ups=[WELL])
    told = [finding for finding in judge(file) if finding.level is Level.FAILED]
    assert [finding.found for finding in told] == list(file.problems)
    assert told[0].do == "correct it, then: mesh reload mesh.toml"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_passwords_that_others_can_read_are_told(mode: int) -> None:
    found = only(Written(PATH, mode=mode, passwords=True, ups=[WELL]), Level.FAILED)
    assert found.do.startswith("chmod 600 mesh.toml")
    assert {f.level for f in judge(Written(PATH, mode=mode, ups=[WELL]))} == {Level.OK}
    assert {f.level for f in judge(Written(PATH, mode=0o600, passwords=True, ups=[WELL]))} == {Level.OK}


def test_a_file_that_nobody_runs_here_is_told() -> None:
    assert only(Written(PATH), Level.WARNING).do == "mesh up mesh.toml"


def test_a_process_that_fails_again_and_again_is_told_with_what_it_said() -> None:
    looping = Process("process-own", False, 5, "mesh: no model")
    found = only(Written(PATH, ups=[UpSeen("mesh up", 7, (looping,))]), Level.FAILED)
    assert (found.subject, found.found) == ("process-own", "ended 5 times in a row: mesh: no model")


def test_a_process_that_was_asked_to_end_is_told() -> None:
    ended = Process("process-motion", False, 0, "")
    assert only(Written(PATH, ups=[UpSeen("mesh up", 7, (ended,))]), Level.WARNING).do == "mesh reload"


def test_one_that_does_not_answer_is_told_by_its_number() -> None:
    assert "process 7" in only(Written(PATH, ups=[UpSeen("mesh up", 7, None)]), Level.FAILED).do
