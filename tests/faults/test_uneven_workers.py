"""Workers of unlike speed share one lossless camera: every frame is recorded, in order, and none is late."""

import signal
from functools import partial
from pathlib import Path

import pytest

from mesh import setups
from mesh.registry.records import GroupRecord
from mesh.registry.setups import CameraSetup
from tests.e2e.site import Site
from tests.faults.figures import row
from tests.faults.settled import wait_accounted
from tests.support.processes import ROOT, Process

FRAMES = 150
PARTITIONS = 8
CASES = [(10, 10), (5, 30), (5, 100), (10, 10, 50)]
SLOW_MS = 100  # where somebody is as slow, the operator has set the shares: else such a case takes its time


def start_worker(site: Site, name: str, stage: str, ms: int, *, shares: bool) -> Process:
    """A worker that takes so long over a frame; with `shares` its operator has set its part of the work."""
    take = f"tests.faults.processors:Take:ms={ms}"
    return site.node(
        "process", take, "--stage", stage, *(("--weight", 100 / ms) if shares else ()), name=name, cwd=ROOT
    )


def add_camera(site: Site, name: str) -> None:
    """Have the capture node that is there capture it."""
    url = f"synthetic:?size=160x120&fps=100&frames={FRAMES}"
    setup = CameraSetup(name=name, url=url, lossless=True, partitions=PARTITIONS, pace="max")
    setups.add(site.mesh.registry, setup)


def is_taken(site: Site, group: str, camera: str) -> bool:
    """Whether the group has every partition of a camera."""
    holds = [GroupRecord.of(entry).holds for entry in site.mesh.registry.list(f"groups/{group}/")]
    return sum(key.startswith(f"{camera}/") for keys in holds for key in keys) >= PARTITIONS


@pytest.mark.timeout(200)
def test_workers_of_unlike_speed_deliver_every_frame_in_order(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        site.collect()
        site.node("capture")
        before: list[Process] = []
        for number, times in enumerate(CASES):
            camera, stage = f"door{number}", f"taken{number}"
            names = [f"worker{number}-{n}" for n in range(len(times))]
            workers = [
                start_worker(site, n, stage, ms, shares=SLOW_MS in times)
                for n, ms in zip(names, times, strict=True)
            ]
            site.wait_nodes("collect", "capture", *names)
            assert [worker.wait() for worker in before] == [0] * len(before)
            add_camera(site, camera)
            site.wait_for(partial(is_taken, site, stage, camera), "all is taken")
            site.wait_recorded(camera, stage, FRAMES)
            wait_accounted(site, camera)
            lines = site.lines(camera, stage)
            assert [line["seq"] for line in lines] == list(range(FRAMES))
            count = site.count(camera)
            assert (count["recorded"], count["unaccounted"]) == ({stage: FRAMES}, 0)
            row(
                f"uneven workers: {'/'.join(map(str, times))} ms a frame",
                offered=FRAMES,
                delivered=len(lines),
                dropped=count["groups"][stage]["dropped"],
                lost=count["groups"][stage]["lost"],
                duplicates=count["duplicates"],
            )
            for worker in workers:
                worker.send(signal.SIGTERM)
            before = workers
        assert [worker.wait() for worker in before] == [0] * len(before)
