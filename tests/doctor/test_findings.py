"""What findings add up to."""

import pytest

from mesh.doctor import Finding, Level, verdict, worst
from mesh.doctor.findings import failed, note, ok, warning

WELL = ok("disk", "spool", "80 GiB free")


def test_the_verdict_names_the_first_thing_to_do_of_the_worst() -> None:
    found = [WELL, warning("keys", "nodes", "open", "close it"), failed("reach", "p1", "hangs", "kill -9 7")]
    assert worst(found) is Level.FAILED
    assert verdict(found) == "1 failed, 1 warning: the first thing to do: kill -9 7 (reach, p1)"
    two = [*found, warning("disk", "spool", "low", "make room"), failed("disk", "x", "full", "more room")]
    assert verdict(two).startswith("2 failed, 2 warnings: the first thing to do: kill -9 7")
    assert verdict(found[:2]) == "1 warning: the first thing to do: close it (keys, nodes)"


def test_a_cause_goes_before_what_follows_from_it() -> None:
    cause = warning("nodes", "p1", "not heard of", "kill -9 7")
    effect = failed("ledger", "door", "nobody has taken its place", "start it again", "nodes")
    assert verdict([cause, effect]) == "1 failed, 1 warning: the first thing to do: kill -9 7 (nodes, p1)"
    assert verdict([effect]) == "1 failed: the first thing to do: start it again (ledger, door)"
    other = failed("disk", "x", "full", "make room")
    assert "make room" in verdict([cause, other])


def test_all_is_well_with_notes_too() -> None:
    assert (worst([]), worst([WELL])) == (Level.OK, Level.OK)
    assert verdict([WELL]) == "all is well: 1 check"
    noted = [WELL, WELL, note("cameras", "yard", "disabled", "enable it")]
    assert worst(noted) is Level.NOTE
    assert verdict(noted) == "all is well: 3 checks, 1 note"


@pytest.mark.parametrize(("level", "do"), [(Level.OK, "something"), (Level.FAILED, ""), (Level.NOTE, "")])
def test_what_is_not_well_says_what_to_do_and_only_that(level: Level, do: str) -> None:
    with pytest.raises(ValueError, match="what to do"):
        Finding("disk", "spool", level, "so", do)
