"""`kill -9` a process node: the ledger names what it had in hand, and the stream goes on."""

import time
from pathlib import Path

import pytest

from tests.e2e.site import Site
from tests.faults.figures import LONG, row
from tests.faults.settled import wait_accounted

STAGE = "passthrough"
FRAMES = 1800 if LONG else 360


@pytest.mark.timeout(300)
def test_a_process_node_that_is_killed_leaves_an_exact_ledger(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        site.collect()
        victim = site.node("process", STAGE, "--policy", "fifo", name="first")
        site.wait_nodes("collect", "first")
        site.capture(f"door=synthetic:?size=320x240&fps=30&frames={FRAMES}")
        site.wait_recorded("door", STAGE, FRAMES // 8)
        victim.kill()
        site.wait_for(lambda: "first" not in {n.id for n in site.mesh.nodes()}, "its lease has lapsed")
        group = site.count("door")["groups"][STAGE]
        assert group["gone"], "its counters outlive it"
        assert group["dropped"]["died"] > 0, "what passes meanwhile is named"
        assert group["processed"] > 0
        at, seen = time.monotonic(), site.count("door")["recorded"][STAGE]
        site.node("process", STAGE, "--policy", "fifo", name="second")
        site.wait_recorded("door", STAGE, seen + 10)
        recovered = time.monotonic() - at
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
        assert (door["captured"], group["offered"], door["unaccounted"]) == (FRAMES, FRAMES, 0)
        assert group["processed"] + dropped + group["lost"] == FRAMES
        assert (group["in_flight"], group["waiting"], group["gone"]) == (0, 0, False)
        assert set(group["dropped"]) <= {"died", "before_join"}
        assert group["processed"] <= recorded <= FRAMES, "its last second is known from the recording only"
        assert seqs == sorted(set(seqs)), "each once, in order"
        row(
            fault="3 process node killed",
            offered=FRAMES,
            delivered=group["delivered"],
            recorded=recorded,
            dropped=group["dropped"] | {f"{c}_results": n for c, n in group["undelivered"].items()},
            lost=group["lost"],
            duplicates=door["duplicates"],
            recovery_s=round(recovered, 1),
        )
