"""Spans: what an inbox has accounted for, as numbers of its publishers' runs, whatever comes and goes."""

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.accounts import SPANS_KEPT
from mesh.frame import EndOfStream, Frame
from mesh.inbox import Inbox, Policy, StreamCount
from mesh.wire import Message, Topic, View
from tests.support.frames import jpeg_frame

OUTSIDE = ("before_join", "elsewhere")
SMALL = jpeg_frame(size=16)


def frame(seq: int, partitions: int = 1, *, boot: int = 7, lossless: bool = False) -> Frame:
    return replace(SMALL, seq=seq, partitions=partitions, boot=boot, lossless=lossless)


def message(n: int, body: Frame | EndOfStream, run: int = 1) -> Message:
    return Message(Topic(View.FRAME, "raw", "door", body.partition), run, n, body)


def end(
    n: int, count: int, partition: int = 0, partitions: int = 1, *, boot: int = 7, run: int = 1
) -> Message:
    said = EndOfStream("door", boot, count, partition=partition, partitions=partitions)
    return message(n, said, run)


def offer(inbox: Inbox, *numbers: int, run: int = 1, partition: int = 0, partitions: int = 1) -> None:
    """Frames of one partition, of which a publisher offers every one."""
    for n in numbers:
        inbox.offer(message(n, frame(n * partitions + partition, partitions), run))


def taken(inbox: Inbox) -> list[int]:
    """What waits, each settled at once; -1 for an end."""
    seen = []
    while (item := inbox.take(0)) is not None:
        seen.append(item.seq if isinstance(item, Frame) else -1)
        inbox.settle(item)
    return seen


def only(inbox: Inbox) -> StreamCount:
    (count,) = inbox.counts()
    return count


def inside(count: StreamCount) -> int:
    """All that lies inside of the spans."""
    dropped = sum(number for cause, number in count.dropped.items() if cause not in OUTSIDE)
    return count.processed + dropped + count.lost + count.in_flight + count.duplicates


def length(count: StreamCount) -> int:
    return sum(end - first for _, _, first, end in count.spans)


def test_a_span_begins_where_a_subscriber_joins_and_holds_what_was_lost() -> None:
    inbox = Inbox(Policy.FIFO)
    offer(inbox, 3, 4, 7)
    count = only(inbox)
    assert count.spans == ((0, 1, 3, 8),)
    assert (count.dropped, count.lost, inside(count)) == ({"before_join": 3}, 2, 5)


def test_each_partition_has_spans_and_gaps_of_its_own() -> None:
    inbox = Inbox(Policy.FIFO)
    offer(inbox, 0, 1, 2, partition=0, partitions=2)
    offer(inbox, 5, 7, partition=1, partitions=2)
    count = only(inbox)
    assert set(count.spans) == {(0, 1, 0, 3), (1, 1, 5, 8)}
    assert (count.dropped, count.lost) == ({"before_join": 5}, 1)


def test_what_passes_while_a_partition_is_left_was_taken_elsewhere() -> None:
    inbox = Inbox(Policy.FIFO, split=True)
    offer(inbox, 0, 1)
    inbox.leave("raw", "door", 0)
    offer(inbox, 2, 3)
    assert taken(inbox) == [0, 1], "what is queued is still handed out, what arrives is refused"
    inbox.enter("raw", "door", 0)
    assert inbox.reached("raw", "door", 0) is None
    offer(inbox, 5, 6)
    assert inbox.reached("raw", "door", 0) == (7, 1, 7)
    count = only(inbox)
    assert count.spans == ((0, 1, 0, 2), (0, 1, 5, 7))
    assert (count.dropped, count.lost, count.offered) == ({"elsewhere": 3}, 0, 7)


def test_a_partition_is_drained_once_all_that_came_of_it_is_settled() -> None:
    inbox = Inbox(Policy.FIFO, split=True)
    assert inbox.is_drained("raw", "door", 0)
    offer(inbox, 0, partition=0, partitions=2)
    assert not inbox.is_drained("raw", "door", 0), "it waits"
    assert inbox.is_drained("raw", "door", 1)
    item = inbox.take(0)
    assert item is not None
    assert not inbox.is_drained("raw", "door", 0), "it is held"
    inbox.settle(item)
    assert inbox.is_drained("raw", "door", 0)


def test_spans_between_which_nothing_passed_are_one() -> None:
    inbox = Inbox(Policy.FIFO, split=True)
    offer(inbox, 0, 1)
    inbox.leave("raw", "door", 0)
    inbox.enter("raw", "door", 0)
    offer(inbox, 2)
    assert only(inbox).spans == ((0, 1, 0, 3),)
    assert only(inbox).dropped == {}


def test_a_run_that_began_while_a_partition_was_left_is_joined() -> None:
    inbox = Inbox(Policy.FIFO, split=True)
    offer(inbox, 0, 1)
    inbox.leave("raw", "door", 0)
    inbox.enter("raw", "door", 0)
    inbox.offer(message(4, frame(20), run=2))
    inbox.offer(message(9, frame(21), run=1))
    count = only(inbox)
    assert set(count.spans) == {(0, 1, 0, 2), (0, 1, 9, 10), (0, 2, 4, 5)}
    assert (count.dropped, count.lost) == ({"before_join": 4, "elsewhere": 7}, 0)


def test_an_end_that_finds_a_joining_subscriber_leaves_an_empty_span() -> None:
    inbox = Inbox(Policy.FIFO)
    inbox.offer(end(9, 9))
    count = only(inbox)
    assert (count.spans, count.dropped, count.ended) == (((0, 1, 9, 9),), {"before_join": 9}, True)


def test_what_a_second_publisher_repeats_are_duplicates_inside_of_its_span() -> None:
    inbox = Inbox(Policy.FIFO)
    offer(inbox, *range(10))
    for n, seq in ((2, 8), (3, 9), (4, 10)):
        inbox.offer(message(n, frame(seq), run=2))
    inbox.offer(message(10, frame(10), run=1))
    inbox.offer(message(10, frame(10), run=1))
    count = only(inbox)
    assert set(count.spans) == {(0, 1, 0, 11), (0, 2, 2, 5)}
    assert (count.lost, count.duplicates, count.repeats, count.in_flight) == (0, 3, 1, 11)
    assert count.dropped == {"before_join": 2}


@pytest.mark.parametrize("partitions", [1, 4])
def test_what_a_slow_publisher_brings_behind_its_successor_is_handed_out(partitions: int) -> None:
    inbox = Inbox(Policy.FIFO, split=True)
    offer(inbox, *range(60), partitions=partitions)
    for n in range(20):
        inbox.offer(message(n, frame((100 + n) * partitions, partitions), run=2))
    offer(inbox, *range(60, 105), partitions=partitions)
    for n in (20, 21):
        inbox.offer(message(n, frame((100 + n) * partitions, partitions), run=2))
    places = [seq // partitions for seq in taken(inbox)]
    assert places == [*range(60), *range(100, 120), *range(60, 100), 120, 121]
    count = only(inbox)
    assert set(count.spans) == {(0, 1, 0, 105), (0, 2, 0, 22)}
    assert (count.duplicates, count.lost, count.dropped) == (5, 0, {}), "100 to 104 came twice"


def test_latest_drops_what_a_slow_publisher_brings_as_late() -> None:
    inbox = Inbox(Policy.LATEST)
    offer(inbox, *range(3))
    for n in range(2):
        inbox.offer(message(n, frame(5 + n), run=2))
    offer(inbox, 3, 4, 5)
    assert taken(inbox) == [6]
    count = only(inbox)
    assert (count.dropped, count.duplicates) == ({"overwritten": 4, "late": 2}, 1)
    assert inside(count) == length(count)


def test_what_one_link_lost_and_another_publisher_brought_is_a_duplicate_and_the_rest_is_lost() -> None:
    inbox = Inbox(Policy.FIFO, split=True)
    offer(inbox, *range(10))
    inbox.offer(message(0, frame(12), run=2))
    inbox.offer(message(1, frame(13), run=2))
    offer(inbox, 16)
    count = only(inbox)
    assert (count.lost, count.duplicates) == (4, 2), "10, 11, 14 and 15 never came"
    inbox.offer(message(3, frame(15), run=2))
    assert taken(inbox)[-1] == 15, "what one publisher's link lost may yet come of another one"
    assert inside(only(inbox)) == length(only(inbox))


def test_of_a_publisher_that_is_heard_late_only_what_is_beyond_all_that_came_is_lost() -> None:
    inbox = Inbox(Policy.FIFO, split=True)
    offer(inbox, 0, 1, partition=1, partitions=4)
    inbox.offer(message(9, frame(4 * 5 + 1, 4), run=2))
    count = only(inbox)
    assert (count.lost, count.dropped) == (3, {"before_join": 6}), "those of 2, 3 and 4 are missing"
    inbox.offer(end(7, 32, 1, 4, run=3))
    count = only(inbox)
    assert (count.lost, count.dropped) == (5, {"before_join": 11}), "and those of 6 and 7"
    assert set(count.spans) == {(1, 1, 0, 2), (1, 2, 6, 10), (1, 3, 5, 7)}
    assert (count.duplicates, inside(count)) == (0, length(count))


def test_a_subscriber_joins_each_publisher_that_there_is() -> None:
    inbox = Inbox(Policy.FIFO, split=True)
    inbox.offer(message(500, frame(900), run=1))
    inbox.offer(message(400, frame(850), run=2))
    count = only(inbox)
    assert set(count.spans) == {(0, 1, 500, 501), (0, 2, 400, 401)}
    assert (count.dropped, count.duplicates, count.lost) == ({"before_join": 900}, 0, 0)
    assert taken(inbox) == [900, 850]


def test_the_oldest_spans_of_a_partition_that_comes_and_goes_become_one() -> None:
    inbox = Inbox(Policy.FIFO, split=True)
    turns = 2 * SPANS_KEPT
    for n in range(0, 3 * turns, 3):
        inbox.enter("raw", "door", 0)
        offer(inbox, n, n + 1)
        inbox.leave("raw", "door", 0)
        taken(inbox)
    count, exact = only(inbox), SPANS_KEPT - 1
    begins = range(3 * (turns - exact), 3 * turns, 3)
    assert count.spans == ((0, 1, 0, begins[0] - 1), *((0, 1, n, n + 2) for n in begins))
    assert count.dropped == {"away": turns - 1 - exact, "elsewhere": exact}
    assert (inside(count), count.processed, count.offered) == (length(count), 2 * turns, 3 * turns - 1)


def test_a_camera_has_ended_when_all_its_partitions_have() -> None:
    inbox = Inbox(Policy.FIFO)
    offer(inbox, 0, partition=0, partitions=2)
    inbox.offer(end(1, 2, 0, 2))
    assert not only(inbox).ended
    inbox.offer(end(1, 2, 1, 2))
    assert only(inbox).ended


def test_a_member_is_done_when_the_partitions_that_it_takes_have_ended() -> None:
    inbox = Inbox(Policy.FIFO, split=True)
    for partition in (0, 1):
        offer(inbox, 0, partition=partition, partitions=4)
    inbox.offer(end(1, 4, 1, 4))
    assert not only(inbox).ended
    inbox.leave("raw", "door", 0)
    assert only(inbox).ended


def test_a_split_inbox_gives_partitions_to_takers_at_the_same_time() -> None:
    inbox = Inbox(Policy.FIFO, split=True)
    for seq in range(4):
        inbox.offer(message(seq // 2, frame(seq, 2)))
    first, second = inbox.take(0), inbox.take(0)
    assert isinstance(first, Frame)
    assert isinstance(second, Frame)
    assert {first.seq, second.seq} == {0, 1}
    assert inbox.take(0) is None
    inbox.settle(second)
    third = inbox.take(0)
    assert isinstance(third, Frame)
    assert third.seq == 3


def test_latest_never_goes_back_over_the_partitions_of_a_camera() -> None:
    inbox = Inbox(Policy.LATEST)
    for seq in (0, 1, 5, 2, 3):
        inbox.offer(message(seq // 4, frame(seq, 4)))
    assert taken(inbox) == [5]
    inbox.offer(message(1, frame(4, 4)))
    assert taken(inbox) == []
    count = only(inbox)
    assert (count.processed, count.dropped, count.lost) == (1, {"overwritten": 5}, 0)


def test_the_partitions_of_a_lossless_camera_share_its_room() -> None:
    for split in (False, True):
        inbox = Inbox(Policy.LOSSLESS, split=split)
        for seq in (0, 4, 1):
            inbox.offer(message(seq // 4, frame(seq, 4, lossless=True)))
        assert [inbox.room("raw", "door", number, 4) for number in range(4)] == [14, 15, 16, 16]
        assert inbox.room("raw", "gate", 63, 64) == 1


@dataclass
class Publishers:
    """Two publishers of a camera with two partitions, the second of which may offer what the first has."""

    boot: int = 1
    seq: dict[int, int] = field(default_factory=dict)
    n: dict[tuple[int, int], int] = field(default_factory=dict)

    def next(self, partition: int, run: int, *, repeat: bool = False) -> Message:
        place = self.seq.get(partition, 0)
        place = max(0, place - 1) if repeat else place
        self.seq[partition] = place + 1
        n = self.n.get((partition, run), 0)
        self.n[partition, run] = n + 1
        return message(n, frame(2 * place + partition, 2, boot=self.boot), run)

    def end(self, partition: int, run: int) -> Message:
        count = 2 * max(self.seq.values(), default=0)
        return end(self.n.get((partition, run), 0), count, partition, 2, boot=self.boot, run=run)


STEPS = ("frame", "frame", "lost", "old", "again", "take", "drop", "leave", "enter", "end", "boot")
steps = st.tuples(st.sampled_from(STEPS), st.integers(0, 1), st.integers(1, 2))


@given(st.lists(steps, max_size=80), st.sampled_from(Policy), st.booleans())
@settings(max_examples=300, deadline=None)
def test_inside_a_span_every_number_is_in_exactly_one_count(
    path: list[tuple[str, int, int]], policy: Policy, split: bool
) -> None:
    inbox, publishers, last = Inbox(policy, depth=3, split=split, max_age_s=0), Publishers(), None
    for step, partition, run in path:
        match step:
            case "frame" | "old":
                last = publishers.next(partition, run, repeat=step == "old")
                inbox.offer(last)
            case "lost":
                publishers.next(partition, run)
            case "again" if last is not None:
                inbox.offer(last)
            case "take" | "drop":
                if (item := inbox.take(0)) is not None:
                    inbox.settle(item, "processor" if step == "drop" else None)
            case "leave":
                inbox.leave("raw", "door", partition)
            case "enter":
                inbox.enter("raw", "door", partition)
            case "end":
                inbox.offer(publishers.end(partition, run))
            case "boot":
                publishers = Publishers(publishers.boot + 1)
        for count in inbox.counts():
            assert inside(count) == length(count)
            check_spans(count, publishers if count.boot == publishers.boot else None)


def check_spans(count: StreamCount, publishers: Publishers | None) -> None:
    """Spans are apart and in order, and hold nothing that was not offered."""
    ends: dict[tuple[int, int], int] = {}
    for partition, run, first, past in count.spans:
        assert ends.get((partition, run), -1) < first <= past
        ends[partition, run] = past
        assert publishers is None or past <= publishers.n.get((partition, run), 0)
    outside = sum(count.dropped.get(cause, 0) for cause in OUTSIDE)
    assert outside == sum(ends.values()) - length(count)
