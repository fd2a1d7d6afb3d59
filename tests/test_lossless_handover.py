"""Lossless streams while those at either end change: two publishers at once, consumers that stop or die."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import zmq

from mesh import wire
from mesh.frame import EndOfStream, Frame
from mesh.inbox import Inbox, Policy
from mesh.registry.records import NodeState
from mesh.scope import Scope
from mesh.transport import Publisher, Subscriber
from mesh.transport.succession import Succession
from mesh.wire import Credit, Topic, View, encode_credit
from nodes.capture.camera import CameraConfig
from nodes.capture.node import Capture
from nodes.node import Node, NodeConfig, Work
from nodes.process.node import Process, ProcessConfig
from tests.support.clock import ManualClock
from tests.support.frames import jpeg_frame
from tests.support.waiting import wait_for

TOPIC = Topic(View.FRAME, "raw", "door")
MADE = Topic(View.FRAME, "passthrough", "door")
SMALL = replace(jpeg_frame(size=16), lossless=True)


class Consumer:
    """A subscriber with an inbox, as a process node has them."""

    def __init__(self, scope: Scope, name: str, publisher: Publisher) -> None:
        self.inbox = Inbox(Policy.LOSSLESS, on_room=lambda: self.subscriber.made_room())
        self.subscriber = Subscriber(scope, self.inbox.offer_all, consumer=name)
        self.subscriber.subscribe(bytes(TOPIC))
        self.subscriber.consume(TOPIC, lambda: self.inbox.room("raw", "door"))
        self.subscriber.connect(publisher.endpoint)
        scope.on_stop(self.inbox.close)

    def take(self, count: int) -> list[int]:
        """The sequence numbers of so many frames."""
        seqs: list[int] = []
        while len(seqs) < count:
            item = self.inbox.take(30)
            assert item is not None
            seqs += [item.seq] if isinstance(item, Frame) else []
            self.inbox.settle(item)
        return seqs


@contextmanager
def lossless(*names: str, clock: ManualClock | None = None) -> Iterator[list[Publisher]]:
    publishers = [Publisher(name, clock=clock) if clock else Publisher(name) for name in names]
    for publisher in publishers:
        publisher.lossless("raw", "door", hold=True)
    try:
        yield publishers
    finally:
        for publisher in publishers:
            publisher.close(flush=False)


def publish(publisher: Publisher, first: int, count: int, stop: threading.Event) -> None:
    for seq in range(first, first + count):
        if not publisher.publish(replace(SMALL, seq=seq), stop):
            return
    publisher.end(EndOfStream("door", 7, first + count, lossless=True), stop)


@contextmanager
def raw_consumer(publisher: str, name: str, topic: Topic, room: int) -> Iterator["zmq.Socket[bytes]"]:
    """Says that it has room for so many, and nothing else, until it is told to."""
    with zmq.Context() as context, context.socket(zmq.XSUB) as sock:
        sock.setsockopt(zmq.LINGER, 0)
        sock.setsockopt(zmq.RCVTIMEO, 30_000)
        sock.connect(publisher)
        sock.send(b"\x01" + bytes(topic))
        say(sock, Credit(name, bytes(topic), 0, 0, 0, room))
        yield sock


def say(sock: "zmq.Socket[bytes]", credit: Credit) -> None:
    sock.send(encode_credit(credit))


def test_while_two_publish_one_topic_nothing_of_either_is_lost() -> None:
    """The one that hands over is still confirmed, and sends again what was lost, beside its successor."""
    count, had = 100, list[tuple[int, int]]()

    def take(messages: list[wire.Message]) -> None:
        had.extend((message.run, message.n) for message in messages)

    with lossless("old", "new") as publishers, Scope("test") as scope:
        subscriber = Subscriber(scope, take, consumer="one")
        subscriber.subscribe(bytes(TOPIC))
        subscriber.consume(TOPIC, lambda: 8)
        for publisher in publishers:
            subscriber.connect(publisher.endpoint)
            scope.on_stop(publisher.wake)
            scope.spawn("publish", publish, publisher, 0, count, scope.stopping)
        wait_for(lambda: len(had) >= count // 2)
        for publisher in publishers:  # what is on its way is thrown away with the connection
            subscriber.disconnect(publisher.endpoint)
            subscriber.connect(publisher.endpoint)
        wait_for(lambda: len(had) == 2 * (count + 1), "all came, and both ends")
        for publisher in publishers:
            assert [n for run, n in had if run == publisher.run] == list(range(count + 1))
        wait_for(lambda: all(publisher.is_settled("raw", "door") for publisher in publishers))


def test_who_takes_over_from_a_killed_consumer_is_not_kept_waiting() -> None:
    """It gets what that one had not confirmed, long before silence would tell; other groups lose nothing."""
    clock = ManualClock()
    living = {"killed": "group", "heir": "group", "other": "others"}
    with (
        lossless("pub", clock=clock) as (publisher,),
        Scope("test") as scope,
        raw_consumer(publisher.endpoint, "killed", TOPIC, 4),
    ):
        other = Consumer(scope, "other", publisher)
        wait_for(lambda: publisher.consumers("raw", "door") == {"killed", "other"})
        publisher.meet_nodes(living)
        scope.on_stop(publisher.wake)
        scope.spawn("publish", publish, publisher, 0, 100, scope.stopping)
        assert other.take(4) == list(range(4))
        publisher.meet_nodes({name: group for name, group in living.items() if name != "killed"})
        clock.advance(2.0)
        assert publisher.consumers("raw", "door") == {"killed", "other"}, "its group has nobody there yet"
        heir, taken = Consumer(scope, "heir", publisher), list[int]()
        scope.spawn("take", lambda: taken.extend(other.take(96)))
        assert heir.take(100) == list(range(100))
        wait_for(lambda: len(taken) == 96)
        counts = publisher.stats()
        assert (counts.get("passed_on"), counts.get("cut_off", 0)) == (1, 0)
        assert clock.monotonic() == 1002.0, "no more time has passed than that"


def test_who_is_gone_is_succeeded_by_its_group_alone() -> None:
    succession = Succession()
    succession.meet({"a": "one", "b": "one", "c": "two", "d": "", "e": ""}, set())
    assert succession.succeeded({"a", "c"}) == []
    succession.meet({"b": "one", "c": "two", "e": ""}, {"a", "c", "d"})
    assert succession.succeeded({"a", "c"}) == []
    assert succession.succeeded({"a", "b", "c"}) == ["a"]
    assert succession.succeeded({"d", "e"}) == [], "those in no group do not work for one another"
    assert succession.succeeded({"script", "b"}) == []
    succession.meet({"b": "one"}, {"a", "b"})
    assert succession.succeeded({"a", "b"}) == ["a"], "it stays known for as long as it is waited for"
    succession.meet({"a": "one", "b": "one"}, {"a", "b"})
    assert succession.succeeded({"a", "b"}) == []


def test_a_subscriber_that_stops_lets_go_of_what_it_consumes() -> None:
    """It says so: on a clock that stands nobody is let go of for being silent."""
    with lossless("pub", clock=ManualClock()) as (publisher,), Scope("outer") as outer:
        outer.on_stop(publisher.wake)
        with Scope("inner") as inner:
            Consumer(inner, "one", publisher)
            wait_for(lambda: publisher.is_taken_in("raw", "door"))
        wait_for(lambda: not publisher.consumers("raw", "door"), "it was told")


@contextmanager
def running(work: Work, name: str, drain_s: float) -> Iterator[tuple[Node, threading.Thread]]:
    node = Node(work, NodeConfig("memory:lossless-drain", name, drain_s=drain_s))
    thread = threading.Thread(target=node.run, kwargs={"signals": False}, name=name)
    thread.start()
    try:
        yield node, thread
    finally:
        node.finish()
        thread.join()


def test_a_process_node_that_drains_waits_until_its_consumers_have_everything() -> None:
    """What they have not confirmed is sent again; whatever its own inbox holds by then."""
    camera = CameraConfig("door", "synthetic:?size=32x32&fps=30", lossless=True)
    process = Process(ProcessConfig(("passthrough",), policy=Policy.FIFO, push=False))
    with (
        running(process, "process", 30.0) as (node, thread),
        raw_consumer(node.publisher.endpoint, "slow", MADE, 1000) as slow,
        running(Capture([camera]), "capture", 0.1),
    ):
        credit = Credit("slow", bytes(MADE), 0, 0, 0, 1000)

        def is_consumer() -> bool:
            say(slow, credit)
            return bool(node.publisher.consumers("passthrough", "door"))

        wait_for(is_consumer)
        seen = [received(slow) for _ in range(3)]
        node.finish()
        while (message := received(slow)).n > seen[-1].n:
            seen.append(message)
        assert message.n == 0, "the first is sent again, although the node drains"
        assert node.presence.node.state is NodeState.DRAINING
        last = seen[-1]
        say(slow, Credit("slow", bytes(MADE), last.run, last.body.boot, last.n + 1, 1000))
        thread.join(30)
        assert not thread.is_alive()


def received(sock: "zmq.Socket[bytes]") -> wire.Message:
    return wire.decode(sock.recv_multipart())
