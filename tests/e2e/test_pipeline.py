"""Capture, process and collect on real video: every frame is accounted for, and what is recorded plays."""

import signal
from pathlib import Path

import pytest

from tests.capture.sources.support import CLIP, CLIP_FRAMES, needs_clip
from tests.e2e.site import SMALL, Site, check_recording


@needs_clip
@pytest.mark.parametrize(
    ("lossless", "frames"),
    [(("--lossless",), CLIP_FRAMES), ((), 500)],
    ids=["lossless, whole clip", "as fast as it goes"],
)
def test_every_frame_of_a_clip_is_accounted_for_and_what_is_recorded_plays(
    tmp_path: Path, lossless: tuple[str, ...], frames: int
) -> None:
    with Site(tmp_path, lasting=True) as site:
        collect = site.collect()
        process = site.node("process", "motion", "--policy", "fifo")
        capture = site.capture(f"door={CLIP}", options=("--pace", "max", "--frames", frames, *lossless))
        assert capture.wait() == 0
        site.wait_settled("door")
        stats, resent = site.stats(), site.counters("process").get("resent", 0)
        for node in (process, collect):
            node.send(signal.SIGTERM)
        assert (process.wait(), collect.wait(), site.registry.stop()) == (0, 0, 0)
        door, motion = stats["door"], stats["door"]["groups"]["motion"]
        assert (door["captured"], door["unaccounted"]) == (frames, 0)
        assert door["duplicates"] <= resent, "a collector that is slow to answer gets results again"
        assert motion["processed"] + sum(motion["dropped"].values()) + motion["lost"] == frames
        assert motion["in_flight"] == 0
        if lossless:
            assert motion["processed"] == frames
        assert motion["results"] == motion["delivered"] == motion["processed"]
        lines = check_recording(site, "door", "motion")
        assert len(lines) == door["recorded"]["motion"] == motion["processed"]
        assert [line["seq"] for line in lines] == sorted({line["seq"] for line in lines})
        assert {line["boot"] for line in lines} == {door["boot"]}
        assert any(found["label"] == "motion" for line in lines for found in line["detections"])


def test_a_whole_stage_is_recorded_where_asked(tmp_path: Path) -> None:
    frames = 80
    with Site(tmp_path, lasting=True) as site:
        collect = site.collect("--input", "raw")
        site.wait_nodes("collect")
        capture = site.capture(f"hall={SMALL}&frames={frames}", options=("--pace", "max"))
        assert capture.wait() == 0
        site.wait_recorded("hall", "raw", frames)
        assert collect.stop() == 0
        hall = site.stats()["hall"]
        assert (hall["captured"], hall["recorded"], hall["unaccounted"]) == (frames, {"raw": frames}, 0)
        assert hall["groups"]["collect"]["processed"] == frames
        lines = check_recording(site, "hall", "raw")
        assert [line["seq"] for line in lines] == list(range(frames))
        assert {tuple(hop[0] for hop in line["hops"]) for line in lines} == {("capture", "collect")}


def _partitions(site: Site, stage: str) -> set[int]:
    return {stream.partitions for stream in site.mesh.streams() if stream.stage == stage}


def test_the_partitions_of_a_camera_pass_a_node_each_in_order_and_none_is_lost(tmp_path: Path) -> None:
    frames = 90
    with Site(tmp_path, lasting=True) as site:
        site.node("process", "passthrough", "--stage", "passed", "--no-push", "--workers", 2)
        site.wait_nodes("process")
        with site.mesh.subscribe("passed", "hall", "lossless", until_end=True) as subscription:
            options = ("--lossless", "--partitions", 3)
            site.capture(f"hall={SMALL}&frames={frames}", options=options)
            site.wait_for(lambda: _partitions(site, "passed") == {3}, "the stage is listed as it is")
            seqs = [frame.seq for frame in subscription if frame.partitions == 3]
            (count,) = subscription.counts()
        assert [[seq for seq in seqs if seq % 3 == number] for number in range(3)] == [
            list(range(number, frames, 3)) for number in range(3)
        ]
        assert {span[0]: span[2:] for span in count.spans} == dict.fromkeys(range(3), (0, frames // 3))
        site.wait_settled("hall")
        hall = site.stats()["hall"]
        assert (hall["groups"]["passed"]["processed"], hall["unaccounted"]) == (frames, 0)
