"""Detections drawn on a picture."""

from itertools import combinations

import numpy as np
import pytest

from mesh import codec
from mesh.codec import Image
from mesh.draw import annotated, place
from mesh.frame import Detection, Frame

WHOLE = 200, 100
SIZE = 60, 15


def showing(image: Image, *found: Detection) -> Frame:
    height, width = image.shape[:2]
    return Frame(
        camera="door",
        boot=1,
        seq=0,
        captured_ns=0,
        width=width,
        height=height,
        payload=codec.encode(image),
        detections=found,
    )


def test_a_label_stands_above_its_box_and_within_the_picture() -> None:
    assert place((40, 50, 90, 80), SIZE, WHOLE, []) == (40, 35, 100, 50)
    assert place((-5, -9, 20, 30), SIZE, WHOLE, []) == (0, 0, 60, 15)
    assert place((190, 50, 230, 120), SIZE, WHOLE, []) == (140, 35, 200, 50)
    assert place((0, 110, 9, 120), SIZE, WHOLE, []) == (0, 85, 60, 100)


def test_labels_do_not_cover_one_another() -> None:
    box = 40, 50, 90, 80
    taken = [place(box, SIZE, WHOLE, [])]
    for _ in range(4):
        taken.append(place(box, SIZE, WHOLE, taken))
    assert taken[1] == (40, 80, 100, 95), "below"
    assert all(a[3] <= b[1] or b[3] <= a[1] for a, b in combinations(taken, 2))
    full = [(0, 0, *WHOLE)]
    assert place(box, SIZE, WHOLE, full) == taken[0], "over others, where there is no room"


def test_a_label_is_drawn_on_a_ground_of_its_own() -> None:
    noise = np.random.default_rng(3).integers(0, 255, (100, 200, 3), dtype=np.uint8)
    found = Detection("person", 0.9, (40, 50, 50, 30), "model")
    drawn = annotated(showing(noise, found))
    ground = drawn[50 - 14 : 50 - 2, 40:100].reshape(-1, 3)
    colours, counts = np.unique(ground, axis=0, return_counts=True)
    assert counts.max() > len(ground) / 3
    assert colours[counts.argmax()].tolist() == drawn[80, 65].tolist(), "that of its box"


@pytest.mark.parametrize("side", [1e12, -1e300, float("inf"), float("nan")])
def test_a_box_may_be_anywhere(side: float) -> None:
    found = [Detection("a", 0.9, box) for box in ((side, 0, 9, 9), (0, side, 9, 9), (0, 0, side, side))]
    assert annotated(showing(np.full((2, 3, 3), 90, np.uint8), *found)).shape == (2, 3, 3)
