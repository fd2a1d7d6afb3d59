"""Fault 4: one of three subscribers hangs: the others get every frame, the publisher stays small, and the one
that hung is shown fresh frames again."""

import json
import signal
import threading
import time
from pathlib import Path
from typing import Any

from tests.e2e.site import Site
from tests.faults.figures import LONG, row
from tests.support.processes import Process

HANG_S = 30.0 if LONG else 6.0
QUEUES_KB = 64 * 1024  # high-water marks and kernel buffers for one subscriber, amply


def seen(viewer: Process) -> dict[str, Any]:
    """The newest line that a viewer has printed whole. Raises `KeyError` before the first."""
    lines = [line for line in viewer.out.splitlines(keepends=True) if line.endswith("\n")]
    if not lines:
        raise KeyError("nothing seen yet")
    return json.loads(lines[-1])  # type: ignore[no-any-return]  # JSON of our own


def missed(view: dict[str, Any]) -> int:
    """Frames that never came, that were replaced by fresher ones, or that had grown too old."""
    return int(view["lost"] + sum(view["dropped"].get(cause, 0) for cause in ("overwritten", "expired")))


def test_a_hung_subscriber_costs_its_siblings_nothing_and_comes_back_to_fresh_frames(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        capture = site.capture("door=synthetic:?size=640x480&fps=30")
        site.wait_camera("door")
        viewers = [
            site.processes.start(
                site.url, "raw", "door", policy, module="tests.faults.viewer", name=f"viewer-{n}"
            )
            for n, policy in enumerate(("fifo", "fifo", "latest"))
        ]
        for viewer in viewers:
            site.wait_for(lambda viewer=viewer: seen(viewer)["frames"] > 30, "it sees frames")  # type: ignore[misc]
        before_kb, hung = capture.rss_kb(), viewers[2]
        hung.suspend()
        threading.Event().wait(HANG_S)  # the fault itself lasts so long
        grown_kb = capture.rss_kb() - before_kb
        captured = site.wait_for(lambda: site.count("door")["captured"], "the frames so far")
        for viewer in viewers[:2]:
            site.wait_for(lambda viewer=viewer: seen(viewer)["offered"] > captured, "it goes on")  # type: ignore[misc]
        continued_ns = time.time_ns()
        hung.send(signal.SIGCONT)

        def is_fresh() -> dict[str, Any] | None:
            now = seen(hung)
            recovered = now["at_ns"] > continued_ns and now["age_ms"] is not None and now["age_ms"] < 1000
            return now if recovered else None

        fresh = site.wait_for(is_fresh, "the one that hung sees fresh frames")
        assert fresh is not None
        site.wait_for(lambda: missed(seen(hung)) > 0, "and knows what it missed")
        others = [seen(viewer) for viewer in viewers[:2]]
        row(
            f"4 one of three subscribers stopped for {HANG_S:g} s",
            offered=[other["offered"] for other in others],
            delivered=[other["frames"] for other in others],
            lost=[other["lost"] for other in others],
            missed_by_the_hung_one=missed(seen(hung)),
            publisher_grew_kb=grown_kb,
            recovery_s=round((fresh["at_ns"] - continued_ns) / 1e9, 3),
        )
        assert [other["lost"] for other in others] == [0, 0]
        assert all(set(other["dropped"]) <= {"before_join"} for other in others)
        assert grown_kb < QUEUES_KB
        assert capture.stop() == 0
