"""Process nodes with processors of a user's own: loaded by name, failing, chained, hurried, shared."""

from pathlib import Path

import pytest

from mesh.registry.records import NodeState
from tests.capture.sources.support import picture
from tests.e2e.site import SMALL, Site, check_recording

MINE = '''
"""Processors as a user may write them, in the working directory."""

import threading
from pathlib import Path

from mesh import Detection

both = threading.Barrier(2)


class Label:
    """Adds a detection with a name of the user's choice."""
    def __init__(self, name: str = "none") -> None:
        self.name = name
    def __call__(self, frame):
        return frame.annotate(Detection(self.name, 0.5, (1, 2, 3, 4), "label"), sevens=frame.seq % 7 == 0)


def odd_only(frame):
    """Drops every other frame on purpose."""
    return frame if frame.seq % 2 else None


class Fragile:
    """Raises at frame 7, and from frame 20 on until a file `mended` is there."""
    def __call__(self, frame):
        if frame.seq == 7 or frame.seq >= 20 and not Path("mended").exists():
            raise ValueError(f"cannot bear frame {frame.seq}")
        return frame


class Slow:
    """Takes its time."""
    def __init__(self, seconds: float = 0.1) -> None:
        self.seconds = seconds
    def __call__(self, frame):
        threading.Event().wait(self.seconds)
        return frame


class Together:
    """Its first call returns only while another camera's is being made, too."""
    def __init__(self) -> None:
        self.met = False
    def __call__(self, frame):
        if not self.met:
            both.wait(60)
            self.met = True
        return frame
'''


FRAGILE = 50  # frames are sent before it is mended: the first 20 but one pass


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path


def test_a_processor_from_the_working_directory(folder: Path) -> None:
    with Site(folder, lasting=True) as site:
        site.collect()
        site.node("process", "mine:Label:name=cat", "mine:odd_only", "--policy", "fifo", cwd=folder)
        site.wait_nodes("collect", "process")
        site.capture(f"door={SMALL}&frames=40", options=("--pace", "max"))
        site.wait_settled("door")
        site.wait_recorded("door", "label-odd_only", 20)
        door = site.stats()["door"]
        found = door["groups"]["label-odd_only"]
        assert (found["processed"], found["results"], found["delivered"]) == (40, 20, 20)
        lines = check_recording(site, "door", "label-odd_only")
        assert [line["seq"] for line in lines] == list(range(1, 40, 2))
        for line in lines:
            boxes = [(d["label"], d["score"], d["box"]) for d in line["detections"] if d.get("by") == "label"]
            assert boxes == [("cat", 0.5, [1, 2, 3, 4])]
            assert line["attributes"] == {"sevens": line["seq"] % 7 == 0}


def test_a_processor_that_raises_costs_its_frame_alone_and_degrades_its_node(folder: Path) -> None:
    failed = FRAGILE - 19
    with Site(folder, lasting=True) as site, site.publish("raw", "door") as out:
        process = site.node("process", "mine:Fragile", "--policy", "fifo", cwd=folder)
        site.wait_for(lambda: out.listened_to, "the node subscribes")
        for k in range(23):
            out.send(picture(k))
        site.wait_nodes("process", state=NodeState.DEGRADED)
        for k in range(23, FRAGILE):
            out.send(picture(k))
        last = f"mine:Fragile: ValueError: cannot bear frame {FRAGILE - 1}"
        site.wait_for(lambda: last in site.listed("process").why, "it is said which frame was the last")
        (node,) = (row for row in site.ls()["nodes"] if row["id"] == "process")
        assert node["state"] == "degraded"
        assert last in node["why"]
        site.wait_for(
            lambda: site.group("door", "fragile")["dropped"] == {"processor": failed}, "they failed"
        )
        assert site.group("door", "fragile")["processed"] == 19
        (folder / "mended").touch()
        out.send(picture(FRAGILE))
        site.wait_nodes("process")
        assert process.stop() == 0
        found = site.stats()["door"]["groups"]["fragile"]
        assert (found["processed"], found["dropped"], found["lost"]) == (20, {"processor": failed}, 0)
        assert 0 < process.log.count("cannot bear frame") < failed / 2, "not of each"
        assert "Traceback" not in process.log


def test_process_nodes_chain_and_only_the_last_one_pushes(folder: Path) -> None:
    with Site(folder, lasting=True) as site:
        site.collect()
        chain = ("--policy", "fifo")
        site.node("process", "passthrough", "--input", "first", "--stage", "second", *chain, name="b")
        site.node("process", "passthrough", "--stage", "first", "--no-push", *chain, name="a")
        site.wait_nodes("collect", "a", "b")
        # Lossless: the first frames wait until the second node has found the first one's stream.
        site.capture(f"door={SMALL}&frames=60", options=("--lossless",))
        site.wait_settled("door", groups=2)
        site.wait_recorded("door", "second", 1)
        door = site.stats()["door"]
        first, second = door["groups"]["first"], door["groups"]["second"]
        assert (first["stage"], second["stage"]) == ("raw", "first")
        assert first["processed"] == second["offered"] == second["delivered"] == door["recorded"]["second"]
        assert door["unaccounted"] == 0
        assert list(door["recorded"]) == ["second"]
        lines = check_recording(site, "door", "second")
        assert {tuple(hop[0] for hop in line["hops"]) for line in lines} == {("capture", "a", "b", "collect")}
        for line in lines:
            times = [time for _, received, sent in line["hops"] for time in (received, sent)]
            assert times == sorted(times)
            assert line["captured_ns"] <= times[0]


def _has_dropped(site: Site, group: str, cause: str) -> bool:
    """Whether a group has worked on frames, and dropped others for that reason."""
    found = site.group("door", group)
    return bool(found["processed"] and found["dropped"].get(cause))


def test_latest_overwrites_and_max_age_expires_what_a_slow_processor_cannot_take(folder: Path) -> None:
    causes = {"newest": "overwritten", "young": "expired", "short": "overflow"}
    with Site(folder, lasting=True) as site:
        slow = ("process", "mine:Slow", "--no-push")
        site.node(*slow, "--stage", "newest", "--max-age", 0, name="newest", cwd=folder)
        young = ("--policy", "fifo", "--max-age", 0.2, "--depth", 2000)
        site.node(*slow, "--stage", "young", *young, name="young", cwd=folder)
        site.node(*slow, "--stage", "short", "--policy", "fifo", "--depth", 2, name="short", cwd=folder)
        capture = site.capture(f"door={SMALL}")
        for name, cause in causes.items():
            site.wait_for(lambda n=name, c=cause: _has_dropped(site, n, c), f"{name} drops what is {cause}")  # type: ignore[misc]
        assert capture.stop() == 0
        site.wait_settled("door", groups=3)
        door = site.stats()["door"]
        for name, cause in causes.items():
            found = door["groups"][name]
            assert set(found["dropped"]) <= {cause, "before_join"}, name
            sums = found["processed"] + sum(found["dropped"].values()) + found["lost"]
            assert sums == door["captured"], name
        assert door["unaccounted"] == 0


def test_workers_take_several_cameras_at_the_same_time(folder: Path) -> None:
    with Site(folder, lasting=True) as site:
        site.node("process", "mine:Together", "--workers", 2, "--policy", "fifo", cwd=folder)
        site.collect()
        site.wait_nodes("process", "collect")
        site.capture(f"door={SMALL}&frames=30", f"yard={SMALL}&frames=30", options=("--pace", "max"))
        for camera in ("door", "yard"):
            site.wait_settled(camera)
            found = site.stats()[camera]["groups"]["together"]
            assert found["processed"] + found["dropped"].get("before_join", 0) == 30
            assert not set(found["dropped"]) - {"before_join"}
            seqs = [line["seq"] for line in check_recording(site, camera, "together")]
            assert seqs == list(range(30 - found["processed"], 30))
