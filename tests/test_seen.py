from hypothesis import given
from hypothesis import strategies as st

from mesh.delivery import Identity, Seen


def result(seq: int, camera: str = "door", boot: int = 7, part: int = 0) -> Identity:
    return "motion", camera, boot, seq, part


def test_what_was_seen_is_told_apart_by_its_whole_identity() -> None:
    seen = Seen()
    seen.add(result(5))
    assert result(5) in seen
    others = (result(4), result(6), result(69), result(5, "gate"), result(5, boot=8), result(5, part=1))
    assert not any(other in seen for other in others)


@given(st.lists(st.integers(0, 2000), max_size=300), st.integers(1, 100))
def test_the_newest_are_remembered_and_memory_is_bounded(seqs: list[int], depth: int) -> None:
    rising, mixed = Seen(depth), Seen(depth)
    for seq in sorted(seqs):
        rising.add(result(seq))
    for seq in seqs:
        mixed.add(result(seq))
    assert all(result(seq) in rising for seq in sorted(set(seqs))[-depth:])
    assert not seqs or result(seqs[-1]) in mixed
    for seen in (rising, mixed):
        assert min(depth, len(set(seqs))) <= sum(result(seq) in seen for seq in range(2001)) < depth + 64


def test_every_stream_has_its_own_depth_and_streams_are_bounded() -> None:
    seen = Seen(depth=3, max_streams=10)
    for camera in range(20):
        for seq in range(0, 1000, 100):
            seen.add(result(seq, f"cam{camera}"))
    assert [camera for camera in range(20) if result(900, f"cam{camera}") in seen] == list(range(10, 20))
    assert [seq for seq in range(0, 1000, 100) if result(seq, "cam15") in seen] == [700, 800, 900]
