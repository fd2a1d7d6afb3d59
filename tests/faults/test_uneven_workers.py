"""Workers of unlike speed share one lossless camera: every frame is recorded, in order, and none is late."""

import signal
from functools import partial
from pathlib import Path

import pytest

from mesh.registry import open_registry
from mesh.registry.records import GroupRecord
from tests.e2e.site import Site
from tests.faults.figures import row
from tests.support.processes import ROOT

FRAMES = 150
PARTITIONS = 8
CASES = [(10, 10), (5, 30), (5, 100), (10, 10, 50)]


def is_taken(site: Site, group: str) -> bool:
    """Whether the group has every partition."""
    with open_registry(site.url) as registry:
        holds = [GroupRecord.of(entry).holds for entry in registry.list(f"groups/{group}/")]
    return sum(map(len, holds)) >= PARTITIONS


@pytest.mark.timeout(200)
def test_workers_of_unlike_speed_deliver_every_frame_in_order(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        site.collect()
        for number, times in enumerate(CASES):
            camera, stage = f"door{number}", f"taken{number}"
            names = [f"worker{number}-{n}" for n in range(len(times))]
            options = ("--frames", FRAMES, "--lossless", "--partitions", PARTITIONS, "--pace", "max")
            workers = [
                site.node(
                    "process",
                    f"tests.faults.processors:Take:ms={ms}",
                    *("--stage", stage),
                    name=name,
                    cwd=ROOT,
                )
                for name, ms in zip(names, times, strict=True)
            ]
            site.wait_nodes("collect", *names)
            source = f"{camera}=synthetic:?size=160x120&fps=100"
            capture = site.capture(source, name=f"capture{number}", options=options)
            site.wait_for(partial(is_taken, site, stage), "all is taken")
            assert capture.wait() == 0
            site.wait_recorded(camera, stage, FRAMES)
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
            assert [worker.wait() for worker in workers] == [0] * len(workers)
