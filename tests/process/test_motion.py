"""Motion against scenes whose moving objects are known, and against real video."""

import numpy as np
import pytest

from mesh.frame import Frame
from nodes.capture.sources.base import SourceOptions
from nodes.capture.sources.synthetic import open_synthetic
from nodes.process.processors.boxes import Box, merged
from nodes.process.processors.motion import Motion
from nodes.process.processors.regions import Region
from tests.process.support import Truth, background, clip_frames, frame, iou, moving, noisy

WARMUP = 30


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_finds_what_moves_and_little_else(seed: int) -> None:
    motion, found, objects, false = Motion(warmup=WARMUP), 0, 0, 0
    for picture, truth in moving(150, seed):
        seen = motion(picture).detections
        if picture.seq < WARMUP:
            assert not seen
            continue
        objects += len(truth)
        found += sum(any(iou(box, each.box) >= 0.3 for each in seen) for box in truth)
        false += sum(all(iou(box, each.box) < 0.3 for box in truth) for each in seen)
    assert found / objects >= 0.9
    assert false <= 0.05 * objects


@pytest.mark.parametrize("seed", [3, 7, 8])
def test_finds_the_objects_of_a_synthetic_camera(seed: int) -> None:
    """They start inside the picture, move slowly, and pause; those that touch another are one silhouette."""
    source = open_synthetic(f"synthetic:?seed={seed}&frames=250", SourceOptions())
    motion, found, objects, seen = Motion(warmup=WARMUP), 0, 0, 0
    for seq, grab in enumerate(source):
        boxes = [each.box for each in grab.detections]
        picture = Frame(
            camera="front", boot=1, seq=seq, captured_ns=seq, width=grab.width, height=grab.height,
            payload=grab.jpeg(90),
        )  # fmt: skip
        detections = motion(picture).detections
        if seq < 100:
            continue
        alone = [box for box in boxes if not any(near(box, other) for other in boxes if other != box)]
        objects, seen = objects + len(alone), seen + len(detections)
        found += sum(any(iou(box, each.box) >= 0.3 for each in detections) for box in alone)
    assert found / objects >= 0.9
    assert seen <= 1.2 * 3 * 150


def near(a: Truth, b: Truth, gap: float = 12) -> bool:
    across = max(a[0], b[0]) < min(a[0] + a[2], b[0] + b[2]) + gap
    return across and max(a[1], b[1]) < min(a[1] + a[3], b[1] + b[3]) + gap


def test_a_detection_says_what_it_is() -> None:
    motion = Motion(warmup=5)
    for picture, _ in moving(20, seed=1):
        last = motion(picture)
    for found in last.detections:
        assert (found.label, found.by) == ("motion", "motion")
        assert 0 < found.score < 1
        x, y, width, height = found.box
        assert x >= 0
        assert y >= 0
        assert x + width <= last.width
        assert y + height <= last.height
    assert last.detections


def test_the_image_passes_untouched() -> None:
    motion = Motion(warmup=1)
    for picture, _ in moving(5, seed=1):
        assert motion(picture).payload is picture.payload


def test_a_still_noisy_scene_has_no_motion() -> None:
    random, scene, motion = np.random.default_rng(0), background(640, 360, 0), Motion(warmup=10)
    seen = [motion(frame(noisy(scene, random, 8), seq)).detections for seq in range(80)]
    assert sum(map(len, seen)) == 0


@pytest.mark.parametrize("factor", [1.3, 0.35])
def test_a_change_of_light_is_no_motion_and_is_learnt(factor: float) -> None:
    random, scene, motion = np.random.default_rng(0), background(640, 360, 0), Motion(warmup=10)
    lit = np.clip(scene * factor, 0, 255).astype(np.uint8)
    for seq in range(20):
        motion(frame(noisy(scene, random), seq))
    after = [motion(frame(noisy(lit, random), seq)).detections for seq in range(20, 60)]
    assert sum(map(len, after)) == 0

    lit[100:180, 200:300] = 255
    boxes = [each.box for each in motion(frame(noisy(lit, random), 60)).detections]
    assert any(iou(box, (200, 100, 100, 80)) > 0.5 for box in boxes)


def test_another_size_of_picture_begins_anew() -> None:
    motion = Motion(warmup=3)
    for seq in range(6):
        motion(frame(background(640, 360, 0), seq))
    turned = [motion(frame(background(360, 640, 5), seq)).detections for seq in range(6, 12)]
    assert sum(map(len, turned)) == 0


def test_masked_regions_are_ignored() -> None:
    lane = Region(0, 40, 960, 140)
    motion = Motion(warmup=10, mask=(lane,))
    boxes = [each.box for picture, _ in moving(60, seed=1) for each in motion(picture).detections]
    assert boxes
    assert all(y >= 40 + 140 - 5 for _, y, _, _ in boxes)


def test_a_mask_over_everything_reports_nothing() -> None:
    motion = Motion(warmup=3, mask=(Region(0, 0, 2000, 2000),))
    assert not [each for picture, _ in moving(20, seed=1) for each in motion(picture).detections]


def test_min_area_leaves_out_what_is_small() -> None:
    scene = background(640, 360, 0)
    changed = scene.copy()
    changed[50:150, 50:150] = 255  # 4.3 % of the picture
    changed[200:240, 400:440] = 255  # 0.7 %

    def seen(min_area: float) -> int:
        motion = Motion(min_area=min_area, warmup=3)
        for seq in range(3):
            motion(frame(scene, seq))
        return len(motion(frame(changed, 3)).detections)

    assert [seen(0.001), seen(0.02), seen(0.1)] == [2, 1, 0]


def test_sensitivity_finds_fainter_things() -> None:
    scene = background(640, 360, 0)
    faint = scene.copy()
    faint[100:200, 200:320] += 12

    def seen(sensitivity: float) -> int:
        motion = Motion(sensitivity=sensitivity, warmup=3)
        for seq in range(5):
            motion(frame(scene, seq))
        return len(motion(frame(faint, 5)).detections)

    assert (seen(0.2), seen(0.9)) == (0, 1)


def test_gray_raw_frames_do_as_well() -> None:
    motion, scene = Motion(warmup=2), background(640, 360, 0)
    changed = scene.copy()
    changed[50:150, 50:150] = 255
    for seq in range(3):
        motion(frame(scene, seq).with_image(scene[:, :, 0].copy()))
    (found,) = motion(frame(scene, 3).with_image(changed[:, :, 0].copy())).detections
    assert iou(found.box, (50, 50, 100, 100)) > 0.7


def test_the_same_frames_give_the_same_boxes() -> None:
    pictures = [picture for picture, _ in moving(60, seed=2)]
    one, other = Motion(), Motion()
    assert [one(each).detections for each in pictures] == [other(each).detections for each in pictures]


def test_boxes_keep_close_to_what_moves() -> None:
    """A box's edge is off by two pixels of the reduced picture at most, six of the full one."""
    motion = Motion()
    for picture, truth in moving(70, seed=2):
        for found in motion(picture).detections:
            best = max(truth, key=lambda box: iou(box, found.box))
            assert iou(best, found.box) > 0.85


def test_what_leaves_is_no_thing_that_stays() -> None:
    """An object that was there during the warm-up goes: what it hid is not reported for long."""
    scene = background(640, 360, 0)
    parked = scene.copy()
    parked[100:200, 200:320] = 250
    motion = Motion(warmup=10)
    for seq in range(10):
        motion(frame(parked, seq))
    seen = [len(motion(frame(scene, seq)).detections) for seq in range(10, 20)]
    assert sum(seen[:4]) <= 4
    assert sum(seen[4:]) == 0


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (7, 300), (33, 5)])
def test_pictures_of_any_size_do(size: tuple[int, int]) -> None:
    width, height = size
    motion = Motion(warmup=1)
    for seq in range(6):
        level = 100 + 60 * (seq % 2)
        picture = np.full((height, width, 3), 100, np.uint8)
        picture[: height // 2] = level
        motion(frame(picture, seq))


def test_people_in_real_video() -> None:
    """Frames 0 to 60 show an empty room; at 100 to 140 a woman stands in the middle, alone."""
    motion = Motion()
    seen: list[Frame] = [motion(picture) for picture in clip_frames(0, 141)]
    assert not [each for picture in seen[30:50] for each in picture.detections]
    woman = (384.0, 16.0, 140.0, 384.0)
    assert all(any(iou(woman, each.box) > 0.5 for each in picture.detections) for picture in seen[100:])
    assert sum(len(picture.detections) for picture in seen[100:]) <= 1.2 * len(seen[100:])


def test_overlapping_boxes_become_one_through_others() -> None:
    chain = [Box(0, 0, 10, 10), Box(18, 0, 10, 10), Box(9, 0, 10, 10), Box(50, 50, 5, 5)]
    assert merged(chain) == [Box(0, 0, 28, 10), Box(50, 50, 5, 5)]
    assert merged(chain, share=0.3) == sorted(chain)
    assert merged([Box(0, 0, 10, 10), Box(2, 2, 4, 4)], share=0.3) == [Box(0, 0, 10, 10)]
    assert merged([Box(0, 0, 10, 10), Box(10, 0, 10, 10)]) == [Box(0, 0, 10, 10), Box(10, 0, 10, 10)]
