import math
import threading
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.errors import ConfigError
from mesh.frame import EndOfStream, Frame
from mesh.inbox import LOSSLESS_LIMIT, Inbox, Policy, StreamCount
from mesh.scope import Scope
from mesh.wire import Message, Topic, View
from tests.support.clock import ManualClock
from tests.support.frames import jpeg_frame, message
from tests.support.waiting import wait_for


def end(n: int, *, run: int = 1, camera: str = "door", boot: int = 7) -> Message:
    return Message(Topic(View.FRAME, "raw", camera), run, n, EndOfStream(camera, boot, n))


def only(inbox: Inbox) -> StreamCount:
    (count,) = inbox.counts()
    return count


def taken(inbox: Inbox) -> list[int]:
    """The sequence numbers of everything that waits, each processed at once; -1 for an end."""
    seen = []
    while (item := inbox.take(0)) is not None:
        seen.append(item.seq if isinstance(item, Frame) else -1)
        inbox.settle(item)
    return seen


def test_latest_gives_the_freshest_frame_and_counts_what_it_replaced() -> None:
    inbox = Inbox(Policy.LATEST)
    for seq in range(5):
        inbox.offer(message(jpeg_frame(seq)))
    assert taken(inbox) == [4]
    count = only(inbox)
    assert (count.offered, count.processed, count.dropped) == (5, 1, {"overwritten": 4})


def test_latest_keeps_a_slot_for_each_camera() -> None:
    inbox = Inbox(Policy.LATEST)
    for seq in range(3):
        inbox.offer(message(jpeg_frame(seq)))
        inbox.offer(message(jpeg_frame(seq + 10, camera="gate"), seq))
    assert sorted(taken(inbox)) == [2, 12]


def test_fifo_keeps_order_and_lets_the_oldest_go_when_it_is_full() -> None:
    inbox = Inbox(Policy.FIFO, depth=3)
    for seq in range(5):
        inbox.offer(message(jpeg_frame(seq)))
    assert taken(inbox) == [2, 3, 4]
    assert only(inbox).dropped == {"overflow": 2}


def test_cameras_take_turns() -> None:
    inbox = Inbox(Policy.FIFO)
    for seq in range(3):
        inbox.offer(message(jpeg_frame(seq)))
    inbox.offer(message(jpeg_frame(100, camera="gate"), 0))
    assert taken(inbox) == [0, 100, 1, 2]


def test_a_stream_is_worked_on_by_one_taker_at_a_time() -> None:
    inbox = Inbox(Policy.FIFO)
    for seq in range(2):
        inbox.offer(message(jpeg_frame(seq)))
    first = inbox.take(0)
    assert first is not None
    assert inbox.take(0) is None
    inbox.settle(first)
    second = inbox.take(0)
    assert isinstance(second, Frame)
    assert second.seq == 1


def test_a_gap_is_a_loss_and_what_came_before_joining_is_not() -> None:
    inbox = Inbox(Policy.FIFO)
    for seq in (3, 4, 7):
        inbox.offer(message(jpeg_frame(seq)))
    taken(inbox)
    count = only(inbox)
    assert (count.lost, count.dropped, count.processed, count.offered) == (2, {"before_join": 3}, 3, 8)


def test_the_end_of_a_stream_shows_a_loss_at_the_tail_and_comes_behind_the_last_frame() -> None:
    for policy in Policy:
        inbox = Inbox(policy)
        inbox.offer(message(jpeg_frame(0)))
        inbox.offer(end(4))
        inbox.offer(end(4))
        assert taken(inbox) == [0, -1]
        count = only(inbox)
        assert (count.lost, count.processed, count.ended) == (3, 1, True)


def test_a_stream_of_which_only_the_end_is_seen_was_missed_before_joining() -> None:
    inbox = Inbox(Policy.FIFO)
    inbox.offer(end(9))
    assert only(inbox).dropped == {"before_join": 9}


def test_a_frame_that_comes_twice_is_counted_and_not_given_again() -> None:
    inbox = Inbox(Policy.FIFO)
    for seq in (0, 1, 1, 0, 2):
        inbox.offer(message(jpeg_frame(seq)))
    assert taken(inbox) == [0, 1, 2]
    assert (only(inbox).repeats, only(inbox).duplicates) == (2, 0)


@pytest.mark.parametrize("policy", [Policy.FIFO, Policy.LOSSLESS])
def test_a_new_frame_that_comes_behind_a_later_one_is_handed_out(policy: Policy) -> None:
    inbox = Inbox(policy)
    for n, seq in enumerate((0, 2, 1, 3)):
        inbox.offer(message(jpeg_frame(seq), n))
    assert taken(inbox) == [0, 2, 1, 3]
    count = only(inbox)
    assert (count.offered, count.dropped, count.lost, count.duplicates) == (4, {}, 0, 0)


def test_latest_drops_a_new_frame_that_comes_behind_a_later_one_as_late() -> None:
    inbox = Inbox(Policy.LATEST)
    seen = []
    for n, seq in enumerate((0, 2, 1, 3)):
        inbox.offer(message(jpeg_frame(seq), n))
        seen += taken(inbox)
    assert seen == [0, 2, 3]
    count = only(inbox)
    assert (count.offered, count.dropped, count.lost, count.duplicates) == (4, {"late": 1}, 0, 0)


def test_what_a_second_publisher_repeats_is_neither_lost_nor_late() -> None:
    inbox = Inbox(Policy.FIFO)
    for seq in range(10):
        inbox.offer(message(jpeg_frame(seq), seq, run=1))
    for n, seq in ((0, 8), (1, 9), (2, 10)):
        inbox.offer(message(jpeg_frame(seq), n, run=2))
    assert taken(inbox) == list(range(11))
    count = only(inbox)
    assert (count.offered, count.dropped, count.lost, count.duplicates) == (11, {}, 0, 2)


def test_an_end_below_what_has_come_takes_no_loss_back() -> None:
    inbox = Inbox(Policy.FIFO)
    for seq in (0, 1, 5):
        inbox.offer(message(jpeg_frame(seq)))
    inbox.offer(end(2))
    taken(inbox)
    count = only(inbox)
    assert (count.offered, count.lost, count.ended) == (6, 3, True)


def test_what_the_end_has_shown_to_be_lost_is_not_lost_again() -> None:
    inbox = Inbox(Policy.FIFO)
    inbox.offer(message(jpeg_frame(0)))
    inbox.offer(end(4))
    inbox.offer(message(jpeg_frame(3)))
    taken(inbox)
    assert (only(inbox).offered, only(inbox).lost) == (4, 3)


def test_a_new_boot_is_counted_by_itself_and_all_of_it_was_subscribed_to() -> None:
    inbox = Inbox(Policy.FIFO)
    inbox.offer(message(jpeg_frame(5)))
    inbox.offer(message(jpeg_frame(2, boot=8)))
    assert taken(inbox) == [5, 2]
    old, new = inbox.counts()
    assert old.dropped == {"before_join": 5}
    assert (new.boot, new.lost, new.dropped) == (8, 2, {})


def test_counts_of_long_gone_boots_are_let_go() -> None:
    inbox = Inbox(Policy.FIFO)
    for boot in range(10, 20):
        inbox.offer(message(jpeg_frame(0, boot=boot)))
        taken(inbox)
    assert [count.boot for count in inbox.counts()] == [18, 19]


def test_a_publisher_that_starts_anew_in_the_middle_loses_no_more_than_is_missing() -> None:
    inbox = Inbox(Policy.FIFO)
    inbox.offer(message(jpeg_frame(0), 0, run=1))
    inbox.offer(
        message(jpeg_frame(10), 2, run=2)
    )  # it dropped some of 1 to 9 itself; two of its own were missed
    taken(inbox)
    assert only(inbox).lost == 2


def test_what_is_too_old_when_its_turn_comes_is_dropped() -> None:
    frame = jpeg_frame(0)
    clock = ManualClock()
    clock.set_wall_ns(frame.captured_ns + 2_000_000_000)
    inbox = Inbox(Policy.FIFO, max_age_s=1.5, clock=clock)
    inbox.offer(message(frame))
    fresh = jpeg_frame(30)
    inbox.offer(message(fresh))
    assert taken(inbox) == [30]
    assert only(inbox).dropped == {"expired": 1}


def waited(seconds: float, policy: Policy, max_age_s: float | None, *, lossless: bool = False) -> list[int]:
    """What is handed out of a frame that was new when it came, and waited for so long."""
    frame, clock = replace(jpeg_frame(0), lossless=lossless), ManualClock()
    clock.set_wall_ns(frame.captured_ns)
    inbox = Inbox(policy, max_age_s=max_age_s, clock=clock)
    inbox.offer(message(frame))
    clock.advance(seconds)
    return taken(inbox)


def test_latest_has_a_limit_of_a_second_unless_told_otherwise_and_the_others_have_none() -> None:
    assert waited(0.9, Policy.LATEST, None) == [0]
    assert waited(1.1, Policy.LATEST, None) == []
    for limit in (0, math.inf, 5):
        assert waited(1.1, Policy.LATEST, limit) == [0]
    for policy in (Policy.FIFO, Policy.LOSSLESS):
        assert waited(1e6, policy, None) == [0]
        assert waited(1.1, policy, 1) == []


@pytest.mark.parametrize("policy", Policy)
def test_a_lossless_stream_never_expires(policy: Policy) -> None:
    assert waited(1e6, policy, 1, lossless=True) == [0]


@pytest.mark.parametrize("seconds", [-1.0, math.nan])
def test_what_is_no_length_of_time_is_refused(seconds: float) -> None:
    with pytest.raises(ConfigError, match="give seconds, or 0 for no limit"):
        Inbox(max_age_s=seconds)


@pytest.mark.parametrize("behind_s", [-3600, 0, 3600])
def test_cameras_whose_clocks_are_wrong_are_seen_and_grow_old_like_others(behind_s: int) -> None:
    clock = ManualClock()
    inbox = Inbox(clock=clock)
    for seq in range(5):
        clock.set_wall_ns(jpeg_frame(seq).captured_ns + behind_s * 1_000_000_000)
        inbox.offer(message(jpeg_frame(seq)))
        assert taken(inbox) == [seq]
    inbox.offer(message(jpeg_frame(5)))
    clock.advance(1.5)
    assert taken(inbox) == []
    assert only(inbox).dropped == {"expired": 1}


def test_a_taker_waits_on_behind_a_frame_that_expired_in_the_slot() -> None:
    old, new = jpeg_frame(0), jpeg_frame(60)
    clock = ManualClock()
    clock.set_wall_ns(old.captured_ns)
    inbox = Inbox(clock=clock)
    inbox.offer(message(old))
    clock.set_wall_ns(new.captured_ns)
    results: list[object] = []
    with Scope("taker") as scope:
        scope.on_stop(inbox.close)
        scope.spawn("take", lambda: results.append(inbox.take()))
        wait_for(lambda: only(inbox).dropped == {"expired": 1}, "the old one is dropped")
        assert results == []
        inbox.offer(message(new, 1))
        wait_for(lambda: results, "the new one is handed out")
    assert results == [new]


def test_taking_ends_in_time_however_many_expired_frames_come() -> None:
    frame = jpeg_frame(size=16)
    clock = ManualClock()
    clock.set_wall_ns(frame.captured_ns)
    inbox = Inbox(Policy.FIFO, max_age_s=1, clock=clock)
    inbox.offer(message(frame))
    assert taken(inbox) == [0]
    clock.set_wall_ns(frame.captured_ns + 3_600_000_000_000)
    inbox.offer(message(replace(frame, seq=1)))
    results: list[object] = []
    n = 2

    def offered_until_done() -> bool:
        nonlocal n
        inbox.offer(message(replace(frame, seq=n)))
        n += 1
        return bool(results)

    with Scope("taker") as scope:
        scope.on_stop(inbox.close)
        scope.spawn("take", lambda: results.append(inbox.take(0.5)))
        wait_for(offered_until_done, "take returns")
    assert results == [None]
    assert only(inbox).dropped["expired"] > 0


def test_a_publisher_that_heeds_no_credits_fills_so_much_and_no_more() -> None:
    for policy in Policy:
        inbox = Inbox(policy, consumes=True)
        frame = replace(jpeg_frame(size=16), lossless=True)
        for seq in range(LOSSLESS_LIMIT + 44):
            inbox.offer(message(replace(frame, seq=seq)))
        assert taken(inbox) == list(range(44, LOSSLESS_LIMIT + 44))
        assert only(inbox).dropped == {"overflow": 44}


def test_a_frame_may_be_settled_as_dropped() -> None:
    inbox = Inbox(Policy.FIFO)
    inbox.offer(message(jpeg_frame(0)))
    item = inbox.take(0)
    assert item is not None
    assert only(inbox).in_flight == 1
    inbox.settle(item, "processor")
    count = only(inbox)
    assert (count.processed, count.dropped, count.in_flight) == (0, {"processor": 1}, 0)


def test_closing_lets_takers_go_and_counts_what_waits() -> None:
    inbox = Inbox(Policy.FIFO)
    results: list[object] = []
    with Scope("takers") as scope:
        for number in range(3):
            scope.spawn(f"taker {number}", lambda: results.append(inbox.take()))
        scope.on_stop(inbox.close)
    assert results == [None] * 3

    inbox = Inbox(Policy.FIFO)
    inbox.offer(message(jpeg_frame(0)))
    inbox.close()
    inbox.offer(message(jpeg_frame(1)))
    assert only(inbox).dropped == {"abandoned": 1}


def test_several_workers_keep_each_cameras_order() -> None:
    inbox, seen, lock = Inbox(Policy.FIFO, depth=1000), [], threading.Lock()

    def work() -> None:
        while (item := inbox.take()) is not None:
            with lock:
                seen.append((item.camera, item.seq if isinstance(item, Frame) else -1))
            inbox.settle(item)

    with Scope("workers") as scope:
        for number in range(4):
            scope.spawn(f"worker {number}", work)
        frames = {camera: jpeg_frame(camera=camera) for camera in ("a", "b", "c")}
        for seq in range(200):
            for frame in frames.values():
                inbox.offer(message(jpeg_frame(seq, camera=frame.camera, size=16)))
        idle = threading.Event()
        while not inbox.idle():
            idle.wait(0.001)
        scope.on_stop(inbox.close)
    for camera in frames:
        assert [seq for name, seq in seen if name == camera] == list(range(200))


events = st.lists(
    st.sampled_from(["frame", "lost", "again", "take", "drop", "end", "boot", "old", "behind", "run"]),
    min_size=1,
    max_size=60,
)


@given(events, st.sampled_from(Policy), st.integers(1, 4))
@settings(max_examples=300, deadline=None)
def test_every_frame_offered_is_in_exactly_one_place(steps: list[str], policy: Policy, depth: int) -> None:
    """Whatever happens, offered is what the publisher numbered, and nothing is counted twice."""
    clock = ManualClock()
    inbox = Inbox(policy, depth=depth, max_age_s=5, clock=clock)
    boot, run, seq, n, published, missing = 1, 1, 0, 0, 0, 0
    runs = 1  # of this boot
    for step in steps:
        match step:
            case "frame" | "old" | "behind":  # behind: what the publisher numbers last is not the newest
                frame = jpeg_frame(max(0, seq - 2) if step == "behind" else seq, boot=boot, size=16)
                shift = 10 if step == "old" else 0
                clock.set_wall_ns(frame.captured_ns + shift * 1_000_000_000)
                inbox.offer(message(frame, n, run=run))
                seq, n, published = seq + 1, n + 1, published + 1
            case "lost":
                seq, n, published, missing = seq + 1, n + 1, published + 1, missing + 1
            case "again" if n:
                inbox.offer(message(jpeg_frame(seq - 1, boot=boot, size=16), n - 1, run=run))
            case "take" | "drop":
                item = inbox.take(0)
                if item is not None:
                    inbox.settle(item, "processor" if step == "drop" and isinstance(item, Frame) else None)
            case "end":
                inbox.offer(end(n, run=run, boot=boot))
                boot, seq, n, published, missing, runs = boot + 1, 0, 0, 0, 0, 1
            case "boot":
                boot, seq, n, published, missing, runs = boot + 1, 0, 0, 0, 0, 1
            case "run":  # another publisher goes on with the stream, and sends the newest two again
                run, seq, n, runs = run + 1, max(0, seq - 2), 0, runs + 1
        for count in inbox.counts():
            total = count.processed + sum(count.dropped.values()) + count.lost + count.in_flight
            assert count.offered == total
            assert min(count.processed, count.lost, count.in_flight, *count.dropped.values(), 0) == 0
    inbox.offer(end(n, run=run, boot=boot))
    while (item := inbox.take(0)) is not None:
        inbox.settle(item)
    newest = max(inbox.counts(), key=lambda count: count.boot)
    assert newest.boot == boot
    assert (newest.in_flight, newest.ended) == (0, True)
    assert runs > 1 or newest.lost <= missing
    # With one publisher nothing is missing; what a former one sent last and was lost, nobody knows of.
    numbers = newest.offered + newest.duplicates
    assert numbers == published if runs == 1 else numbers <= published


@pytest.mark.parametrize("policy", Policy)
def test_a_repr_says_what_waits(policy: Policy) -> None:
    inbox = Inbox(policy)
    inbox.offer(message(jpeg_frame(0)))
    assert repr(inbox) == f"<Inbox {policy} streams=1 waiting=1>"


@pytest.mark.parametrize(
    ("policy", "left", "dropped"),
    [(Policy.LATEST, [4], {"overwritten": 4}), (Policy.FIFO, [2, 3, 4], {"overflow": 2})],
)
def test_a_paused_inbox_hands_nothing_out_and_its_policy_goes_on(
    policy: Policy, left: list[int], dropped: dict[str, int]
) -> None:
    inbox = Inbox(policy, depth=3)
    inbox.pause()
    for seq in range(5):
        inbox.offer(message(jpeg_frame(seq)))
    assert inbox.take(0) is None
    assert not inbox.idle()
    with Scope("test") as scope:
        found: list[int] = []

        def take() -> None:
            while len(found) < len(left) and isinstance(item := inbox.take(30), Frame):
                found.append(item.seq)
                inbox.settle(item)

        scope.spawn("take", take)
        inbox.resume()  # whoever waits is told
        scope.join()
    assert found == left
    assert only(inbox).dropped == dropped


def test_a_paused_inbox_tells_a_lossless_publisher_of_less_and_less_room() -> None:
    inbox = Inbox(consumes=True)
    inbox.pause()
    room = inbox.room("raw", "door")
    for seq in range(room):
        inbox.offer(message(replace(jpeg_frame(seq), lossless=True)))
    assert inbox.room("raw", "door") == 0
    inbox.resume()
    assert taken(inbox) == list(range(room))


def test_the_greatest_age_changes_while_frames_wait() -> None:
    clock = ManualClock()
    inbox = Inbox(Policy.FIFO, clock=clock)

    def offer(seq: int) -> None:
        inbox.offer(message(replace(jpeg_frame(seq), captured_ns=clock.wall_ns())))

    offer(0)
    inbox.set_max_age(2.0)
    clock.advance(1.0)
    offer(1)
    clock.advance(1.5)
    assert taken(inbox) == [1]
    offer(2)
    inbox.set_max_age(5.0)
    clock.advance(3.0)
    assert taken(inbox) == [2]
    offer(3)
    inbox.set_max_age(0)
    clock.advance(100.0)
    assert taken(inbox) == [3]
    assert only(inbox).dropped == {"expired": 1}
    with pytest.raises(ConfigError):
        inbox.set_max_age(-1)
