"""The background model alone, on small flat pictures."""

import numpy as np

from mesh.codec import Image
from nodes.process.processors.background import Background

PATCH = np.s_[10:20, 10:20]
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


def test_the_excess_is_the_difference_over_the_threshold() -> None:
    background = Background(FOR_EVER, warmup=5, floor=20)
    for _ in range(5):
        background.update(flat(100))
    excess = background.update(flat(100, patch=160))
    assert excess is not None
    assert np.allclose(excess[PATCH], 60 / 20)
    assert float(excess[30:, 30:].max()) == 0


def test_what_passes_through_the_warmup_leaves_no_trace() -> None:
    background = Background(FOR_EVER, warmup=30, floor=20)
    for seq in range(30):
        background.update(flat(100, patch=200 if seq < 12 else None))
    assert np.allclose(background.mean()[PATCH], 100)


def test_what_stays_for_all_of_the_warmup_is_taken_out_by_a_later_median() -> None:
    background = Background(FOR_EVER, warmup=20, floor=20)
    for seq in range(20 * 4):
        background.update(flat(100, patch=200 if seq < 30 else None))
        if seq == 25:
            assert np.allclose(background.mean()[PATCH], 200)
    assert np.allclose(background.mean()[PATCH], 100, atol=1)


def test_what_has_changed_for_good_is_learnt_slowly() -> None:
    background = Background(history=20, warmup=5, floor=20)
    for _ in range(5):
        background.update(flat(100))
    for _ in range(10):
        background.update(flat(100, patch=200))
    assert 100 < float(background.mean()[15, 15]) < 120
    for _ in range(300):
        background.update(flat(100, patch=200))
    assert float(background.mean()[15, 15]) > 180


def test_a_pixel_that_always_flickers_raises_its_own_threshold() -> None:
    random = np.random.default_rng(0)
    background = Background(history=100, warmup=30, floor=10)
    worst = 0.0
    for _ in range(100):
        excess = background.update(flat(100, patch=int(random.integers(70, 131))))
        worst = max(worst, 0.0 if excess is None else float(excess.max()))
    assert 0 < worst < 1


def test_exposure_is_taken_out() -> None:
    background = Background(FOR_EVER, warmup=5, floor=10)
    for _ in range(5):
        background.update(flat(100))
    excess = background.update(flat(130, patch=220))
    assert excess is not None
    assert float(excess[30:, 30:].max()) < 0.1
    assert float(excess[PATCH].min()) > 5


def test_a_new_scene_is_formed_anew() -> None:
    background = Background(FOR_EVER, warmup=5, floor=10)
    for _ in range(5):
        background.update(flat(100))
    assert [background.update(flat(220)) is None for _ in range(6)] == [True] * 5 + [False]
    assert np.allclose(background.mean(), 220)


def test_absorb_takes_the_picture_where_it_is_told_to() -> None:
    background = Background(FOR_EVER, warmup=5, floor=10)
    for _ in range(5):
        background.update(flat(100))
    where = np.zeros((48, 64), dtype=np.uint8)
    where[PATCH] = 1
    background.absorb(where, flat(100, patch=200))
    assert np.allclose(background.mean()[PATCH], 200)
    assert np.allclose(background.mean()[30:, 30:], 100)
