"""Fault 5: a clip, read as fast as it can be, through a chain that dozes: not one frame is missing."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.site import Site, check_recording
from tests.faults.figures import row
from tests.support.processes import ROOT

CLIP = Path(os.environ.get("MESH_TEST_VIDEO", ROOT.parent / "shared/data/one-by-one-person-detection.mp4"))
FRAMES = 1394


def ended(site: Site) -> Any:
    """The camera's part of the ledger, once both groups' is all that they will report."""
    door = site.count("door")
    groups = door["groups"].values()
    over = all(group["ended"] and not group["in_flight"] for group in groups)
    return door if len(groups) == 2 and over else None


@pytest.mark.skipif(
    not CLIP.is_file(), reason=f"the clip is not here: {CLIP} (MESH_TEST_VIDEO names another)"
)
@pytest.mark.timeout(300)
def test_lossless_through_two_chained_nodes_that_doze_records_every_frame_in_order(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        options = ("--pace", "max", "--frames", FRAMES, "--lossless")
        capture = site.capture(f"door={CLIP.resolve()}", options=options)
        doze = "tests.faults.processors:Doze"
        one = (f"{doze}:every=90,seconds=0.3", "--stage", "one", "--no-push")
        two = (f"{doze}:every=130,seconds=0.4", "--input", "one", "--stage", "two")
        first = site.node("process", *one, name="one", cwd=ROOT)
        second = site.node("process", *two, name="two", cwd=ROOT)
        collect = site.collect()
        assert capture.wait(within=200) == 0
        site.wait_recorded("door", "two", FRAMES)
        door = site.wait_for(lambda: ended(site), "both groups have seen the end, and say so")
        assert (door["captured"], door["recorded"], door["unaccounted"]) == (FRAMES, {"two": FRAMES}, 0)
        for group in door["groups"].values():
            assert (group["offered"], group["processed"], group["lost"]) == (FRAMES, FRAMES, 0)
            assert group["dropped"] == {}
        row(
            "5 lossless clip through two nodes that doze",
            offered=door["captured"],
            delivered=door["recorded"]["two"],
            dropped=door["groups"]["two"]["dropped"],
            lost=sum(group["lost"] for group in door["groups"].values()),
            duplicates=door["duplicates"],
        )
        assert [process.stop() for process in (first, second, collect)] == [0, 0, 0]
        lines = check_recording(site, "door", "two")
    assert [line["seq"] for line in lines] == list(range(FRAMES))
    assert {len(line["hops"]) for line in lines} == {4}
