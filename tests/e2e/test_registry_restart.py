"""The registry dies and comes back: no stream notices, and everybody is listed again."""

from pathlib import Path
from typing import Any

import pytest

from mesh.client import Subscription
from tests.e2e.site import SMALL, Site

FRAMES = 20
STREAMS = 6  # two cameras, each as it is captured, as it is processed, and relayed
TABLES = {
    "nodes": ("id", "pid", "endpoints"),
    "cameras": ("name", "node", "state", "why"),
    "streams": ("stage", "camera", "node", "endpoint", "relay"),
}


def _known(site: Site) -> dict[str, list[dict[str, Any]]]:
    """What is listed that a registry which starts anew has to be told again."""
    look = site.ls()
    return {table: [{key: row[key] for key in keys} for row in look[table]] for table, keys in TABLES.items()}


def _follow(subscription: Subscription, last: int, frames: int) -> int:
    """Take so many frames after seq `last`, without a gap; the last one's seq."""
    for _ in range(frames):
        frame = subscription.get(60)
        assert frame is not None
        assert frame.seq == last + 1
        last = frame.seq
    return last


@pytest.mark.parametrize("keeps_state", [True, False], ids=["with --state", "without --state"])
def test_a_registry_that_is_killed_and_restarted_interrupts_no_stream(
    tmp_path: Path, keeps_state: bool
) -> None:
    with Site(tmp_path, state=tmp_path / "state" if keeps_state else None) as site:
        site.capture(f"door={SMALL}", f"yard={SMALL}&seed=2")
        site.node("process", "passthrough", "--policy", "fifo", "--depth", 2000)
        site.collect()
        site.wait_recorded("door", "passthrough", 10)
        site.wait_recorded("yard", "passthrough", 10)
        site.wait_for(lambda: len(site.mesh.streams()) == STREAMS, "all streams are listed")
        before = _known(site)
        with site.mesh.subscribe("passthrough", "door", policy="fifo", depth=2000) as frames:
            first = frames.get(60)
            assert first is not None
            last = _follow(frames, first.seq, FRAMES)
            site.registry.kill()
            last = _follow(frames, last, FRAMES)
            site.start_registry()
            site.wait_nodes("capture", "process", "collect")
            _follow(frames, last, FRAMES)
            (count,) = frames.counts()
            assert count.lost == 0
            assert not {cause: n for cause, n in count.dropped.items() if cause != "before_join"}
        site.wait_for(lambda: _known(site) == before, f"all is listed as it was: {before}")
