"""Synthetic cameras: what they say is in a picture is what is in it."""

from itertools import islice

import cv2
import numpy as np
import pytest

from mesh import codec
from nodes.capture.sources.base import SourceOptions
from nodes.capture.sources.catalog import open_source
from nodes.capture.sources.scene import (
    BACKGROUND_LEVELS,
    Scene,
    SceneOptions,
    bouncing,
    crossing,
    overlap,
    steps_taken,
)
from tests.capture.sources.support import grabs


def test_two_runs_are_the_same_to_the_byte_and_seeds_differ() -> None:
    url = "synthetic:?size=160x120&frames=20&seed=5"
    runs = [[grab.jpeg(80) for grab in grabs(url)] for _ in range(2)]
    assert runs[0] == runs[1]
    assert len(set(runs[0])) == 20
    assert [grab.jpeg(80) for grab in grabs(url.replace("seed=5", "seed=6"))] != runs[0]


def test_frames_times_and_loop() -> None:
    source = open_source("synthetic:?size=64x64&frames=5&fps=10")
    assert (source.live, source.fps) == (False, 10.0)
    assert [grab.pts_ns for grab in source] == [k * 100_000_000 for k in range(5)]
    looped = grabs("synthetic:?size=64x64&frames=5&fps=10", 12, loop=True)
    assert [grab.pts_ns for grab in looped] == [k * 100_000_000 for k in range(12)]
    assert looped[5].jpeg(80) == looped[0].jpeg(80)


def test_without_frames_it_ends_when_stopped() -> None:
    options = SourceOptions()
    pictures = iter(open_source("synthetic:?size=64x64", options))
    assert len(list(islice(pictures, 100))) == 100
    options.stop.set()
    assert list(pictures) == []


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("noise", [0, 30])
def test_a_box_is_exactly_the_pixels_that_differ(seed: int, noise: int) -> None:
    for objects in range(1, 4):
        scene = Scene(SceneOptions(size=(320, 240), objects=objects, seed=seed, noise=noise))
        for index in range(0, 200, 9):
            differs = (scene.draw(index) != scene.background(index)).all(axis=2)
            expected = np.zeros_like(differs)
            for (x, y, w, h), _ in scene.visible(index):
                expected[y : y + h, x : x + w] = True
            assert np.array_equal(differs, expected)


def test_objects_stand_out_even_in_noise() -> None:
    scene = Scene(SceneOptions(size=(320, 240), objects=4, noise=30))
    low, high = BACKGROUND_LEVELS
    for index in range(0, 100, 7):
        background, image = scene.background(index), scene.draw(index)
        assert background.min() >= low - 30
        assert background.max() <= high + 30
        for (x, y, w, h), _ in scene.visible(index):
            patch = image[y : y + h, x : x + w].astype(int)
            assert np.abs(patch - background[y : y + h, x : x + w]).min() >= 30


def test_detections_name_the_truth() -> None:
    seen: set[int] = set()
    counts: set[int] = set()
    for grab in grabs("synthetic:?size=320x240&objects=3&frames=400"):
        counts.add(len(grab.detections))
        for found in grab.detections:
            assert (found.label, found.score, found.by) == ("object", 1.0, "truth")
            x, y, w, h = found.box
            assert 0 <= x < x + w <= 320
            assert 0 <= y < y + h <= 240
            seen.add(found.attributes["id"])
    assert seen == {0, 1, 2}
    assert len(counts) > 1  # one of them leaves and comes again


def test_whole_objects_are_neither_cut_nor_covered() -> None:
    scene = Scene(SceneOptions(size=(320, 240), objects=5))
    for index in range(300):
        found = list(scene.visible(index))
        for k, (box, attributes) in enumerate(found):
            if attributes["whole"]:
                assert not any(overlap(box, other) for other, _ in found[k + 1 :])


def test_codes_can_be_read_where_the_truth_says_they_are() -> None:
    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
    markers, codes = cv2.aruco.ArucoDetector(dictionary), cv2.QRCodeDetector()
    read: set[str] = set()
    for grab in grabs("synthetic:?codes=1&objects=2&frames=60")[::20]:
        image = codec.decode_bgr(grab.jpeg(90), grab.width, grab.height)
        for found in (d for d in grab.detections if d.attributes["whole"]):
            x, y, w, h = (int(n) for n in found.box)
            patch = np.pad(image[y : y + h, x : x + w], ((20, 20), (20, 20), (0, 0)), constant_values=255)
            if found.attributes["code"] == "qr":
                text = codes.detectAndDecode(patch)[0]
            else:
                ids = markers.detectMarkers(patch)[1]
                text = str(int(np.ravel(ids)[0]))
            assert text == found.attributes["text"]
            read.add(found.attributes["code"])
    assert read == {"qr", "aruco"}


def test_paths() -> None:
    assert [steps_taken(k, moves=3, pauses=2) for k in range(8)] == [0, 1, 2, 3, 3, 3, 4, 5]
    assert [bouncing(at, 3) for at in range(8)] == [0, 1, 2, 3, 2, 1, 0, 1]
    assert bouncing(5, 0) == 0
    assert [crossing(at, width=4, own=1) for at in range(7)] == [-1, 0, 1, 2, 3, 4, -1]
