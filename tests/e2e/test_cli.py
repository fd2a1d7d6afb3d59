"""What the commands answer: listings, counters, pictures, for people and for programs."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

import mesh
from mesh import codec
from mesh.presence import this_version
from tests.capture.sources.support import picture
from tests.e2e.site import SMALL, Site
from tests.support.mjpeg_server import MjpegServer
from tests.support.waiting import PATIENCE_S

PATIENT = ("--timeout", 60)
JPEGS = [codec.encode(picture(k, 160, 120), 90) for k in range(5)]

KINDS = ["capture", "collect", "process"]
CAMERAS = ["gate", "yard"]
STREAMS = 8  # two cameras and two stages, each relayed
NODE = {"id", "kind", "group", "host", "pid", "state", "endpoints"}
CAMERA = {"name", "source", "state", "node", "codec", "width", "height", "fps"}
STREAM = {"stage", "camera", "node", "endpoint"}
COUNT = {"boot", "captured", "groups", "recorded", "duplicates", "unaccounted"}
GROUP = {"processed", "dropped", "lost", "in_flight"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Camera `gate` with known JPEGs, camera `yard` with moving objects, motion, and a collector.

    The tests come in any order: what one of them adds, others see, or see that it has ended.
    """
    with MjpegServer(JPEGS) as server, Site(tmp_path_factory.mktemp("site"), lasting=True) as site:
        site.collect("--input", "raw")
        site.node("process", "motion", "--policy", "fifo")
        site.capture(f"gate={server.url}", f"yard={SMALL}&objects=3", options=("--fps", 30))
        for camera in ("gate", "yard"):
            site.wait_recorded(camera, "motion", 5)
            site.wait_recorded(camera, "raw", 5)
        site.wait_for(lambda: site.camera("gate").fps and site.camera("yard").fps, "rates are measured")
        site.wait_for(lambda: len(site.mesh.streams()) == STREAMS, "all streams are listed")
        yield site


def test_ls_json_has_the_fields_that_scripts_rely_on(site: Site) -> None:
    found = site.ls()
    assert set(found) == {"nodes", "cameras", "streams"}
    nodes = {row["id"]: row for row in found["nodes"] if row["id"] in KINDS}
    assert [(name, row["kind"]) for name, row in nodes.items()] == [(kind, kind) for kind in KINDS]
    assert set(nodes["collect"]["endpoints"]) == {"pub", "pull", "control"}
    assert {"gate", "yard"} <= set(nodes["capture"]["has"])
    site.wait_for(
        lambda: {"gate/0", "yard/0"} <= {key for row in site.ls()["nodes"] for key in row["has"]},
        "what the members of a group have is listed",
    )
    for row in nodes.values():
        assert set(row) >= NODE
        assert row["state"] == "running"
        assert row["pid"] > 0
        assert all(endpoint.startswith("tcp://127.0.0.1:") for endpoint in row["endpoints"].values())
    cameras = {row["name"]: row for row in found["cameras"] if row["name"] in CAMERAS}
    assert list(cameras) == CAMERAS
    for row in cameras.values():
        assert set(row) >= CAMERA
        assert (row["state"], row["node"]) == ("online", "capture")
    assert [cameras["gate"][key] for key in ("codec", "width", "height")] == ["mjpeg", 160, 120]
    assert [cameras["yard"][key] for key in ("width", "height")] == [320, 240]
    streams = {(row["stage"], row["camera"], row["node"]) for row in found["streams"]}
    assert {
        ("raw", "gate", "capture"),
        ("motion", "yard", "process"),
        ("motion", "yard", "collect"),
    } <= streams
    assert all(set(row) >= STREAM for row in found["streams"])


def test_ls_for_people_is_a_line_for_each(site: Site) -> None:
    done = site.run("ls")
    rows = [line.split("\t") for line in done.out.splitlines()]
    assert done.code == 0
    assert done.err == ""
    assert [row[1] for row in rows if row[0] == "nodes" and row[1] in KINDS] == KINDS
    cameras = [row[1:3] for row in rows if row[0] == "cameras" and row[1] in CAMERAS]
    assert cameras == [["gate", "online"], ["yard", "online"]]
    assert ["raw", "gate", "capture"] in [row[1:4] for row in rows if row[0] == "streams"]


def test_ls_watch_tells_what_comes_and_what_goes(site: Site) -> None:
    watching = site.processes.start("ls", "--watch", "--registry", site.url, name="watch")
    site.wait_for(lambda: "nodes\tcapture\t" in watching.out, "the nodes that are there are told")
    late = site.capture(f"late={SMALL}", name="latecomer")
    site.wait_for(lambda: "cameras\tlate\tonline\t" in watching.out, "the new camera is told")
    assert late.stop() == 0
    site.wait_for(
        lambda: "gone\tnodes\tlatecomer\t" in watching.out and "cameras\tlate\tended" in watching.out,
        "its end is told",
    )
    assert watching.stop(signal.SIGINT) == 130
    assert watching.log == ""


def test_stats_json_has_the_fields_that_scripts_rely_on(site: Site) -> None:
    cameras = site.stats()
    assert set(CAMERAS) <= set(cameras)
    for name in CAMERAS:
        count = cameras[name]
        assert set(count) >= COUNT
        assert set(count["recorded"]) == {"raw", "motion"}
        assert set(count["groups"]) == {"motion", "collect"}
        assert count["duplicates"] <= site.counters("process").get("resent", 0)
        assert count["unaccounted"] == 0
        for found in count["groups"].values():
            assert set(found) >= GROUP
            whole = found["processed"] + sum(found["dropped"].values()) + found["lost"] + found["in_flight"]
            assert whole == found["offered"]


def test_stats_for_people_is_a_line_for_each(site: Site) -> None:
    done = site.run("stats")
    rows = [line.split("\t") for line in done.out.splitlines()]
    assert done.code == 0
    assert {row[1] for row in rows if row[0] == "cameras"} >= {"gate", "yard"}
    assert {(row[1], row[2]) for row in rows if row[0] == "groups"} >= {
        ("gate", "motion"),
        ("yard", "collect"),
    }


def test_a_snapshot_is_the_cameras_own_jpeg_or_a_png_of_it(site: Site, tmp_path: Path) -> None:
    jpg, png, boxes = (tmp_path / name for name in ("gate.jpg", "gate.png", "yard.jpg"))
    assert site.run("snapshot", "gate", jpg, *PATIENT).code == 0
    assert jpg.read_bytes() in JPEGS
    assert site.run("snapshot", "gate", png, *PATIENT).code == 0
    image = cv2.imread(str(png))
    assert image is not None
    assert any(np.array_equal(image, codec.decode_bgr(jpeg, 160, 120)) for jpeg in JPEGS)
    assert site.run("snapshot", "yard", boxes, "--stage", "motion", "--boxes", *PATIENT).code == 0
    drawn = cv2.imread(str(boxes))
    assert drawn is not None
    assert drawn.shape == (240, 320, 3)
    assert not [file for file in tmp_path.iterdir() if file not in (jpg, png, boxes)]


def test_a_snapshots_boxes_are_drawn(site: Site, tmp_path: Path) -> None:
    plain, boxes = tmp_path / "plain.png", tmp_path / "boxes.png"
    with mesh.connect(site.url, timeout=PATIENCE_S) as here:
        found = here.snapshot("yard", timeout=60)
    with Site(tmp_path) as still, still.publish("raw", "still") as out:
        running = [
            still.processes.start("snapshot", "still", file, *options, *PATIENT, "--registry", still.url)
            for file, options in ((plain, ()), (boxes, ("--boxes",)))
        ]

        def sent_and_taken() -> bool:
            out.send(found.image, detections=found.detections)
            return not any(process.alive for process in running)

        still.wait_for(sent_and_taken, "both snapshots are taken")
        assert [process.wait() for process in running] == [0, 0]
    assert found.detections
    images = [cv2.imread(str(file)) for file in (plain, boxes)]
    assert images[0] is not None
    assert images[1] is not None
    changed = np.any(images[0] != images[1], axis=2)
    x, y, width, _ = (round(side) for side in found.detections[0].box)
    assert changed[y, x : x + width].mean() > 0.9
    assert 0 < changed.mean() < 0.5


def test_view_saves_pictures_where_there_is_no_display(site: Site, tmp_path: Path) -> None:
    options = ("--frames", 4, "--no-boxes", *PATIENT)
    done = site.run("view", "raw/gate", "--save", tmp_path / "pictures", *options)
    assert done.code == 0
    files = [Path(line) for line in done.out.splitlines()]
    assert sorted(files) == sorted((tmp_path / "pictures").iterdir())
    assert len(files) == 4
    assert all(file.read_bytes() in JPEGS for file in files)


def test_the_version_is_the_distributions(site: Site) -> None:
    done = site.processes.run("version")
    assert (done.code, done.out) == (0, f"mesh {this_version()}\n")


def test_logs_are_json_lines_where_asked(site: Site) -> None:
    options = ("--input", "nothing", "--log-json", "--log-level", "debug")
    node = site.node("process", "passthrough", *options, name="logged")
    site.wait_nodes("logged")
    assert node.stop() == 0
    lines = [json.loads(line) for line in node.log.splitlines()]
    assert all(set(line) >= {"time", "level", "logger", "message"} for line in lines)
    assert any("logged is running" in line["message"] for line in lines)
