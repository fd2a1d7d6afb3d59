from mesh.scope import Scope
from mesh.stats import Counters, Rarely


def test_counts_of_many_threads_add_up_and_a_snapshot_stands_still() -> None:
    counters = Counters()
    before = counters.snapshot()

    def count() -> None:
        for _ in range(1000):
            counters.add("frames")

    scope = Scope("counting")
    for number in range(4):
        scope.spawn(str(number), count)
    scope.join()
    assert counters.get("frames") == 4000
    assert dict(counters.snapshot()) == {"frames": 4000}
    assert dict(before) == {}
    assert counters.get("never") == 0


def test_rarely_says_how_often_it_was_silent() -> None:
    rarely = Rarely(1.0)
    assert rarely.ready(10.0) == 0
    assert [rarely.ready(10.0 + tenth / 10) for tenth in range(1, 10)] == [None] * 9
    assert rarely.ready(11.0) == 9
    assert rarely.ready(11.5) is None
