"""What of the recordings is to go: pure decisions, held to what they promise on made-up folders."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import ConfigError
from mesh.recordings.limits import DAY_NS, Free, Keep, Limits, free_of, keep_of
from nodes.collect.retention import (
    LEAP_NS,
    STEADY_S,
    Believed,
    Disk,
    Stored,
    Used,
    Verdict,
    believe,
    decide,
)

GB = 10**9
HOUR_NS = 3600 * GB
NOW_NS = 20_000 * DAY_NS
PLENTY = Disk(10**15, 10**15)


def at(days_old: float, size: int = 1, camera: str = "door", **more: bool) -> Stored:
    last_ns = NOW_NS - int(days_old * DAY_NS)
    return Stored(f"{camera}/{days_old}-{size}.mkv", camera, last_ns, size, **more)


def decided(
    stored: Iterable[Stored],
    keep: Keep,
    disk: Disk = PLENTY,
    now_ns: int = NOW_NS,
    opened: Mapping[str, int] | None = None,
    most: int = 10_000,
) -> Verdict:
    """What is decided on a folder that holds these, and so many bytes in open ones by camera."""
    every, opened = list(stored), opened or {}
    cameras = {each.camera for each in every} | opened.keys()
    used = {
        camera: Used(sum(each.bytes for each in every if each.camera == camera), opened.get(camera, 0))
        for camera in cameras
    }

    def oldest(camera: str) -> list[Stored]:
        found = [each for each in every if each.camera == camera]
        return sorted(found, key=lambda each: (each.last_ns, each.path))

    return decide(used, oldest, keep, disk, now_ns, most)


def test_nothing_goes_while_the_limits_hold() -> None:
    every = [at(days, 10) for days in range(10)]
    assert not Keep()
    assert decided(every, Keep()) == Verdict((), False, "")
    keep = Keep(Limits(10, 100), {"door": Limits(None, 100)}, Free(bytes=100))
    assert decided(every, keep, Disk(100, 1000)) == Verdict((), False, "")


def test_the_days_of_a_camera_take_the_place_of_those_of_all() -> None:
    every = [at(days, camera=camera) for camera in ("door", "gate", "yard") for days in (1, 3, 5)]
    keep = Keep(Limits(4), {"gate": Limits(2), "yard": Limits(30)})
    assert set(decided(every, keep).remove) == {at(5), at(5, camera="gate"), at(3, camera="gate")}


def test_the_bytes_of_a_camera_are_a_limit_beside_that_of_all() -> None:
    every = [at(days, 10, camera) for camera in ("door", "gate") for days in (1, 2, 3)]
    own = decided(every, Keep(cameras={"gate": Limits(None, 25)}))
    assert own.remove == (at(3, 10, "gate"),)
    both = decided(every, Keep(Limits(None, 40), {"gate": Limits(None, 25)}))
    assert both.remove == (at(3, 10, "gate"), at(3, 10))


def test_room_is_made_on_the_disk_and_what_goes_for_another_reason_counts() -> None:
    every = [at(days, 10) for days in (1, 2, 3, 9)]
    assert decided(every, Keep(free=Free(share=0.1)), Disk(85, 1000)).remove == (at(9, 10), at(3, 10))
    keep = Keep(Limits(8), free=Free(share=0.1))
    assert decided(every, keep, Disk(90, 1000)).remove == (at(9, 10),)


def test_what_is_locked_stays_and_where_it_passes_a_limit_alone_nothing_goes_for_it() -> None:
    locked = [at(9, 30, locked=True), at(8, 30, locked=True)]
    rest = [at(days, 10) for days in (1, 2, 3)]
    assert decided([*locked, *rest], Keep(Limits(5, 70))).remove == (at(3, 10), at(2, 10))
    blocked = decided([*locked, *rest], Keep(Limits(None, 59)))
    assert blocked.remove == ()
    assert "in all: what is locked takes more: unlock some, or allow more" in blocked.why
    own = decided([*locked, *rest], Keep(cameras={"door": Limits(None, 59)}))
    assert (own.remove, "of camera door" in own.why) == ((), True)


def test_a_disk_that_others_fill_costs_no_recording() -> None:
    rest = [at(days, 10) for days in (1, 2, 3)]
    blocked = decided(rest, Keep(free=free_of("10%")), Disk(50, 1000))
    assert blocked.remove == ()
    assert blocked.why.startswith("cannot keep 10% free: what is locked, or is no recording, takes too much")
    assert decided(rest, Keep(free=free_of("10%")), Disk(70, 1000)).remove == (
        at(3, 10),
        at(2, 10),
        at(1, 10),
    )


def test_what_is_open_counts_and_is_no_reason_to_give_up() -> None:
    rest = [at(days, 10) for days in (1, 2, 3)]
    assert decided(rest, Keep(Limits(None, 35)), opened={"gate": 20}).remove == (at(3, 10), at(2, 10))
    assert len(decided(rest, Keep(Limits(None, 5)), opened={"gate": 20}).remove) == 3


def test_so_many_go_at_a_time_and_in_the_end_the_same() -> None:
    every = [at(days, 10) for days in range(1, 31)]
    keep = Keep(Limits(25, 100))
    left, turns = every, 0
    while (verdict := decided(left, keep, most=4)).remove:
        assert len(verdict.remove) <= 4
        left, turns = [each for each in left if each not in verdict.remove], turns + 1
    assert left == [each for each in every if each not in decided(every, keep).remove]
    assert turns == 5
    assert decided([*every, at(60, 90, locked=True)], Keep(Limits(None, 80)), most=4).remove == ()


SEGMENTS = st.lists(
    st.builds(
        Stored,
        path=st.uuids().map(str),
        camera=st.sampled_from(["door", "gate", "yard"]),
        last_ns=st.integers(0, 40).map(lambda days: NOW_NS - days * DAY_NS),
        bytes=st.integers(0, 20),
        locked=st.sampled_from([False, False, False, True]),
    ),
    max_size=25,
    unique_by=lambda each: each.path,
)
DAYS = st.none() | st.integers(1, 40).map(float)
BYTES = st.none() | st.integers(1, 200)
LIMITS = st.builds(Limits, days=DAYS, bytes=BYTES)
KEEP = st.builds(
    Keep,
    overall=LIMITS,
    cameras=st.dictionaries(st.sampled_from(["door", "gate"]), LIMITS, max_size=2),
    free=st.none() | st.builds(Free, bytes=st.integers(0, 300)),
)
OPENED = st.dictionaries(st.sampled_from(["door", "yard"]), st.integers(0, 30), max_size=2)


@given(SEGMENTS, KEEP, OPENED, st.integers(0, 300))
def test_what_is_promised_holds_for_any_folder(
    every: list[Stored], keep: Keep, opened: dict[str, int], free: int
) -> None:
    disk = Disk(free, 1000)
    verdict = decided(every, keep, disk, opened=opened)
    gone = set(verdict.remove)
    left = [each for each in every if each not in gone]
    assert len(gone) == len(verdict.remove)
    assert not any(each.locked for each in gone)

    def too_old(each: Stored) -> bool:
        days = keep.days(each.camera)
        return days is not None and each.last_ns < NOW_NS - days * DAY_NS

    assert not any(too_old(each) and not each.locked for each in left)
    # Of what went for a limit of bytes, nothing that had to stay is older than it, in its scope.
    for each in gone:
        if not too_old(each):
            older = [o for o in left if not o.locked and (o.last_ns, o.path) < (each.last_ns, each.path)]
            own = keep.cameras.get(each.camera, Limits()).bytes
            assert not [o for o in older if o.camera == each.camera]
            assert not older or own is not None
    # The limits hold, or it is said that they cannot, or what is open alone is in the way.
    held = sum(each.bytes for each in left) + sum(opened.values())
    may_go = [each for each in left if not each.locked]
    if keep.overall.bytes is not None and held > keep.overall.bytes:
        assert "in all" in verdict.why or not may_go
    lacking = (keep.free.of(disk.total) if keep.free else 0) - free - sum(each.bytes for each in gone)
    if lacking > 0:
        assert "free" in verdict.why or not may_go
    # Nothing goes that need not: with the youngest of those that went for bytes, a limit would be passed.
    for_bytes = [each for each in verdict.remove if not too_old(each)]
    if for_bytes:
        last = for_bytes[-1]
        back = decided(
            [*left, last],
            keep,
            replace(disk, free=free + sum(e.bytes for e in gone) - last.bytes),
            opened=opened,
        )
        assert back.remove == (last,) or last.bytes == 0
    # And what was decided once is not decided again.
    freed = replace(disk, free=free + sum(each.bytes for each in gone))
    again = decided(left, keep, freed, opened=opened)
    assert again.remove == ()


def test_a_clock_that_leaps_forward_makes_nothing_too_old() -> None:
    every = [at(hours / 24, camera=camera) for camera in ("door", "gate") for hours in range(48)]
    keep = Keep(Limits(2))
    believed = Believed(NOW_NS, 0.0)
    for minute in range(1, 600):
        leapt_ns = NOW_NS + minute * 60 * GB + 3 * DAY_NS
        believed = believe(believed, leapt_ns, minute * 60.0)
        assert believed.now_ns == NOW_NS + minute * 60 * GB
        assert len(decided(every, keep, now_ns=believed.now_ns).remove) <= 2 * (minute // 60 + 1)
    put_right = believe(believed, NOW_NS + 36_000 * GB, 36_000.0)
    assert put_right == Believed(NOW_NS + 36_000 * GB, 36_000.0)


def test_a_clock_that_stays_ahead_is_believed_after_half_a_day() -> None:
    believed = believe(Believed(NOW_NS, 0.0), NOW_NS + DAY_NS, 0.0)
    for hour in range(1, 12):
        believed = believe(believed, NOW_NS + DAY_NS + hour * HOUR_NS, hour * 3600.0)
        assert believed.now_ns == NOW_NS + hour * HOUR_NS
    believed = believe(believed, NOW_NS + DAY_NS + 12 * HOUR_NS, STEADY_S)
    assert believed == Believed(NOW_NS + DAY_NS + 12 * HOUR_NS, STEADY_S)


def test_a_clock_that_leaps_about_is_doubted_anew() -> None:
    believed = believe(Believed(NOW_NS, 0.0), NOW_NS + DAY_NS, 0.0)
    believed = believe(believed, NOW_NS + 9 * DAY_NS, 3600.0)
    assert believed.since == 3600.0
    assert believe(believed, NOW_NS + 9 * DAY_NS + 11 * HOUR_NS, STEADY_S).now_ns == NOW_NS + 12 * HOUR_NS


@pytest.mark.parametrize("hours", [-1, -24 * 20_000, 0, 1])
def test_a_clock_that_is_set_back_or_by_an_hour_is_believed(hours: int) -> None:
    wall_ns = NOW_NS + hours * HOUR_NS
    assert believe(Believed(NOW_NS, 5.0), wall_ns, 5.0) == Believed(wall_ns, 5.0)
    # What it set back to is where it counts from: it does not come back in one leap.
    assert believe(Believed(wall_ns, 5.0), wall_ns + LEAP_NS + 1, 5.0).now_ns == wall_ns


def test_limits_as_people_write_them() -> None:
    assert keep_of(7, 1.5, "10%", ["door=30d,50GB", "yard=500 MB", "yard=2d"]) == Keep(
        Limits(7, 1_500_000_000),
        {"door": Limits(30, 50 * GB), "yard": Limits(2, GB // 2)},
        Free(share=0.1),
    )
    assert [str(free_of(text)) for text in ("2.5%", "10%", "20GB")] == ["2.5%", "10%", "20GB"]
    assert free_of("20GB").of(10**12) == 20 * GB
    assert free_of("12.5%").of(1000) == 125


@pytest.mark.parametrize(
    ("own", "told"),
    [
        ("door", "is not CAMERA=LIMIT, such as door=30d"),
        ("door=", "is not CAMERA=LIMIT"),
        ("Door=3d", "camera"),
        ("door=3", "'3' is no limit: write 30d, 50GB, or 30d,50GB"),
        ("door=0d", "is no limit"),
        ("door=3d,4d", "'4d' is no limit a second time"),
    ],
)
def test_what_is_no_limit_is_refused_and_says_how_one_is_written(own: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        keep_of(own=[own])


@pytest.mark.parametrize("free", ["0%", "100%", "10", "x", "0GB", "-3GB"])
def test_what_is_not_to_be_kept_free_is_refused(free: str) -> None:
    with pytest.raises(ConfigError, match="write 10% or 20GB"):
        keep_of(free=free)


@pytest.mark.parametrize(("days", "gigabytes"), [(0, None), (None, 0), (-1, None), (float("nan"), None)])
def test_a_limit_that_keeps_nothing_is_refused(days: float | None, gigabytes: float | None) -> None:
    with pytest.raises(ConfigError, match="would keep nothing"):
        keep_of(days, gigabytes)
