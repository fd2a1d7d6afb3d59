"""A node that has nothing to do does nothing: how often its threads wake, not how long they take."""

import time
from pathlib import Path

from mesh.registry.records import StatsRecord
from tests.e2e.site import SMALL, Site

CAMERAS = 10
MOST_PER_S = 100  # ten cameras that look twenty times a second each wake twice as often


def counted_at_ns(site: Site) -> dict[str, int]:
    """When each node last showed its counters, which it does once a second."""
    records = [StatsRecord.of(entry) for entry in site.mesh.registry.list("stats/")]
    return {record.node: record.at_ns for record in records}


def next_counts_ns(site: Site, former: dict[str, int]) -> dict[str, int]:
    """Wait until each of the nodes has shown them again."""
    site.wait_for(
        lambda: all(counted_at_ns(site)[name] != at_ns for name, at_ns in former.items()), "all count again"
    )
    return counted_at_ns(site)


def test_nodes_that_wait_wake_seldom(tmp_path: Path) -> None:
    def cameras(kind: str) -> list[str]:
        return [f"{kind}{n}={SMALL}" for n in range(CAMERAS)]

    with Site(tmp_path) as site:
        waiting = {
            "eager": site.capture(*cameras("e"), name="eager", options=("--pace", "max")),
            "lossless": site.capture(*cameras("l"), name="lossless", options=("--lossless",)),
        }
        nodes = waiting | {
            "process": site.node("process", "passthrough", "--input", "nothing"),
            "collect": site.collect("--input", "nothing"),
        }
        for node in waiting.values():
            site.wait_for(
                lambda node=node: node.log.count("waits for somebody") == CAMERAS,  # type: ignore[misc]
                "the cameras wait",
            )
        counted = next_counts_ns(site, dict.fromkeys(nodes, 0))
        began = time.monotonic()
        before = {name: node.voluntary_switches() for name, node in nodes.items()}
        next_counts_ns(site, next_counts_ns(site, counted))
        for name, node in nodes.items():
            switches = node.voluntary_switches() - before[name]
            assert switches < MOST_PER_S * (time.monotonic() - began), name
