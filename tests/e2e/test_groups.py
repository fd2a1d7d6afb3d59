"""Process nodes of one group share the work; who joins, leaves or dies changes who has what, and no more."""

from collections import Counter
from pathlib import Path
from typing import Any

from mesh.registry import open_registry
from mesh.registry.records import GroupRecord
from tests.e2e.site import Site, check_recording
from tests.faults.settled import wait_accounted

STAGE = "passthrough"
CAMERAS = ("door", "hall", "roof", "yard")
LOSSLESS = ("--pace", "max", "--lossless")
ALL = {*(f"{camera}/0" for camera in CAMERAS), *(f"wide/{number}" for number in range(4))}


def worker(site: Site, name: str, *options: object) -> Any:
    return site.node("process", STAGE, "--policy", "fifo", *options, name=name)


def shares(site: Site) -> dict[str, set[str]]:
    """What each member of the group lists."""
    with open_registry(site.url) as registry:
        records = [GroupRecord.of(entry) for entry in registry.list(f"groups/{STAGE}/")]
    return {record.node: set(record.holds) for record in records}


def wait_shared(site: Site, *names: str, keys: set[str] = ALL) -> dict[str, set[str]]:
    """Wait until these members, and nobody else, have each of `keys` once."""

    def shared() -> dict[str, set[str]] | None:
        found = shares(site)
        held = Counter(key for keys in found.values() for key in keys)
        alone = set(found) == set(names) and all(found.values())
        return found if alone and held == Counter(dict.fromkeys(keys, 1)) else None

    found = site.wait_for(shared, f"{names} share {len(keys)} partitions")
    assert found is not None
    return found


def capture(site: Site, frames: int, fps: int = 20) -> None:
    source = f"synthetic:?size=160x120&fps={fps}&frames={frames}"
    site.capture(*(f"{camera}={source}" for camera in CAMERAS), name="four")
    site.capture(f"wide={source}", name="wide", options=("--partitions", 4))


def test_members_share_cameras_and_partitions_as_they_join_drain_and_die(tmp_path: Path) -> None:
    frames = 150
    with Site(tmp_path) as site:
        site.collect()
        first, second = worker(site, "one"), worker(site, "two")
        site.wait_nodes("collect", "one", "two")
        capture(site, frames)
        wait_shared(site, "one", "two")
        worker(site, "three")
        wait_shared(site, "one", "two", "three")
        assert first.stop() == 0
        wait_shared(site, "two", "three")
        before = {camera: site.count(camera)["captured"] for camera in (*CAMERAS, "wide")}
        second.kill()
        wait_shared(site, "three")
        for camera in (*CAMERAS, "wide"):
            wait_accounted(site, camera)
        for camera, seen in before.items():
            group = site.count(camera)["groups"][STAGE]
            assert site.count(camera)["unaccounted"] == 0
            assert set(group["dropped"]) <= {"before_join", "died"}, camera
            seqs = [line["seq"] for line in check_recording(site, camera, STAGE)]
            assert len(set(seqs)) == len(seqs), "each once"
            assert set(range(group["dropped"].get("before_join", 0), seen)) - set(seqs) == set()
