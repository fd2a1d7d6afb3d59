"""`kill -9` a process node: the ledger names what it had in hand, and the stream goes on."""

import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.site import Site
from tests.faults.figures import LONG, row
from tests.faults.settled import wait_accounted

STAGE = "passthrough"
PROCESS = (STAGE, "--policy", "fifo", "--depth", 2000)
FRAMES = 900 if LONG else 45  # are recorded of each of the two


def left_behind(site: Site) -> Any:
    """What the ledger says of a group all of whose members died, once it names what passes since then."""
    group = site.count("door")["groups"][STAGE]
    return group if group["gone"] and group["dropped"]["died"] else None


@pytest.mark.timeout(300)
def test_a_process_node_that_is_killed_leaves_an_exact_ledger(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        site.collect()
        victim = site.node("process", *PROCESS, name="first")
        site.wait_nodes("collect", "first")
        capture = site.capture("door=synthetic:?size=320x240&fps=30")
        site.wait_recorded("door", STAGE, FRAMES)
        victim.kill()
        site.wait_for(lambda: "first" not in {n.id for n in site.mesh.nodes()}, "its lease has lapsed")
        group = site.wait_for(lambda: left_behind(site), "what passes meanwhile is named")
        assert group["processed"] > 0, "its counters outlive it"
        at = time.monotonic()
        seen = site.wait_for(lambda: site.count("door")["recorded"][STAGE], "the results so far")
        site.node("process", *PROCESS, name="second")
        site.wait_recorded("door", STAGE, seen + FRAMES)
        recovered = time.monotonic() - at
        assert capture.stop() == 0
        wait_accounted(site, "door")
        site.wait_for(
            lambda: site.count("door")["recorded"][STAGE] >= site.count("door")["groups"][STAGE]["delivered"],
            "the collector's counters are as new",
        )
        door = site.stats()["door"]
        (group,) = door["groups"].values()
        seqs = [line["seq"] for line in site.lines("door", STAGE)]  # one collector, one file
        recorded = door["recorded"][STAGE]
        dropped = sum(group["dropped"].values())
        captured = door["captured"]
        assert (group["offered"], door["unaccounted"]) == (captured, 0)
        assert group["processed"] + dropped + group["lost"] == captured
        assert (group["in_flight"], group["waiting"], group["gone"]) == (0, 0, False)
        assert set(group["dropped"]) <= {"died", "before_join"}
        assert group["processed"] <= recorded <= captured, "its last second is known from the recording only"
        assert seqs == sorted(set(seqs)), "each once, in order"
        row(
            fault="3 process node killed",
            offered=captured,
            delivered=group["delivered"],
            recorded=recorded,
            dropped=group["dropped"] | {f"{c}_results": n for c, n in group["undelivered"].items()},
            lost=group["lost"],
            duplicates=door["duplicates"],
            recovery_s=round(recovered, 1),
        )
