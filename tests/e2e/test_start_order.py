"""Nodes started in any order find one another."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.site import SMALL, Site, check_recording
from tests.support.processes import Process

ORDERS = [
    ("registry", "capture", "process", "collect"),
    ("registry", "collect", "process", "capture"),
    ("capture", "process", "collect", "registry"),
    ("process", "collect", "registry", "capture"),
    ("collect", "registry", "capture", "process"),
    ("collect", "capture", "process", "registry"),
]


def _starters(site: Site) -> dict[str, Callable[[], Process]]:
    return {
        "registry": site.start_registry,
        "capture": lambda: site.capture(f"door={SMALL}"),
        "process": lambda: site.node("process", "passthrough"),
        "collect": site.collect,
    }


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: "-".join(order))
def test_frames_are_recorded_whatever_started_first(tmp_path: Path, order: tuple[str, ...]) -> None:
    with Site(tmp_path, registry=False, lasting=True) as site:
        starters = _starters(site)
        started: dict[str, Process] = {}
        for kind in order:
            started[kind] = starters[kind]()
            if kind != "registry" and "registry" in started:
                site.wait_nodes(kind)
        site.wait_recorded("door", "passthrough", 10)
        assert [started[kind].stop() for kind in ("capture", "process", "collect")] == [0, 0, 0]
        assert len(check_recording(site, "door", "passthrough")) >= 10
