"""Fault 9: everything is killed and started in random order, again and again: each time the mesh is whole."""

import random
import time
from collections.abc import Callable
from pathlib import Path

from tests.e2e.site import SMALL, Site
from tests.faults.figures import LONG, row
from tests.support.processes import Process

ROUNDS = 20 if LONG else 4


def test_whatever_order_everything_restarts_in_the_mesh_is_whole_again(tmp_path: Path) -> None:
    rng, times = random.Random(9), []
    with Site(tmp_path, registry=False, state=tmp_path / "state") as site:
        starts: list[Callable[[], Process]] = [
            site.start_registry,
            lambda: site.capture(f"door={SMALL}"),
            lambda: site.node("process", "motion", name="process"),
            site.collect,
        ]
        boots: set[int] = set()
        running: list[Process] = []
        for _ in range(ROUNDS):
            rng.shuffle(running)
            for process in running:
                process.kill()
            rng.shuffle(starts)
            since = time.monotonic()
            running = [start() for start in starts]
            site.wait_nodes("capture", "process", "collect")

            def is_whole() -> int | None:
                """The boot of a capture that is recorded, if it is a new one."""
                door = site.count("door")
                return door["boot"] if door["recorded"].get("motion") and door["boot"] not in boots else None

            boots.add(site.wait_for(is_whole, "new frames are recorded") or 0)
            times.append(time.monotonic() - since)
        assert all(process.alive for process in running)
        order = ("capture", "process", "collect", "registry")
        assert [{p.name: p for p in running}[name].stop() for name in order] == [0, 0, 0, 0]
    assert len(boots) == ROUNDS
    row(
        f"9 everything killed and restarted {ROUNDS} times",
        recovery_s=round(sorted(times)[len(times) // 2], 1),
        worst_s=round(max(times), 1),
    )
