"""Lossless streams over real sockets: the publisher waits, and nobody misses a frame."""

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
import zmq

from mesh.frame import EndOfStream, Frame
from mesh.inbox import LOSSLESS_DEPTH, Inbox, Policy
from mesh.scope import Scope
from mesh.transport import Publisher, Subscriber
from mesh.transport.credit import CUT_OFF_S
from mesh.wire import Credit, Topic, View, encode_credit, topic_prefix
from tests.support.clock import ManualClock
from tests.support.frames import jpeg_frame
from tests.support.waiting import wait_for

TOPIC = Topic(View.FRAME, "raw", "door")
SMALL = replace(jpeg_frame(size=16), lossless=True)


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    publisher = Publisher("pub-1")
    publisher.lossless("raw", "door", hold=True)
    yield publisher
    publisher.close(flush=False)


class Consumer:
    """A subscriber with an inbox, as a process node has them."""

    def __init__(
        self, scope: Scope, publisher: Publisher, name: str, policy: Policy = Policy.LOSSLESS
    ) -> None:
        self.inbox = Inbox(policy, on_room=lambda: self.subscriber.made_room())
        self.subscriber = Subscriber(scope, self.inbox.offer_all, consumer=name)
        self.subscriber.subscribe(topic_prefix(View.FRAME, "raw", "door"))
        if self.inbox.consumes:
            self.subscriber.consume(TOPIC, lambda: self.inbox.room("raw", "door"))
        self.subscriber.connect(publisher.endpoint)
        scope.on_stop(self.inbox.close)

    def take(self, count: int) -> list[int]:
        """So many frames' sequence numbers; an end counts, as -1."""
        seqs = []
        for _ in range(count):
            item = self.inbox.take(30)
            assert item is not None
            seqs.append(item.seq if isinstance(item, Frame) else -1)
            self.inbox.settle(item)
        return seqs


def publish(publisher: Publisher, count: int, stop: threading.Event) -> None:
    for seq in range(count):
        if not publisher.publish(replace(SMALL, seq=seq), stop):
            return
    publisher.end(EndOfStream("door", 7, count, lossless=True), stop)


def test_a_lossless_stream_is_taken_in_by_consumers_and_not_by_viewers(publisher: Publisher) -> None:
    with Scope("test") as scope:
        Consumer(scope, publisher, "viewer", Policy.LATEST)
        wait_for(lambda: publisher.listens(View.FRAME, "raw", "door"))
        assert not publisher.is_taken_in("raw", "door")
        Consumer(scope, publisher, "one")
        assert publisher.await_taker("raw", "door", scope.stopping)
        assert publisher.consumers("raw", "door") == {"one"}


def test_a_fast_publisher_waits_for_a_slow_consumer_and_every_frame_arrives(publisher: Publisher) -> None:
    with Scope("test") as scope:
        one, two = (Consumer(scope, publisher, name) for name in ("one", "two"))
        wait_for(lambda: publisher.consumers("raw", "door") == {"one", "two"})
        scope.spawn("publish", publish, publisher, 1000, scope.stopping)
        assert one.take(20) == list(range(20))
        wait_for(lambda: two.inbox.room("raw", "door") <= 0, what="two, which takes nothing, is full")
        sent = wait_for(lambda: publisher.stats().get("frame_sent"))
        assert sent == LOSSLESS_DEPTH, "the publisher has stopped for it"
        rest: list[int] = []
        scope.spawn("take", lambda: rest.extend(one.take(981)))
        assert two.take(1001) == [*range(1000), -1]
        wait_for(lambda: len(rest) == 981)
        assert rest == [*range(20, 1000), -1]
        (count,) = one.inbox.counts()
        assert (count.processed, count.lost, dict(count.dropped), count.ended) == (1000, 0, {}, True)


def test_the_first_frame_waits_for_the_first_consumer(publisher: Publisher) -> None:
    with Scope("test") as scope:
        scope.spawn("publish", publish, publisher, 3, scope.stopping)
        viewer = Consumer(scope, publisher, "viewer", Policy.FIFO)
        wait_for(lambda: publisher.listens(View.FRAME, "raw", "door"))
        assert viewer.inbox.take(0) is None, "someone who only looks does not count"
        consumer = Consumer(scope, publisher, "consumer")
        assert consumer.take(4) == [0, 1, 2, -1]
        assert viewer.take(4) == [0, 1, 2, -1]


def test_a_consumer_that_loses_its_connection_misses_nothing(publisher: Publisher) -> None:
    with Scope("test") as scope:
        scope.spawn("publish", publish, publisher, 300, scope.stopping)
        consumer = Consumer(scope, publisher, "one")
        seqs = consumer.take(50)
        for _ in range(5):
            # Whatever is on its way is thrown away with the connection.
            consumer.subscriber.disconnect(publisher.endpoint)
            consumer.subscriber.connect(publisher.endpoint)
            seqs += consumer.take(50)
        assert seqs == list(range(300))


def test_a_hung_consumer_is_cut_off_and_a_publisher_that_stops_does_not_wait(publisher: Publisher) -> None:
    clock = ManualClock()
    timed = Publisher("pub-2", clock=clock)
    timed.lossless("raw", "door", hold=True)
    try:
        with Scope("test") as scope, zmq.Context() as context, context.socket(zmq.XSUB) as hung:
            hung.setsockopt(zmq.LINGER, 0)
            hung.connect(timed.endpoint)
            hung.send(b"\x01frame/")
            wait_for(lambda: timed.listens(View.FRAME, "raw", "door"))
            hung.send(encode_credit(Credit("hung", bytes(TOPIC), 0, 0, 0, 4)))
            stop = threading.Event()
            done = threading.Event()

            def run() -> None:
                publish(timed, 100, stop)
                done.set()

            scope.spawn("publish", run)
            wait_for(lambda: timed.stats().get("frame_sent") == 4, what="it has room for four")
            healthy = Consumer(scope, timed, "healthy")
            assert healthy.take(4) == [0, 1, 2, 3]
            clock.advance(CUT_OFF_S - 1)
            wait_for(
                lambda: heard_at(timed, "healthy") == clock.monotonic(), "the other one goes on speaking"
            )
            clock.advance(1)
            wait_for(lambda: timed.stats().get("cut_off") == 1)
            assert healthy.take(97) == [*range(4, 100), -1]
            assert done.wait(30)
    finally:
        timed.close(flush=False)
    assert not publisher.publish(SMALL, _set()), "nobody consumes it, and it is time to stop"


def heard_at(publisher: Publisher, consumer: str) -> float:
    """When a consumer has said something last, by the publisher's clock."""
    return publisher._flows[bytes(TOPIC)]._consumers[consumer].heard_at


def _set() -> threading.Event:
    event = threading.Event()
    event.set()
    return event


def test_garbage_from_below_is_counted(publisher: Publisher) -> None:
    with zmq.Context() as context, context.socket(zmq.XSUB) as rogue:
        rogue.setsockopt(zmq.LINGER, 0)
        rogue.connect(publisher.endpoint)
        rogue.send(b"\x01frame/")
        for garbage in (b"\x02\xc1", b"hello", b"\x02"):
            rogue.send(garbage)
        wait_for(lambda: publisher.stats().get("wire_errors") == 3)
