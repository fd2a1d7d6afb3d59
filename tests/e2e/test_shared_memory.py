"""Shared memory between real nodes: who takes it by itself, and what a node that is killed leaves behind."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.frame import Codec
from mesh.shm import FOLDER, SUPPORTED
from tests.e2e.site import SMALL, Site

pytestmark = pytest.mark.skipif(not SUPPORTED, reason="rings need Linux's locks of open files")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path, lasting=True) as site:
        site.wait_registry()
        yield site


def test_a_chain_on_one_host_encodes_nothing_unless_somebody_wants_it(site: Site) -> None:
    capture = site.capture(f"door={SMALL}")
    site.wait_camera("door")
    assert (site.camera("door").width, site.camera("door").height) == (320, 240)
    with site.mesh.subscribe("passthrough", "door") as results:
        worker = site.node("process", "passthrough", "--no-push")
        got = [results.get(60) for _ in range(5)]
        assert {frame.codec for frame in got if frame} == {Codec.RAW}
        assert {frame.image.shape for frame in got if frame} == {(240, 320, 3)}
        assert not any(frame.image.flags.writeable for frame in got if frame)
        for node in ("capture", "process"):
            site.wait_for(lambda node=node: site.counters(node)["shm_shared"] > 0, f"{node} shares pixels")  # type: ignore[misc]
            assert not site.counters(node).keys() & {"encoded", "frame_sent", "shm_busy", "shm_no_ring"}
        with site.mesh.subscribe("raw", "door", view="frame") as encoded:
            frame = encoded.get(60)
            assert frame is not None
            assert frame.codec is Codec.JPEG
            site.wait_for(lambda: site.counters("capture")["encoded"] > 0, "pictures are encoded")
            assert "encoded" not in site.counters("process")
    assert capture.stop() == 0
    site.wait_settled("door")
    assert worker.stop() == 0
    count = site.count("door")
    group = count["groups"]["passthrough"]
    assert group["processed"] + sum(group["dropped"].values()) + group["lost"] == count["captured"]
    assert not group["lost"]
    assert not count["unaccounted"]


def test_a_processor_that_pushes_takes_the_cameras_encoding(site: Site) -> None:
    site.collect()
    site.node("process", "passthrough")
    site.wait_nodes("collect", "process")
    assert site.capture(f"door={SMALL}", options=("--frames", 20, "--pace", "max")).wait() == 0
    site.wait_recorded("door", "passthrough", 5)
    assert not site.counters("capture").keys() & {"shm_shared", "shm_sent"}


def test_what_a_killed_node_leaves_behind_is_removed_by_the_next(site: Site) -> None:
    first = site.capture(f"door={SMALL}")
    with site.mesh.subscribe("raw", "door") as frames:
        held = frames.get(60)
        assert held is not None
        before = set(held.image[0, 0].tolist())
        left = {path for path in FOLDER.glob("framemesh-*") if _is_open_in(path, first.popen.pid)}
        assert len(left) == 1
        first.kill()
        assert set(held.image[0, 0].tolist()) == before
        site.capture(f"gate={SMALL}", name="capture-2")
        with site.mesh.subscribe("raw", "gate") as others:
            assert others.get(60) is not None
        assert not any(path.exists() for path in left)
        assert set(held.image[0, 0].tolist()) == before


def test_a_view_that_is_none_is_refused(site: Site) -> None:
    done = site.run("node", "process", "passthrough", "--view", "meta")
    assert done.code == 2
    assert done.last_line.endswith("--view 'meta' is none: use auto, frame or shm")


def _is_open_in(path: Path, pid: int) -> bool:
    links = Path(f"/proc/{pid}/fd").iterdir()
    return any(link.is_symlink() and link.resolve() == path for link in links)
