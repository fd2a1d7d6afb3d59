"""Scripts of a user's own, in this process, against nodes in theirs."""

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest

import mesh
from mesh import Detection, Frame, codec
from mesh.client import Subscription
from mesh.registry.records import CameraState
from tests.capture.sources.support import picture
from tests.e2e.site import SMALL, Site
from tests.support.waiting import PATIENCE_S, wait_for

DEPTH = 2000  # frames that wait for a script which is held up


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Camera `door`, and a stage `motion` of it."""
    with Site(tmp_path_factory.mktemp("site"), lasting=True) as site:
        site.capture(f"door={SMALL}")
        site.node("process", "motion", "--policy", "fifo", "--no-push")
        site.wait_for(lambda: site.group("door", "motion")["processed"], "motion runs")
        site.wait_for(lambda: len(site.mesh.streams()) == 2, "both streams are listed")
        yield site


@pytest.fixture
def m(site: Site) -> Iterator[mesh.Mesh]:
    with mesh.connect(site.url, timeout=PATIENCE_S) as m:
        yield m


def _next(frames: Subscription) -> Frame:
    frame = frames.get(60)
    assert frame is not None
    return frame


def _first(out: mesh.Publication, frames: Subscription) -> Frame:
    """Send until the subscription gets one: others may have subscribed to the stage before it did."""
    frame = wait_for(lambda: out.send(picture(0)) and frames.get(0), "the subscription is there")
    assert frame is not None
    return frame


def test_frames_come_with_their_pixels_and_annotations(m: mesh.Mesh) -> None:
    with m.subscribe("motion", "door") as frames:
        for number, frame in enumerate(frames):
            assert (frame.stage, frame.camera) == ("motion", "door")
            assert frame.image.shape == (240, 320, 3)
            assert frame.image.dtype == np.uint8
            assert frame.gray(160).shape == (120, 160)
            assert frame.jpeg[:2] == b"\xff\xd8"
            assert [hop.node for hop in frame.hops] == ["capture", "process"]
            assert [d for d in frame.detections if d.by == "truth"]
            if number == 5:
                break


def test_fifo_misses_nothing_and_latest_says_what_it_overwrote(m: mesh.Mesh) -> None:
    with m.subscribe("raw", "door", policy="fifo", depth=DEPTH) as fifo, m.subscribe("raw", "door") as latest:
        seqs = [_next(fifo).seq for _ in range(20)]
        assert seqs == list(range(seqs[0], seqs[0] + 20))
        wait_for(lambda: sum(count.dropped.get("overwritten", 0) for count in latest.counts()) > 5)
        newest = [_next(latest).seq, _next(latest).seq]
        assert newest[0] < newest[1]
        (count,) = latest.counts()
        assert count.offered == count.processed + sum(count.dropped.values()) + count.lost + count.in_flight


def test_frames_come_to_a_coroutine(m: mesh.Mesh) -> None:
    async def take(count: int) -> list[int]:
        seqs = []
        with m.subscribe("raw", "door", policy="fifo", depth=DEPTH) as frames:
            async for frame in frames:
                seqs.append(frame.seq)
                if len(seqs) == count:
                    break
        return seqs

    seqs = asyncio.run(asyncio.wait_for(take(10), 60))
    assert seqs == list(range(seqs[0], seqs[0] + 10))


def test_a_coroutine_that_is_cancelled_leaves_the_frames_to_the_next_reader(m: mesh.Mesh) -> None:
    async def give_up(frames: Subscription) -> None:
        async def read() -> None:
            async for _ in frames:
                pass

        reader = asyncio.create_task(read())
        await asyncio.sleep(0)
        reader.cancel()
        await asyncio.wait([reader])

    with m.subscribe("raw", "door", policy="fifo", depth=DEPTH) as frames:
        asyncio.run(give_up(frames))
        seqs = [_next(frames).seq for _ in range(5)]
        asyncio.run(give_up(frames))
        assert _next(frames).seq > seqs[-1] > seqs[0]


def test_a_subscription_without_a_camera_picks_up_one_that_appears_later(site: Site, m: mesh.Mesh) -> None:
    with m.subscribe("raw", policy="fifo", depth=DEPTH) as frames:
        assert _next(frames).camera == "door"
        late = site.capture(f"late={SMALL}", name="latecomer")
        seqs: list[int] = []
        while len(seqs) < 20:
            frame = _next(frames)
            if frame.camera == "late":
                seqs.append(frame.seq)
        assert seqs == list(range(seqs[0], seqs[0] + 20))
        assert late.stop() == 0


def test_until_end_ends_with_the_stream(site: Site, m: mesh.Mesh) -> None:
    with (
        mesh.connect(site.url, timeout=PATIENCE_S) as other,
        m.subscribe("raw", "brief", policy="fifo", depth=DEPTH, until_end=True) as frames,
    ):
        with other.publish("raw", "brief") as out:
            first = _first(out, frames)
            last = [out.send(picture(k)) for k in range(5)][-1]
        assert [frame.seq for frame in frames] == list(range(first.seq + 1, last.seq + 1))
        (count,) = frames.counts()
        assert (count.offered, count.lost, count.ended) == (last.seq + 1, 0, True)


def test_what_there_is(m: mesh.Mesh) -> None:
    cameras = {camera.name: camera for camera in m.cameras()}
    assert cameras["door"].state == "online"
    assert (cameras["door"].width, cameras["door"].height) == (320, 240)
    nodes = {node.id: node for node in m.nodes()}
    assert [nodes[name].kind for name in ("capture", "process")] == ["capture", "process"]
    assert {("raw", "door"), ("motion", "door")} <= {(s.stage, s.camera) for s in m.streams()}
    assert m.snapshot("door", timeout=60).image.shape == (240, 320, 3)
    assert m.snapshot("door", "motion", timeout=60).stage == "motion"
    with pytest.raises(mesh.NoFrame, match=r"there is no camera 'nobody'; cameras now: .*door"):
        m.snapshot("nobody", timeout=0.1)


def test_pixels_that_one_script_publishes_another_one_reads(site: Site, m: mesh.Mesh) -> None:
    found = Detection("blob", 0.75, (1.0, 2.0, 3.0, 4.0), "me", {"colour": "grey"})
    with (
        mesh.connect(site.url, timeout=PATIENCE_S) as other,
        other.publish("raw", "bench", quality=95) as out,
        m.subscribe("raw", "bench", policy="fifo", depth=DEPTH) as frames,
    ):
        first = _first(out, frames)
        sent = [out.send(picture(k), detections=[found]) for k in range(5)]
        got = [_next(frames) for _ in range(sent[-1].seq - first.seq)][-5:]
        assert [frame.identity for frame in got] == [frame.identity for frame in sent]
        assert [frame.jpeg for frame in got] == [codec.encode(picture(k), 95) for k in range(5)]
        assert {frame.boot for frame in got} == {out.boot}
        assert got[0].detections == (found,)
        assert np.abs(got[3].image.astype(int) - picture(3)).mean() < 3
        site.wait_camera("bench")
        out.close()
        site.wait_camera("bench", CameraState.ENDED)


def test_a_camera_that_a_node_captures_is_no_scripts_to_publish(m: mesh.Mesh) -> None:
    with pytest.raises(mesh.ConfigError, match="camera 'door' is captured already, by node 'capture'"):
        m.publish("raw", "door")


def test_a_stage_that_a_script_makes_keeps_identities_and_hops(site: Site, m: mesh.Mesh) -> None:
    with (
        m.subscribe("motion", "door", policy="fifo", depth=DEPTH) as frames,
        m.publish("inverted", "door") as out,
        m.subscribe("inverted", "door", policy="fifo", depth=DEPTH) as results,
    ):
        wait_for(lambda: out.listened_to)
        for _ in range(5):
            before = _next(frames)
            out.send(before.with_image(255 - before.image).annotate(inverted=True))
            after = _next(results)
            assert (after.stage, after.identity) == ("inverted", before.identity)
            assert after.captured_ns == before.captured_ns
            assert after.detections == before.detections
            assert after.attributes == {"inverted": True}
            assert after.hops[:2] == before.hops
            assert len(after.hops) == 3
            assert np.abs(after.image.astype(int) - (255 - before.image.astype(int))).mean() < 8


def test_straight_to_a_publisher_without_a_registry(site: Site) -> None:
    with (
        mesh.publish("tcp://127.0.0.1:*", "raw", "bench") as out,
        mesh.subscribe(out.endpoint, "raw", "bench", policy="fifo", depth=DEPTH, until_end=True) as frames,
    ):
        wait_for(lambda: out.listened_to)
        sent = [out.send(picture(k)).identity for k in range(5)]
        out.close()
        assert [frame.identity for frame in frames] == sent
    streams = site.mesh.streams()
    (endpoint,) = (
        stream.endpoint for stream in streams if (stream.stage, stream.camera) == ("motion", "door")
    )
    with mesh.subscribe(endpoint, "motion", "door") as frames:
        assert _next(frames).camera == "door"


def test_the_registry_is_taken_from_the_environment(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESH_REGISTRY", site.url)
    with mesh.connect() as m:
        assert "door" in {camera.name for camera in m.cameras()}
