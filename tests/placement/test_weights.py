"""Weights: a slow device gets less, never nothing, and noise moves nothing."""

import random
from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.placement import CapacityReport, Item, Member, place, weights

ITEMS = [Item(f"cam{n}/0") for n in range(60)]


def told(
    report: CapacityReport, seconds: int, service_s: float, fps: int = 10, begin: int = 0
) -> list[float]:
    """What is told each second while frames take so long."""
    return [
        report.look((begin + s) * fps, (begin + s) * fps * service_s, float(begin + s))
        for s in range(seconds)
    ]


def test_nothing_is_told_before_enough_was_measured() -> None:
    report = CapacityReport(1)
    assert told(report, 5, 0.02) == [0.0] * 5
    assert report.look(50, 1.0, 5.0) == 0.0  # 50 frames a second, but for a moment only
    assert told(report, 8, 0.02, begin=5)[-1] > 0


def test_capacity_is_frames_a_second_of_all_workers() -> None:
    one, two = CapacityReport(1), CapacityReport(2)
    told(one, 20, 1 / 64)
    told(two, 20, 1 / 64)
    assert (one.capacity, two.capacity) == (64.0, 128.0)


def test_it_follows_slowly_and_without_swinging() -> None:
    report = CapacityReport(1)
    told(report, 20, 1 / 64)
    frames, busy = 200, 200 / 64
    seen = []
    for second in range(20, 100):  # the device is four times slower from now on
        frames, busy = frames + 10, busy + 10 / 16
        seen.append(report.look(frames, busy, float(second)))
    assert seen[:5] == [64.0] * 5
    assert seen[-1] == 16.0
    assert seen == sorted(seen, reverse=True)


@given(st.integers(0, 50))
def test_noise_moves_nothing(seed: int) -> None:
    rng, report = random.Random(seed), CapacityReport(1)
    frames, busy, seen = 0, 0.0, []
    for second in range(120):
        frames, busy = frames + 10, busy + 10 * rng.uniform(0.7, 1.3) / 64
        seen.append(report.look(frames, busy, float(second)))
    assert len(set(seen[30:])) == 1
    assert seen[-1] in (45.255, 64.0, 90.51)


def test_a_frame_that_never_comes_changes_nothing() -> None:
    report = CapacityReport(1)
    told(report, 20, 1 / 64)
    assert [report.look(190, 190 / 64, float(s)) for s in range(20, 40)] == [64.0] * 20


def test_weights_are_proportions_of_the_middle() -> None:
    found = weights({"a": 32.0, "b": 64.0, "c": 128.0, "new": 0.0}, {})
    assert found == {"a": 0.5, "b": 1.0, "c": 2.0, "new": 1.0}
    assert weights({"a": 0.0, "b": 0.0}, {}) == {"a": 1.0, "b": 1.0}
    assert weights({}, {}) == {}


def test_what_the_operator_says_goes_before_what_is_measured() -> None:
    assert weights({"a": 32.0, "b": 64.0, "c": 128.0}, {"a": 3.0}) == {"a": 3.0, "b": 1.0, "c": 2.0}


def test_the_slowest_gets_a_sixteenth_at_least() -> None:
    found = weights({"a": 1.0, "b": 1024.0, "c": 1024.0}, {})
    assert found["b"] / found["a"] == 16
    loads = Counter(place(ITEMS, [Member(name, weight) for name, weight in found.items()]).values())
    assert 0 < loads["a"] <= 2


def test_one_that_leaves_changes_nobody_elses_proportion() -> None:
    four = weights({"a": 16.0, "b": 64.0, "c": 64.0, "d": 256.0}, {})
    three = weights({"a": 16.0, "b": 64.0, "c": 64.0}, {})
    assert four["b"] / four["a"] == three["b"] / three["a"] == 4


def test_a_group_of_uneven_devices_settles_and_stays() -> None:
    """Each member's load feeds its own measurement: whatever it gets, it is as fast as it is."""
    service_s = {"fast": 0.005, "slow": 0.1, "plain": 0.02}
    reports = {name: CapacityReport(1) for name in service_s}
    done, busy = Counter[str](), Counter[str]()
    placed: list[dict[str, str]] = []
    for second in range(60):
        capacities = {name: report.capacity for name, report in reports.items()}
        shares = weights(capacities, {})
        placed.append(place(ITEMS, [Member(name, share) for name, share in shares.items()]))
        for name, items in Counter(placed[-1].values()).items():
            frames = min(items, int(1 / service_s[name]))
            done[name] += frames
            busy[name] += frames * service_s[name]  # type: ignore[assignment]  # a Counter of seconds
            reports[name].look(done[name], busy[name], float(second))
    loads = Counter(placed[-1].values())
    assert loads["fast"] > loads["plain"] > loads["slow"] > 0
    assert len({tuple(sorted(each.items())) for each in placed[30:]}) == 1


class Group:
    """Members that work on so many cameras, of 10 frames a second each."""

    def __init__(self, cameras: int, *members: str) -> None:
        self._items = [Item(f"cam{n}/0", spread=f"cam{n}") for n in range(cameras)]
        self._reports = {name: CapacityReport(1) for name in members}
        self._done, self._busy_s = Counter[str](), dict.fromkeys(members, 0.0)
        self.placed: list[dict[str, str]] = []

    @property
    def moves(self) -> int:
        return sum(a != b for a, b in pairwise(self.placed))

    def work(self, seconds: int, service_s: Callable[[str, Counter[str]], float]) -> None:
        """`service_s` is how long a member takes over a frame, while so many streams are with each."""
        for _ in range(seconds):
            told = {name: report.capacity for name, report in self._reports.items()}
            members = [Member(name, share) for name, share in weights(told, {}).items()]
            self.placed.append(place(self._items, members))
            loads = Counter(self.placed[-1].values())
            for name, report in self._reports.items():
                took = service_s(name, loads)
                frames = min(10 * loads[name], int(1 / took) or len(self.placed) % 2)
                self._done[name] += frames
                self._busy_s[name] += frames * took
                report.look(self._done[name], self._busy_s[name], float(len(self.placed)))


@pytest.mark.parametrize("cameras", [3, 8])
@pytest.mark.parametrize("other", [1.0, 1.5, 3.0])
def test_members_that_slow_themselves_down_do_not_swing(cameras: int, other: float) -> None:
    """On shared cores a frame takes longer, by the clock, the more its member has to do."""
    group, factors = Group(cameras, "a", "b"), {"a": 1.0, "b": other}
    group.work(600, lambda name, loads: factors[name] * 0.005 * (1 + 8 * loads[name] / cameras) ** 2)
    assert group.moves <= 6


@pytest.mark.parametrize("cameras", [4, 8])
def test_a_slow_member_without_work_is_given_some_now_and_then_ever_more_rarely(cameras: int) -> None:
    group = Group(cameras, "slow", "fast")
    group.work(300, lambda name, loads: 2.0 if name == "slow" else 0.03)
    assert "slow" not in group.placed[-100].values()
    assert group.moves == 4, "given up, tried, given up, tried"
    group.work(400, lambda name, loads: 0.03)  # it is as fast as the other one now
    assert Counter(group.placed[-1].values()) == {"slow": cameras / 2, "fast": cameras / 2}


def test_a_member_without_frames_for_a_minute_is_not_known() -> None:
    report = CapacityReport(1)
    told(report, 20, 1 / 64)
    assert [report.look(190, 190 / 64, float(s)) for s in (78, 79, 80)] == [64.0, 0.0, 0.0]
    assert report.look(191, 191 / 64, 81.0) == 0.0, "one frame tells nothing"
    assert told(report, 20, 1 / 64, begin=100)[-1] == 64.0
