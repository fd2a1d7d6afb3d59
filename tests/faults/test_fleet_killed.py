"""A fleet of 120 cameras on three capture nodes, three process nodes and two collectors, one of each killed
with -9 at the same moment: every camera flows again by itself, and the ledger is exact over all of it."""

import json
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from mesh import codec
from mesh.registry.records import CameraState
from tests.e2e.site import Site
from tests.faults.figures import LONG, row
from tests.support.frames import picture
from tests.support.mjpeg_server import MjpegServer
from tests.support.waiting import wait_for

CAMERAS = 120
PERIOD_S = 0.5
STAGE = "passthrough"
CAPTURE, PROCESS, COLLECT = ("c1", "c2", "c3"), ("p1", "p2", "p3"), ("left", "right")
KILLED = ("c2", "p2", "left")
WITHIN_S = 120.0
FRAMES = 20 if LONG else 3

Line = dict[str, Any]
JPEGS = [codec.encode(picture(seed=seed)) for seed in range(4)]


def lines_of(folder: Path) -> list[Line]:
    """Every whole line of every recording under a folder, each camera's in order."""
    texts = (path.read_text() for path in sorted(folder.glob("*/*/*.jsonl")))
    return [
        json.loads(line) for text in texts for line in text.splitlines(keepends=True) if line.endswith("\n")
    ]


def recorded(folders: Iterable[Path]) -> Counter[str]:
    """How many whole lines there are of each camera."""
    found: Counter[str] = Counter()
    for path in (path for folder in folders for path in folder.glob("*/*/*.jsonl")):
        found[path.parent.parent.name] += path.read_bytes().count(b"\n")
    return found


def wait_flowing(folders: list[Path], more: int, what: str) -> None:
    """Wait until so many more frames of every camera are recorded in one of the folders."""
    before = recorded(folders)
    names = [f"cam-{n:03}" for n in range(CAMERAS)]

    def flows() -> bool:
        now = recorded(folders)
        return all(now[name] >= before[name] + more for name in names)

    wait_for(flows, what, WITHIN_S)


def add_cameras(site: Site, url: str, folder: Path) -> None:
    table = folder / "cameras.csv"
    rows = [f"cam-{n:03},{url}?camera={n}" for n in range(CAMERAS)]
    table.write_text("\n".join(["name,url", *rows]) + "\n")
    site.wait_registry()
    done = site.run("camera", "import", table)
    assert done.code == 0, done


def is_shared(site: Site) -> bool:
    shares = Counter(camera.node for camera in site.mesh.cameras())
    return set(shares) == set(CAPTURE) and max(shares.values()) <= 1.1 * CAMERAS / len(CAPTURE)


def are_all_on(site: Site, nodes: set[str]) -> bool:
    """Whether every camera is online, on one of these nodes, and each has some."""
    live = site.mesh.cameras()
    return (
        len(live) == CAMERAS
        and {camera.state for camera in live} == {CameraState.ONLINE}
        and {camera.node for camera in live} == nodes
    )


def wait_accounted(site: Site) -> dict[str, Any]:
    """Every camera's part of the ledger, once all streams have ended and drained."""

    def settled() -> dict[str, Any] | None:
        cameras = site.mesh.stats()["cameras"]
        groups = [camera["groups"].get(STAGE) for camera in cameras.values()]
        over = len(groups) == CAMERAS and all(
            g is not None
            and g["ended"]
            and not g["in_flight"]
            and not g["waiting"]
            and g["results"] == g["delivered"] + sum(g["undelivered"].values())
            for g in groups
        )
        return dict(cameras) if over else None

    found = site.wait_for(settled, "every camera's frames are accounted for", WITHIN_S)
    assert found is not None
    return found


def check_ledger(cameras: dict[str, Any]) -> Counter[str]:
    """Every frame of every camera is in exactly one place; the sums over all cameras."""
    sums: Counter[str] = Counter()
    for name, camera in cameras.items():
        group = camera["groups"][STAGE]
        placed = group["processed"] + sum(group["dropped"].values()) + group["lost"] + group["duplicates"]
        assert camera["unaccounted"] == 0, (name, camera)
        assert group["offered"] == camera["captured"], (name, camera)
        assert placed == group["offered"] + group["overlap"], (name, camera)
        sums.update(offered=group["offered"], delivered=group["delivered"], overlap=group["overlap"])
        sums.update({f"dropped {cause}": n for cause, n in group["dropped"].items()})
        sums.update({f"undelivered {cause}": n for cause, n in group["undelivered"].items()})
        sums.update(lost=group["lost"], duplicates=camera["duplicates"])
    return sums


def check_recordings(cameras: dict[str, Any], folders: list[Path]) -> None:
    """No folder holds a frame twice, and what was delivered is on a disk."""
    held: dict[str, set[tuple[int, int]]] = {name: set() for name in cameras}
    for folder in folders:
        lines = lines_of(folder)
        identities = [(line["camera"], line["boot"], line["seq"]) for line in lines]
        assert len(identities) == len(set(identities)), f"{folder.name} holds a frame twice"
        for camera, boot, seq in identities:
            held[camera].add((boot, seq))
    for name, camera in cameras.items():
        of_boot = sum(boot == camera["boot"] for boot, _ in held[name])
        group = camera["groups"][STAGE]
        assert of_boot >= group["delivered"] - group["overlap"], (name, camera)


@pytest.mark.timeout(400)
def test_a_fleet_that_loses_one_of_each_kind_flows_again_and_its_ledger_is_exact(tmp_path: Path) -> None:
    folders = {name: tmp_path / name for name in COLLECT}
    with MjpegServer(JPEGS, period_s=PERIOD_S) as server, Site(tmp_path) as site:
        add_cameras(site, server.url, tmp_path)
        nodes = {name: site.node("collect", "--into", folders[name], name=name) for name in COLLECT}
        nodes |= {name: site.node("process", STAGE, "--policy", "fifo", name=name) for name in PROCESS}
        nodes |= {name: site.node("capture", name=name) for name in CAPTURE}
        site.wait_nodes(*nodes)
        wait_flowing(list(folders.values()), FRAMES, "every camera is recorded")
        site.wait_for(lambda: is_shared(site), "each capture node has its share")

        killed_at = time.monotonic()
        for name in KILLED:
            nodes.pop(name).kill()
        wait_flowing([folders["right"]], 1, "every camera is recorded again")
        recovery_s = round(time.monotonic() - killed_at, 1)
        wait_flowing([folders["right"]], FRAMES, "every camera goes on")
        site.wait_for(lambda: are_all_on(site, {"c1", "c3"}), "those that live have all cameras")

        for name in ("c1", "c3"):
            assert nodes.pop(name).stop() == 0
        cameras = wait_accounted(site)
        sums = check_ledger(cameras)
        check_recordings(cameras, list(folders.values()))
        for name in nodes:
            assert nodes[name].stop() == 0, nodes[name].log
        row(
            f"one of each killed: {CAMERAS} cameras, 3 capture, 3 process, 2 collect",
            offered=sums["offered"],
            delivered=sums["delivered"],
            dropped={cause[8:]: n for cause, n in sums.items() if cause.startswith("dropped ") and n},
            lost=sums["lost"],
            duplicates=sums["duplicates"],
            recovery_s=recovery_s,
            overlap=sums["overlap"],
        )
