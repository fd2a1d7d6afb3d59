"""Partitions over real sockets: each is subscribed to, numbered, consumed and let go of by itself."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest
import zmq

from mesh.errors import ConfigError
from mesh.frame import EndOfStream, Frame
from mesh.inbox import LOSSLESS_DEPTH, Inbox, Policy
from mesh.publication import publish
from mesh.scope import Scope
from mesh.subscription import subscribe
from mesh.transport import Publisher, Subscriber
from mesh.views import Views
from mesh.wire import Credit, Release, Topic, View, encode_credit, encode_release, topic_prefix
from tests.support.frames import jpeg_frame
from tests.support.waiting import wait_for

SMALL = jpeg_frame(size=16)


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    publisher = Publisher("pub-1")
    yield publisher
    publisher.close(flush=False)


class Member:
    """A subscriber that takes partitions one by one, as a member of a group does, and works on them."""

    def __init__(self, scope: Scope, endpoint: str, name: str, partitions: int) -> None:
        self.inbox = Inbox(
            Policy.FIFO, split=True, consumes=True, on_room=lambda: self.subscriber.made_room()
        )
        self.subscriber = Subscriber(scope, self.inbox.offer_all, consumer=name)
        self.views = Views(self.subscriber, "raw")
        self.subscriber.connect(endpoint)
        self.seqs: list[int] = []
        self.ends: list[int] = []
        self._partitions = partitions
        scope.on_stop(self.inbox.close)
        scope.spawn(f"work {name}", self._work)

    def take(self, *partitions: int, lossless: bool = False) -> None:
        for number in partitions:
            self.inbox.enter("raw", "door", number)
            self.views.take("door", View.FRAME, number)
            if lossless:
                self.subscriber.consume(topic(number), partial(self._room, number))

    def leave(self, partition: int) -> None:
        self.inbox.leave("raw", "door", partition)
        self.views.leave("door", partition)
        self.subscriber.release(topic(partition))

    def _room(self, number: int) -> int:
        return self.inbox.room("raw", "door", number, self._partitions)

    def _work(self) -> None:
        while (item := self.inbox.take()) is not None:
            if isinstance(item, Frame):
                self.seqs.append(item.seq)
            else:
                self.ends.append(item.partition)
            self.inbox.settle(item)


def topic(partition: int) -> Topic:
    return Topic(View.FRAME, "raw", "door", partition)


def spread(count: int, partitions: int, *, lossless: bool = False) -> Iterator[Frame]:
    for seq in range(count):
        yield replace(SMALL, seq=seq, partitions=partitions, lossless=lossless)


def say_end(publisher: Publisher, count: int, partitions: int) -> None:
    for number in range(partitions):
        publisher.end(EndOfStream("door", 7, count, partition=number, partitions=partitions))


def run_lossless(scope: Scope, publisher: Publisher, count: int, partitions: int) -> None:
    """Publish so many frames, and their end, as fast as they are taken in, on a thread of `scope`."""
    end = EndOfStream("door", 7, count, lossless=True, partitions=partitions)

    def run() -> None:
        for frame in spread(count, partitions, lossless=True):
            publisher.publish(frame, scope.stopping)
        for number in range(partitions):
            publisher.end(replace(end, partition=number), scope.stopping)

    scope.on_stop(publisher.wake)
    scope.spawn("publish", run)


def test_two_subscribers_share_a_camera_and_neither_sees_a_gap(publisher: Publisher) -> None:
    with Scope("test") as scope:
        even, odd = (Member(scope, publisher.endpoint, name, 4) for name in ("even", "odd"))
        even.take(0, 2)
        odd.take(1, 3)
        wait_for(lambda: publisher.is_taken_in("raw", "door", 4))
        for frame in spread(40, 4):
            publisher.publish(frame)
        say_end(publisher, 40, 4)
        wait_for(lambda: len(even.ends) == len(odd.ends) == 2)
        for member, partitions in ((even, (0, 2)), (odd, (1, 3))):
            for number in partitions:
                mine = [seq for seq in member.seqs if seq % 4 == number]
                assert mine == list(range(number, 40, 4))
            (count,) = member.inbox.counts()
            assert (count.processed, count.offered, count.lost, count.ended) == (20, 20, 0, True)
            assert {span[0]: span[2:] for span in count.spans} == dict.fromkeys(partitions, (0, 10))


def test_a_camera_that_has_fewer_partitions_than_before_waits_for_those_alone(publisher: Publisher) -> None:
    for frame in spread(2, 2):
        publisher.publish(frame)
    with Scope("test") as scope:
        member = Member(scope, publisher.endpoint, "one", 2)
        member.take(0)
        wait_for(lambda: publisher.is_taken_in("raw", "door", 1))
        assert publisher.await_taker("raw", "door", scope.stopping, 1)
        assert not publisher.is_taken_in("raw", "door", 2)


def test_a_member_that_takes_over_a_partition_counts_what_passed_before(publisher: Publisher) -> None:
    with Scope("test") as scope:
        member = Member(scope, publisher.endpoint, "late", 2)
        member.take(0)
        wait_for(lambda: publisher.is_taken_in("raw", "door"))
        frames = list(spread(20, 2))
        for frame in frames[:10]:
            publisher.publish(frame)
        member.take(1)
        wait_for(lambda: publisher.is_taken_in("raw", "door", 2))
        for frame in frames[10:]:
            publisher.publish(frame)
        say_end(publisher, 20, 2)
        wait_for(lambda: sorted(member.ends) == [0, 1])
        (count,) = member.inbox.counts()
        assert {span[0]: span[2:] for span in count.spans} == {0: (0, 10), 1: (5, 10)}
        assert (count.processed, count.dropped, count.lost) == (15, {"before_join": 5}, 0)


def test_a_camera_has_one_preview_and_its_end_is_said_with_the_last_partition(publisher: Publisher) -> None:
    with Scope("test") as scope:
        inbox = Inbox(Policy.FIFO)
        subscriber = Subscriber(scope, inbox.offer_all)
        subscriber.subscribe(topic_prefix(View.PREVIEW, "raw", "door"))
        subscriber.connect(publisher.endpoint)
        wait_for(lambda: publisher.listens(View.PREVIEW, "raw", "door"))
        for frame in spread(9, 3):
            publisher.publish(frame)
        say_end(publisher, 9, 3)
        first = inbox.take(30)
        assert isinstance(first, Frame)
        assert (first.seq, first.partitions) == (0, 1)
        inbox.settle(first)
        while isinstance(item := inbox.take(30), Frame):  # at two a second, by a clock that nobody holds
            inbox.settle(item)
        assert item == EndOfStream("door", 7, 9)


def test_a_lossless_camera_waits_for_a_consumer_of_each_partition(publisher: Publisher) -> None:
    publisher.lossless("raw", "door", hold=True, partitions=3)
    with Scope("test") as scope:
        member = Member(scope, publisher.endpoint, "one", 3)
        member.take(0, 1, lossless=True)
        wait_for(lambda: publisher.consumers("raw", "door") == {"one"})
        assert not publisher.is_taken_in("raw", "door", 3)
        member.take(2, lossless=True)
        assert publisher.await_taker("raw", "door", scope.stopping, 3)


def test_one_of_two_consumers_leaves_while_the_source_runs_and_nothing_is_lost(publisher: Publisher) -> None:
    publisher.lossless("raw", "door", hold=True, partitions=3)
    total = 900
    with Scope("test") as scope:
        stays, goes = (Member(scope, publisher.endpoint, name, 3) for name in ("stays", "goes"))
        stays.take(0, lossless=True)
        goes.take(1, 2, lossless=True)
        wait_for(lambda: publisher.is_taken_in("raw", "door", 3))
        run_lossless(scope, publisher, total, 3)
        wait_for(lambda: len(goes.seqs) >= 100)
        stays.take(1, 2, lossless=True)
        for number in (1, 2):
            wait_for(partial(stays.inbox.reached, "raw", "door", number))
            goes.leave(number)
        wait_for(lambda: sorted(stays.ends) == [0, 1, 2])
        assert publisher.consumers("raw", "door") == {"stays"}
        assert set(stays.seqs) | set(goes.seqs) == set(range(total))
        for member in (stays, goes):
            for number in range(3):
                mine = [seq for seq in member.seqs if seq % 3 == number]
                assert mine == sorted(mine)
            (count,) = member.inbox.counts()
            assert (count.lost, count.in_flight) == (0, 0)
        assert publisher.stats().get("cut_off", 0) == 0
        spans = {span for m in (stays, goes) for count in m.inbox.counts() for span in count.spans}
        assert {p for p, _, first, _ in spans if first == 0} == {0, 1, 2}


def test_what_the_last_consumer_had_not_confirmed_waits_for_the_next(publisher: Publisher) -> None:
    publisher.lossless("raw", "door", hold=True, partitions=2)
    with Scope("test") as scope, zmq.Context() as context, context.socket(zmq.XSUB) as gone:
        gone.setsockopt(zmq.LINGER, 0)
        gone.connect(publisher.endpoint)
        for number in (0, 1):
            gone.send(b"\x01" + bytes(topic(number)))
            gone.send(encode_credit(Credit("gone", bytes(topic(number)), 0, 0, 0, 4)))
        run_lossless(scope, publisher, 200, 2)
        wait_for(lambda: publisher.stats().get("frame_sent") == 8, what="it has room for four of each")
        for number in (0, 1):
            gone.send(encode_release(Release("gone", bytes(topic(number)))))
        wait_for(lambda: not publisher.consumers("raw", "door"))
        member = Member(scope, publisher.endpoint, "next", 2)
        member.take(0, 1, lossless=True)
        wait_for(lambda: sorted(member.ends) == [0, 1])
        (count,) = member.inbox.counts()
        assert (count.processed, count.offered, count.lost) == (200, 200, 0)


def test_no_partition_runs_ahead_of_one_that_is_not_taken_from(publisher: Publisher) -> None:
    publisher.lossless("raw", "door", hold=True, partitions=4)
    with Scope("test") as scope:
        fast = Member(scope, publisher.endpoint, "fast", 4)
        fast.take(0, 1, 2, lossless=True)
        slow = Inbox(Policy.FIFO, split=True, consumes=True)
        subscriber = Subscriber(scope, slow.offer_all, consumer="slow")
        subscriber.subscribe(bytes(topic(3)))
        subscriber.consume(topic(3), lambda: slow.room("raw", "door", 3, 4))
        subscriber.connect(publisher.endpoint)
        wait_for(lambda: publisher.is_taken_in("raw", "door", 4))
        run_lossless(scope, publisher, 500, 4)
        wait_for(lambda: slow.room("raw", "door", 3, 4) == 0)
        wait_for(lambda: len(fast.seqs) == 51)
        assert max(fast.seqs) < LOSSLESS_DEPTH + 4
        assert publisher.stats()["frame_sent"] == LOSSLESS_DEPTH + 3


def test_scripts_publish_and_subscribe_over_partitions() -> None:
    with (
        publish("tcp://127.0.0.1:*", "raw", "door", partitions=3) as out,
        subscribe(out.endpoint, policy="fifo", until_end=True, view="frame") as frames,
    ):
        wait_for(lambda: out.listened_to)
        for _ in range(12):
            assert out.send(SMALL.payload).partitions == 3
        out.close()
        seqs = [frame.seq for frame in frames]
        (count,) = frames.counts()
    assert [sorted(seq for seq in seqs if seq % 3 == p) for p in range(3)] == [
        list(range(p, 12, 3)) for p in range(3)
    ]
    assert (count.processed, count.lost, count.ended) == (12, 0, True)
    assert {span[0]: span[2:] for span in count.spans} == dict.fromkeys(range(3), (0, 4))


@pytest.mark.parametrize("count", [0, -1, 1025])
def test_a_number_of_partitions_that_is_none_is_refused(count: int) -> None:
    with pytest.raises(ConfigError, match="give 1 to 1024"):
        publish("tcp://127.0.0.1:*", "raw", "door", partitions=count)
