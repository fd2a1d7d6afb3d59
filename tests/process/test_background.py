"""The background model alone, on small flat pictures."""

import numpy as np
import pytest

from mesh.codec import Image
from nodes.process.processors.background import Background, median_of

PATCH = np.s_[10:20, 10:20]
EVERYWHERE = np.s_[:, :]
FOR_EVER = 100_000  # a history so long that the running average alone changes nothing


def flat(level: int, patch: int | None = None) -> Image:
    picture = np.full((48, 64), level, dtype=np.uint8)
    if patch is not None:
        picture[PATCH] = patch
    return picture


def test_nothing_is_told_while_it_forms() -> None:
    background = Background(FOR_EVER, warmup=5, floor=20)
    assert [background.update(flat(100)) is None for _ in range(7)] == [True] * 5 + [False] * 2
    assert background.ready


def test_what_has_changed_is_told_and_by_how_many_thresholds() -> None:
    background = Background(FOR_EVER, warmup=5, floor=20)
    for _ in range(5):
        background.update(flat(100))
    changed = background.update(flat(100, patch=160))
    assert changed is not None
    assert (changed == np.where(flat(100, patch=160) == 160, 255, 0)).all()
    assert background.changes == 100
    assert background.excess(EVERYWHERE) == 60 / 20


def test_what_passes_through_the_warmup_leaves_no_trace() -> None:
    background = Background(FOR_EVER, warmup=30, floor=20)
    for seq in range(30):
        background.update(flat(100, patch=200 if seq < 12 else None))
    assert np.allclose(background.level[PATCH].astype(float), 100)


def test_what_stays_for_all_of_the_warmup_is_taken_out_by_a_later_median() -> None:
    background = Background(FOR_EVER, warmup=20, floor=20)
    for seq in range(20 * 4):
        background.update(flat(100, patch=200 if seq < 30 else None))
        if seq == 25:
            assert np.allclose(background.level[PATCH].astype(float), 200)
    assert np.allclose(background.level[PATCH].astype(float), 100, atol=1)


def test_what_has_changed_for_good_is_learnt_slowly() -> None:
    background = Background(history=20, warmup=5, floor=20)
    for _ in range(5):
        background.update(flat(100))
    for _ in range(10):
        background.update(flat(100, patch=200))
    assert 100 < background.level[15, 15] < 120
    for _ in range(300):
        background.update(flat(100, patch=200))
    assert background.level[15, 15] > 180


def test_a_pixel_that_always_flickers_raises_its_own_threshold() -> None:
    random = np.random.default_rng(0)
    background = Background(history=100, warmup=30, floor=10)
    for _ in range(100):
        background.update(flat(100, patch=int(random.integers(70, 131))))
        assert background.changes == 0
    background.update(flat(100, patch=132))
    assert background.changes == 0
    calm = flat(100)
    calm[30:40, 30:40] = 132
    background.update(calm)
    assert background.changes == 100


def test_exposure_is_taken_out() -> None:
    background = Background(FOR_EVER, warmup=5, floor=10)
    for _ in range(5):
        background.update(flat(100))
    changed = background.update(flat(130, patch=220))
    assert changed is not None
    assert (changed[PATCH] == 255).all()
    assert background.changes == 100
    assert background.excess(PATCH) > 5
    assert abs(background.picture[30:, 30:].astype(int) - 100).max() <= 1


def test_a_new_scene_is_formed_anew() -> None:
    background = Background(FOR_EVER, warmup=5, floor=10)
    for _ in range(5):
        background.update(flat(100))
    assert [background.update(flat(220)) is None for _ in range(6)] == [True] * 5 + [False]
    assert (background.level == 220).all()


def test_absorb_takes_the_picture_where_it_is_told_to() -> None:
    background = Background(FOR_EVER, warmup=5, floor=10)
    for _ in range(5):
        background.update(flat(100))
    background.update(flat(100, patch=200))
    half = np.zeros((10, 10), dtype=np.uint8)
    half[:5] = 255
    background.absorb(PATCH, half)
    assert (background.level[10:15, 10:20] == 200).all()
    background.update(flat(100, patch=200))
    assert background.changes == 50


def test_one_picture_in_four_is_learnt_from() -> None:
    background = Background(history=20, warmup=5, floor=20)
    for _ in range(5):
        background.update(flat(100))
    levels = []
    for _ in range(8):
        background.update(flat(100, patch=110))
        levels.append((background.learnt, int(background.level[15, 15])))
    assert [learnt for learnt, _ in levels] == [False, False, False, True] * 2
    assert [level for _, level in levels[:4]] == [100, 100, 100, levels[3][1]]
    assert 100 < levels[3][1] < levels[7][1] <= 110


def test_nothing_is_told_of_what_is_not_watched() -> None:
    background = Background(FOR_EVER, warmup=5, floor=20)
    watched = np.full((48, 64), 255, dtype=np.uint8)
    watched[PATCH] = 0
    background.restart(watched)
    for _ in range(5):
        background.update(flat(100))
    assert background.update(flat(100, patch=200)) is not None
    assert background.changes == 0


@pytest.mark.parametrize("count", [1, 2, 15, 16, 29])
def test_a_median_of_pictures_is_that_of_each_pixel(count: int) -> None:
    random = np.random.default_rng(count)
    pictures = [random.integers(0, 256, (20, 30), dtype=np.uint8) for _ in range(count)]
    before = np.stack(pictures)
    assert (median_of(pictures) == np.median(before, axis=0)).all()
    assert (np.stack(pictures) == before).all()
