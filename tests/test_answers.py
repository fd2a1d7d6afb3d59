"""What `mesh ctl` makes of nodes' answers."""

import pytest

from mesh.cli.answers import holds, status_rows
from mesh.control import Answer
from mesh.orders import Done, Target
from mesh.registry.setups import CameraSetup

FOLDER = {"path": "/spool", "free_bytes": 80278188032, "total_bytes": 100_000_000_000, "writable": True}
TOTALS = {"captured": 0, "processed": 0, "recorded": 0}
DONE = Done(Target("door", True, None), "edge", Answer({}))


@pytest.mark.parametrize(
    ("kind", "shown"), [("capture", "captured"), ("process", "processed"), ("collect", "recorded")]
)
def test_a_status_has_the_totals_of_its_kind(kind: str, shown: str) -> None:
    rows = dict(status_rows({"kind": kind, "paused": False, "cameras": 0, **TOTALS}))
    assert rows == {"kind": kind, "paused": False, "cameras": 0, shown: 0}


def test_what_a_kind_seldom_does_is_shown_where_it_did() -> None:
    assert dict(status_rows({"kind": "collect", **TOTALS, "processed": 3}))["processed"] == 3


def test_folders_say_how_much_room_there_is() -> None:
    full = FOLDER | {"path": "/b", "writable": False}
    ((_, told),) = status_rows({"folders": [FOLDER, full]})
    assert told == "/spool: 80.3 of 100.0 GB free; /b: 80.3 of 100.0 GB free, cannot be written to"


def test_what_was_set_says_for_how_long_it_holds_and_how_to_keep_it() -> None:
    setup = CameraSetup.made("door", {"url": "synthetic:"})
    assert holds(DONE, None, {"fps": 2}) == "this holds until node edge ends"
    assert holds(DONE, setup, {"fps": None, "quality": 70}).endswith(
        "for good: mesh camera set door --fps none --quality 70"
    )
    of_site = setup.model_copy(update={"site": "hq"})
    assert holds(DONE, of_site, {"fps": 2}).endswith("in the file of site hq, then mesh reload")
