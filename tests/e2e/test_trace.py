"""`mesh trace` against a real mesh: every hop, on one machine, with its losses."""

import json
from pathlib import Path
from typing import Any

from tests.e2e.site import SMALL, Site


def traced(site: Site, least: int) -> Any:
    """What `mesh trace --json` says, if so many frames have come on each of its legs; else None."""
    done = site.run("trace", "door", "--seconds", 2, "--json")
    found = json.loads(done.out) if done.code == 0 else {"legs": []}
    return found if len(found["legs"]) == 5 and all(leg["n"] > least for leg in found["legs"]) else None


def test_a_trace_shows_every_hop_and_clear_words_where_there_is_nothing(tmp_path: Path) -> None:
    with Site(tmp_path, lasting=True) as site:
        site.collect()
        site.node("process", "passthrough")
        site.capture(f"door={SMALL}", f"gate={SMALL}&frames=1")
        site.wait_recorded("door", "passthrough")
        site.wait_for(lambda: "door" in {s.camera for s in site.mesh.streams() if s.relay}, "it is relayed")
        found = site.wait_for(lambda: traced(site, 10), "frames pass on each leg")
        assert [(leg["from"], leg["to"]) for leg in found["legs"]] == [
            (None, "capture"),
            ("capture", "process"),
            (None, "process"),
            ("process", "collect"),
            (None, "collect"),
        ]
        for leg in found["legs"]:
            assert leg["error_ms"] == 0, "one machine has one clock"
            assert 0 <= leg["p50_ms"] <= leg["p95_ms"] <= leg["p99_ms"] < 60_000
        assert {(age["stage"], age["to"]) for age in found["ages"]} == {
            ("raw", "capture"),
            ("passthrough", "process"),
            ("passthrough", "collect"),
        }
        assert found["groups"]["passthrough"]["lost"] == 0

        site.wait_for(
            lambda: "capture -> process" in site.run("trace", "door", "--seconds", 1).out, "a table is shown"
        )

        missing = site.run("trace", "nowhere")
        assert missing.code == 1
        assert "there is no camera 'nowhere'; cameras now: door, gate" in missing.last_line
        site.wait_for(lambda: site.camera("gate").state == "ended", "the short camera has ended")
        over = site.run("trace", "gate", "--seconds", 0.2)
        assert over.code == 1
        assert "no frame of any stage came within 0.2 s; the camera is ended" in over.last_line

        clocks = site.mesh.stats
        site.wait_for(
            lambda: all(n["clock_offset_ns"] is not None for n in clocks()["nodes"].values()),
            "each node knows how far its clock is",
        )
        nodes = {row["id"]: row for row in site.ls()["nodes"]}
        for row in nodes.values():
            assert all(endpoint.startswith("tcp://") for endpoint in row["endpoints"].values())
            assert abs(row["clock_offset_ns"]) <= row["clock_error_ns"] + 1_000_000
        assert nodes["collect"]["local"].keys() == {"pub", "pull", "control"}
        assert {
            line.split("\t")[1] for line in site.run("ls").out.splitlines() if line.startswith("clocks")
        } == set(nodes)
