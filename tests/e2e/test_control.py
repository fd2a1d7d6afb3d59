"""`mesh ctl`: a node is asked how it is, and to drain, by hand."""

import signal
from pathlib import Path

from mesh.registry.records import NodeState, StatsRecord
from tests.e2e.site import Site, check_recording

STAGE = "passthrough"


def test_a_node_is_asked_how_it_is_and_drained_without_losing_a_frame(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        collect = site.collect()
        options = ("--policy", "fifo", "--depth", 2000, "--label", "site=gate", "--lease", 60)
        process = site.node("process", STAGE, *options)
        site.wait_nodes("collect", "process")
        capture = site.capture("door=synthetic:?size=320x240&fps=30")
        site.wait_recorded("door", STAGE, 10)
        (listed,) = (node for node in site.mesh.nodes() if node.id == "process")
        assert listed.labels == {"site": "gate"}

        asked = site.run("ctl", "process", "status")
        status = dict(line.split("\t")[1:] for line in asked.out.splitlines())
        assert asked.code == 0
        assert (status["kind"], status["state"], status["cameras"]) == ("process", "running", "1")
        assert int(status["processed"]) >= 10

        process.send(signal.SIGSTOP)
        hangs = site.run("ctl", "process", "drain", "--timeout", 0.3)
        process.send(signal.SIGCONT)
        assert hangs.code == 1
        assert "node 'process' did not answer within 0.3 s: it hangs, or " in hangs.last_line

        drained = site.run("ctl", "process", "drain")
        assert (drained.code, drained.out) == (0, "process has drained\n")
        assert {node.id: node.state for node in site.mesh.nodes()}["process"] is NodeState.ENDED
        assert process.wait() == 0

        assert capture.stop() == 0
        group = site.count("door")["groups"][STAGE]
        assert group["results"] == group["delivered"]
        site.wait_for(
            lambda: site.count("door")["recorded"][STAGE] == group["delivered"], "all of it is recorded"
        )
        (stats,) = (s for s in map(StatsRecord.of, site.mesh.registry.list("stats/process/")))
        assert stats.counters["control_answered"] == 2
        assert collect.stop() == 0
        seqs = [line["seq"] for line in check_recording(site, "door", STAGE)]
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
