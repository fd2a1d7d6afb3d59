"""A node that is suspended for longer than its lease, as a starved one may be: it goes on when it can, or
ends where it was asked to meanwhile."""

import signal
from pathlib import Path

from tests.e2e.site import SMALL, Site, check_recording
from tests.faults.figures import row
from tests.faults.settled import listed, wait_all_recorded

STAGE = "passthrough"
FPS = 10  # what waits on the link meanwhile is bounded, by some hundred frames


def test_a_node_that_was_suspended_for_longer_than_its_lease_goes_on(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        collect = site.collect()
        process = site.node("process", STAGE, "--policy", "fifo", "--depth", 2000)
        site.wait_nodes("collect", "process")
        capture = site.capture(f"door=synthetic:?size=320x240&fps={FPS}")
        site.wait_recorded("door", STAGE, 5)
        before = listed(site, "process")
        process.suspend()
        site.wait_for(lambda: "process" not in {n.id for n in site.mesh.nodes()}, "its lease has ended")
        captured = site.wait_for(lambda: site.count("door")["captured"], "the frames so far")
        site.wait_for(lambda: site.count("door")["captured"] >= captured + FPS, "frames pass meanwhile")
        process.send(signal.SIGCONT)
        site.wait_nodes("process")
        site.wait_recorded("door", STAGE, captured + 2 * FPS)
        assert capture.stop() == 0
        door = wait_all_recorded(site, "door", STAGE)
        (group,) = door["groups"].values()
        site.wait_for(lambda: listed(site, "process") == before, "it is listed as it was before")
        assert "the lease had ended" in process.log
        assert (group["lost"], door["unaccounted"], group["gone"]) == (0, 0, False)
        assert set(group["dropped"]) <= {"before_join"}
        assert group["results"] == group["delivered"]
        assert [process.stop(), collect.stop()] == [0, 0]
        seqs = [line["seq"] for line in check_recording(site, "door", STAGE)]
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs))), "each once, in order, none missing"
        row(
            "process node suspended for longer than its lease",
            offered=group["offered"],
            delivered=group["delivered"],
            dropped=group["dropped"],
            lost=group["lost"],
            duplicates=door["duplicates"],
        )


def test_what_is_asked_to_end_while_it_is_suspended_ends_when_it_goes_on(tmp_path: Path) -> None:
    """The kernel gives the signal to any thread then."""
    with Site(tmp_path) as site:
        nodes = [site.collect(), site.node("process", STAGE), site.capture(f"door={SMALL}")]
        site.wait_nodes("collect", "process", "capture")
        for process in (*nodes[::-1], site.registry):
            process.suspend()
            process.send(signal.SIGTERM)
            process.send(signal.SIGCONT)
            assert process.wait() == 0
