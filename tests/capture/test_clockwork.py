"""A clock that is set while cameras are captured: noticed once, told by the frames, and recorded."""

import logging
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mesh.client import Mesh, connect
from mesh.frame import Frame
from mesh.recordings.catalog import Catalog
from mesh.recordings.query import Query
from mesh.recordings.reading import open_recordings
from mesh.steps import Step, step_in
from nodes.capture.camera import CameraConfig, Pace
from nodes.capture.clockwork import TOLD_S, Clockwork, Look, Steps, looked
from nodes.capture.node import Capture
from nodes.collect.node import Collect, CollectConfig
from nodes.node import Node, NodeConfig, Work
from tests.collect.support import segments
from tests.support.clock import ManualClock, SetClock
from tests.support.waiting import wait_for

SECOND = 1_000_000_000
TINY = "synthetic:?size=32x32&fps=25&objects=0"


@pytest.mark.parametrize(
    ("passed_s", "wall_s", "set_s"),
    [
        (0.04, 0.04, 0.0),
        (0.04, 0.44, 0.0),  # less than a step
        (0.04, 0.64, 0.6),
        (0.04, -3599.96, -3600.0),
        (0.04, 86_400.04, 86_400.0),
        (3600.0, 3602.0, 0.0),  # slewed by 500 ppm
        (3600.0, 3605.0, 5.0),
    ],
)
def test_a_step_is_what_the_clocks_disagree_by(passed_s: float, wall_s: float, set_s: float) -> None:
    before = Look(1000 * SECOND, 50.0)
    now = looked(before, 1000 * SECOND + round(wall_s * SECOND), 50.0 + passed_s)
    assert now.set_s == pytest.approx(set_s, abs=0.001)


def test_a_clock_that_is_set_twice_tells_of_both() -> None:
    clock = ManualClock()
    work = Clockwork(clock)
    door, gate = Steps(work), Steps(work)
    assert door.look(0)[1] is None
    assert gate.look(0)[1] is None
    clock.set_wall_ns(clock.wall_ns() - 3600 * SECOND)
    assert door.look(1)[1] == Step(-3600.0, 1)
    clock.advance(1)
    assert door.look(2)[1] == Step(-3600.0, 1)
    clock.set_wall_ns(clock.wall_ns() + 7200 * SECOND)
    assert gate.look(1)[1] == Step(3600.0, 1)
    assert door.look(3)[1] == Step(7200.0, 3)
    clock.advance(TOLD_S)
    assert door.look(4)[1] is None
    assert work.counters() == {"clock_steps": 2}
    late = Steps(work)
    assert late.look(0)[1] is None


class Stopped(SetClock):
    """A process that is stopped for a while between its looks at two clocks, once."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    def monotonic(self) -> float:
        self.looks += 1
        return super().monotonic() + (60.0 if self.looks > 4 else 0.0)

    def wall_ns(self) -> int:
        return super().wall_ns() + (60 * SECOND if self.looks > 4 else 0)


def test_a_process_that_was_stopped_between_two_clocks_sees_no_step() -> None:
    clock = Stopped()
    work = Clockwork(clock)
    while clock.looks < 20:
        work.look()
    assert work.steps == 0


@contextmanager
def running(url: str, name: str, work: Work) -> Iterator[Node]:
    node = Node(work, NodeConfig(url, name, lease_s=60.0, drain_s=0.5))
    thread = threading.Thread(target=node.run, kwargs={"signals": False})
    thread.start()
    try:
        yield node
    finally:
        node.finish()
        thread.join()


@pytest.fixture
def mesh() -> Iterator[Mesh]:
    with connect(f"memory:{secrets.token_hex(4)}") as made:
        yield made


@pytest.mark.parametrize("set_s", [-3600.0, 86_400.0])
def test_a_step_is_in_the_frames_the_lines_and_the_index_and_their_order_stays(
    mesh: Mesh, tmp_path: Path, caplog: pytest.LogCaptureFixture, set_s: float
) -> None:
    clock = SetClock()
    caplog.set_level(logging.WARNING)
    cameras = Capture([CameraConfig("door", TINY), CameraConfig("gate", TINY)], clock)
    collect = Collect(CollectConfig(tmp_path, ("raw",)), clock)

    def recorded() -> dict[str, int]:
        return {count.camera: count.recorded for count in collect.stats().recorded}

    def grown_by(count: int) -> None:
        before = recorded()
        wait_for(lambda: all(recorded().get(c, 0) >= before.get(c, 0) + count for c in ("door", "gate")))

    with (
        running(mesh.registry.url, "rec", collect),
        running(mesh.registry.url, "cap", cameras),
    ):
        grown_by(3)
        clock.set_s = set_s
        grown_by(8)
        assert cameras.stats().counters["clock_steps"] == 1
    told = [record.message for record in caplog.records if "clock was set" in record.message]
    assert len(told) == 1
    assert ("forward by 1 day" if set_s > 0 else "back by 1:00:00") in told[0]
    with open_recordings(tmp_path) as recordings:
        frames = list(recordings.numbered("door"))
    assert [frame.seq for frame in frames] == list(range(frames[0].seq, frames[-1].seq + 1))
    steps = [frame for frame in frames if step_in(frame.attributes)]
    assert frames.index(steps[0]) >= 3
    (step,) = {step_in(frame.attributes) for frame in steps}
    assert step is not None
    assert step.seconds == pytest.approx(set_s, abs=0.1)
    assert step.seq == steps[0].seq
    assert steps == frames[-len(steps) :]
    jump_s = (steps[0].captured_ns - frames[frames.index(steps[0]) - 1].captured_ns) / SECOND
    assert jump_s == pytest.approx(set_s, abs=30)
    with Catalog(tmp_path) as catalog:
        found = catalog.events(Query(labels=("clock_step",)))
        assert {(event.camera, event.by) for event in found} == {("door", "clock"), ("gate", "clock")}
        door = next(event for event in found if event.camera == "door")
        assert (door.first_ns, door.frames) == (steps[0].captured_ns, len(steps))
    assert len(segments(tmp_path / "door")) == 2  # each is named by a time of its own


def test_what_is_replayed_makes_no_step(mesh: Mesh, tmp_path: Path) -> None:
    clock = SetClock()
    collect = Collect(CollectConfig(tmp_path, ("raw",)))
    config = CameraConfig("door", TINY, frames=20, lossless=True)  # so that the collector gets all of them
    with running(mesh.registry.url, "rec", collect):
        wait_for(lambda: "rec" in {node.id for node in mesh.nodes()})
        with running(mesh.registry.url, "cap", Capture([config])) as node:
            wait_for(node.finished.is_set)
        wait_for(lambda: collect.stats().recorded)
    again = CameraConfig("door", f"recording:{tmp_path}", stage="again", pace=Pace.MAX, lossless=True)
    replayed: list[Frame] = []
    with (
        mesh.subscribe("again", "door", "lossless", until_end=True) as subscription,
        running(mesh.registry.url, "play", Capture([again], clock)),
    ):
        for frame in subscription:
            replayed.append(frame)
            clock.set_s += 100.0
    assert len(replayed) == 20
    assert not any(frame.attributes for frame in replayed)
