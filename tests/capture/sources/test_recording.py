"""Recordings as a source: frames with their own numbers and times, published again."""

import secrets
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from mesh.client import connect
from mesh.errors import ConfigError, MeshError, SourceRefused
from mesh.frame import Frame
from nodes.capture.camera import CameraConfig, Pace
from nodes.capture.node import Capture
from nodes.capture.sources.base import SourceOptions
from nodes.capture.sources.catalog import check_source, open_source
from nodes.capture.sources.jpegs import FrameGrab
from nodes.capture.sources.recording import GAP_NS
from nodes.node import Node, NodeConfig
from tests.recordings.support import SECOND_NS, START_NS, STEP_NS, make, record, rich, same

HOUR_NS = 3600 * SECOND_NS


def grabs(url: str) -> list[FrameGrab]:
    source = open_source(url)
    try:
        return [grab for grab in source if isinstance(grab, FrameGrab)]
    finally:
        source.close()


@pytest.fixture
def odd(tmp_path: Path) -> list[Frame]:
    """What a folder holds whose camera's clock was set back, and which began anew, by its capture's order."""
    back = [rich(seq, captured_ns=START_NS - HOUR_NS + seq * STEP_NS) for seq in range(30, 50)]
    later = [rich(seq, boot=8, captured_ns=START_NS - 2 * HOUR_NS + seq * STEP_NS) for seq in range(100, 120)]
    return record(tmp_path / "rec", [*map(rich, range(30)), *back, *later])


def test_pictures_are_the_frames_that_were_recorded_in_the_order_of_their_numbers(
    tmp_path: Path, odd: list[Frame]
) -> None:
    got = grabs(f"recording:{tmp_path / 'rec'}")
    assert all(same(grab.frame, frame) for grab, frame in zip(got, odd, strict=True))
    assert [grab.jpeg(1) for grab in got] == [frame.payload for frame in odd]
    assert [grab.detections for grab in got] == [frame.detections for frame in odd]


def test_they_are_due_as_they_were_captured_but_for_long_gaps(tmp_path: Path, odd: list[Frame]) -> None:
    due = [grab.pts_ns for grab in grabs(f"recording:{tmp_path / 'rec'}")]
    assert due[:30] == [seq * STEP_NS for seq in range(30)]
    assert due[30] == due[29]  # the clock was set back
    gap = [
        make(0),
        make(1, captured_ns=START_NS + HOUR_NS),
        make(2, captured_ns=START_NS + HOUR_NS + STEP_NS),
    ]
    record(tmp_path / "gap", gap)
    assert [grab.pts_ns for grab in grabs(f"recording:{tmp_path / 'gap'}")] == [0, GAP_NS, GAP_NS + STEP_NS]


def test_a_part_of_what_there_is(tmp_path: Path) -> None:
    frames = [
        make(seq, camera=name, stage=s) for seq in range(60) for name in ("a", "b") for s in ("raw", "x")
    ]
    record(tmp_path, frames)
    times = "from=2026-10-14T17:46:41Z&to=2026-10-14T18:46:41.5%2B01:00"
    for url in (f"{times}&camera=b&stage=x", f"{times.replace('%2B', '+')}&camera=b&stage=x"):
        got = [grab.frame for grab in grabs(f"recording:{tmp_path}?{url}")]
        assert {(frame.camera, frame.stage) for frame in got} == {("b", "x")}
        assert [frame.seq for frame in got] == list(range(22, 35))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("recording:", "names no folder"),
        ("recording:DIR?from=soon", "is no time"),
        ("recording:DIR?camera=No!", "name"),
        ("recording:DIR?until=now", "no option 'until'; the options here are camera, from, to, stage"),
    ],
)
def test_what_can_be_seen_to_be_wrong_is_refused_before_anything_is_opened(url: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        check_source(url)


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    record(tmp_path, [make(0, camera=name) for name in ("a", "b")])
    for url, said in (
        (f"{tmp_path}/nowhere", "no such folder"),
        (f"{tmp_path}", "say which camera with .camera=NAME; it has: a, b"),
        (f"{tmp_path}?camera=c", "no recording of camera 'c'"),
        (f"{tmp_path}?camera=a&to=2020-01-01", "no frame of these times"),
    ):
        with pytest.raises(SourceRefused, match=said):
            open_source(f"recording:{url}")
    with pytest.raises(SourceRefused, match="leave out --loop"):
        open_source(f"recording:{tmp_path}?camera=a", SourceOptions(loop=True))


def replayed(config: CameraConfig, stage: str, policy: str) -> tuple[list[Frame], Capture, dict[str, int]]:
    """What a subscriber gets of a node that replays, to its end; the node's work, and what was dropped."""
    url = f"memory:{secrets.token_hex(4)}"
    work = Capture([config])
    node = Node(work, NodeConfig(url, "cap", drain_s=5))
    failed: list[MeshError] = []

    def run() -> None:
        try:
            node.run(signals=False)
        except MeshError as error:
            failed.append(error)

    with connect(url) as mesh, mesh.subscribe(stage, config.name, policy=policy, until_end=True) as frames:
        thread = threading.Thread(target=run, name="replay")
        thread.start()
        try:
            got = list(frames)
            (count,) = frames.counts()[-1:]
        finally:
            node.finish()
            thread.join()
    assert not failed
    return got, work, dict(count.dropped)


def test_two_replays_give_the_same_frames_in_the_same_order(tmp_path: Path, odd: list[Frame]) -> None:
    config = CameraConfig(
        "front", f"recording:{tmp_path / 'rec'}", lossless=True, pace=Pace.MAX, stage="again"
    )
    runs = [replayed(config, "again", "lossless") for _ in range(2)]
    for got, work, dropped in runs:
        assert [f.identity for f in got] == [f.identity for f in odd]
        assert all(f.hops[:2] == o.hops and f.hops[2].node == "cap" for f, o in zip(got, odd, strict=True))
        as_recorded = [without_way(frame, "motion") for frame in got]
        assert all(same(one, without_way(o, "motion")) for one, o in zip(as_recorded, odd, strict=True))
        assert not dropped
        (count,) = work.stats().cameras
        assert (count.boot, count.captured, count.stage, count.ended) == (8, 20, "again", True)


def test_the_age_of_recorded_frames_does_not_make_them_stale(tmp_path: Path) -> None:
    record(tmp_path, map(make, range(60)))
    config = CameraConfig("yard", f"recording:{tmp_path}?camera=front", pace=Pace.MAX)
    got, _, dropped = replayed(config, "raw", "latest")
    assert {frame.camera for frame in got} == {"yard"}
    assert set(dropped) <= {"overwritten"}
    assert len(got) + sum(dropped.values()) == 60


def test_a_scaled_replay_has_its_boxes_scaled(tmp_path: Path) -> None:
    (sent,) = record(tmp_path, [rich(0)])
    config = CameraConfig("front", f"recording:{tmp_path}", size=(48, 32), lossless=True, pace=Pace.MAX)
    ((got,), _, _) = replayed(config, "raw", "lossless")
    assert (got.width, got.height, got.identity) == (48, 32, sent.identity)
    assert got.detections[0].box == tuple(side / 2 for side in sent.detections[0].box)


def without_way(frame: Frame, stage: str) -> Frame:
    """A frame without what says by whom and how it came."""
    return replace(frame, hops=(), stage=stage, received_ns=0, lossless=False)
