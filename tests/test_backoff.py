import random

from mesh.backoff import Backoff


def test_waits_grow_to_their_limit_and_begin_again_after_success() -> None:
    backoff = Backoff(first=0.5, most=30.0, rng=random.Random(1))
    waits = [backoff.next() for _ in range(100)]
    for tries, wait in enumerate(waits):
        longest = min(30.0, 0.5 * 2.0**tries)
        assert longest / 2 <= wait <= longest
    backoff.reset()
    assert backoff.next() <= 0.5


def test_two_cameras_do_not_come_back_in_one_instant() -> None:
    assert len({Backoff(rng=random.Random(seed)).next() for seed in range(20)}) == 20
