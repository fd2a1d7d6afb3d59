from collections.abc import Iterable

import msgpack
import zmq

from mesh.delivery import Collector, Delivery, Receiver, Sender
from mesh.frame import EndOfStream, Frame
from mesh.scope import Scope
from mesh.transport import Publisher
from mesh.wire import Envelope, ack_topic, decode_ack, encode, encode_envelope
from tests.support.frames import jpeg_frame, message
from tests.support.waiting import wait_for

STREAM = ("motion", "door", 7)
END = -1


def result(seq: int, camera: str = "door") -> Frame:
    return jpeg_frame(seq, camera=camera, stage="motion", size=16)


class Bench:
    """A receiver with its publisher, that keeps what it gets and acknowledges it unless told otherwise.

    It ends with `scope`, its publisher last: what comes again meanwhile is acknowledged again.
    """

    def __init__(self, scope: Scope, name: str = "collect-1", *, acknowledges: bool = True) -> None:
        self.acknowledges = acknowledges
        self.deliveries: list[Delivery] = []
        self.publisher = Publisher(name)
        self._scope = Scope(name, scope)
        self.receiver = Receiver(self._scope, self._take, self._publish)
        self.collector = Collector(name, self.receiver.endpoint, self.publisher.endpoint)
        scope.on_stop(self._close)

    def _take(self, batch: list[Delivery]) -> None:
        self.deliveries += batch
        if self.acknowledges:
            self.receiver.acknowledge(delivery.envelope for delivery in batch)

    def _publish(self, parts: Iterable[bytes]) -> None:
        self.publisher.send(parts)

    def _close(self) -> None:
        self._scope.stop()
        self._scope.join()
        self.publisher.close(flush=False)

    def firsts(self, camera: str = "door") -> list[int]:
        """The numbers of a camera's frames, and END, in the order in which each came for the first time: what
        is acknowledged late is sent again."""
        bodies = (d.message.body for d in list(self.deliveries) if d.message.topic.camera == camera)
        return list(dict.fromkeys(body.seq if isinstance(body, Frame) else END for body in bodies))

    def seqs(self) -> list[int]:
        return [d.message.body.seq for d in self.deliveries if isinstance(d.message.body, Frame)]


def test_results_are_delivered_in_order_and_counted_once_they_are_acknowledged() -> None:
    with Scope("receiving") as receiving, Scope("sending") as sending:
        bench = Bench(receiving)
        sender = Sender(sending, "process-1", resend_after_s=0.5)
        sender.set_collectors([bench.collector])
        for seq in range(200):
            sender.offer(result(seq))
        sender.offer(EndOfStream("door", 7, 200, "motion"))
        assert sender.drain(30)
        count = sender.counts()[STREAM]
        assert (count.results, count.delivered, sum(count.undelivered.values())) == (200, 200, 0)
        assert bench.firsts() == [*range(200), END]


def test_results_wait_for_a_collector_that_comes_later() -> None:
    with Scope("receiving") as receiving, Scope("sending") as sending:
        sender = Sender(sending, "process-1", resend_after_s=0.5)
        for seq in range(50):
            sender.offer(result(seq))
        assert not sender.drain(30), "nobody to deliver to: it does not wait"
        bench = Bench(receiving)
        sender.set_collectors([bench.collector])
        assert sender.drain(30)
        assert sorted(set(bench.seqs())) == list(range(50))


def test_what_is_not_acknowledged_is_sent_again_until_it_is() -> None:
    with Scope("receiving") as receiving, Scope("sending") as sending:
        bench = Bench(receiving, acknowledges=False)
        sender = Sender(sending, "process-1", resend_after_s=0.05)
        sender.set_collectors([bench.collector])
        sender.offer(result(1))
        wait_for(lambda: len(bench.seqs()) >= 3)
        assert sender.counts()[STREAM].delivered == 0
        bench.acknowledges = True
        assert sender.drain(30)
        assert sender.counts()[STREAM].delivered == 1
        assert set(bench.seqs()) == {1}


def test_a_full_window_gives_up_the_oldest_and_counts_it() -> None:
    with Scope("sending") as sending:
        sender = Sender(sending, "process-1", max_results=10)
        for seq in range(25):
            sender.offer(result(seq))
        count = sender.counts()[STREAM]
        assert (count.results, count.delivered, dict(count.undelivered)) == (25, 0, {"overflow": 15})


def test_an_offer_that_finds_no_room_costs_nothing_and_deliveries_are_told_by_number() -> None:
    told: list[int] = []
    with Scope("receiving") as receiving, Scope("sending") as sending:
        bench = Bench(receiving)
        sender = Sender(sending, "process-1", max_results=3, on_delivered=told.extend)
        assert [sender.offer_if_room(result(seq)) for seq in range(5)] == [0, 1, 2, None, None]
        assert sender.counts()[STREAM].results == 3
        sender.set_collectors([bench.collector])
        wait_for(lambda: sorted(told) == [0, 1, 2])
        assert sender.offer_if_room(result(3)) == 3
        wait_for(lambda: sorted(told) == [0, 1, 2, 3])
        count = sender.counts()[STREAM]
        assert (count.results, count.delivered, sum(count.undelivered.values())) == (4, 4, 0)
        assert sorted(set(bench.seqs())) == [0, 1, 2, 3]


def test_closing_counts_what_was_not_delivered() -> None:
    with Scope("sending") as sending:
        sender = Sender(sending, "process-1")
        sender.offer(result(0))
    assert dict(sender.counts()[STREAM].undelivered) == {"closed": 1}


def test_a_collector_that_died_hands_its_results_to_the_next() -> None:
    with Scope("sending") as sending, Scope("second") as second:
        sender = Sender(sending, "process-1", resend_after_s=0.5)
        with Scope("first") as first:
            dead = Bench(first, "collect-1", acknowledges=False)
            sender.set_collectors([dead.collector])
            for seq in range(20):
                sender.offer(result(seq))
            wait_for(lambda: len(dead.seqs()) >= 20)
        alive = Bench(second, "collect-2")
        sender.set_collectors([alive.collector])
        assert sender.drain(30)
        assert sorted(set(alive.seqs())) == list(range(20))


def test_a_collector_that_comes_back_elsewhere_is_sent_what_it_did_not_acknowledge_at_once() -> None:
    never_s = 1000.0
    with Scope("sending") as sending, Scope("second") as second:
        sender = Sender(sending, "process-1", resend_after_s=never_s)
        with Scope("first") as first:
            before = Bench(first, "collect-1", acknowledges=False)
            sender.set_collectors([before.collector])
            for seq in range(20):
                sender.offer(result(seq))
            wait_for(lambda: len(before.seqs()) >= 20)
        after = Bench(second, "collect-1")
        sender.set_collectors([after.collector])
        wait_for(lambda: len(after.seqs()) == 20)
        assert after.seqs() == list(range(20))


def test_a_malformed_collector_is_left_out_and_the_others_are_served() -> None:
    with Scope("receiving") as receiving, Scope("sending") as sending:
        bench = Bench(receiving)
        sender = Sender(sending, "process-1", resend_after_s=0.5)
        malformed = [Collector("bad-1", "tcp://127.0.0.1", ""), Collector("bad-2", "", bench.collector.pub)]
        sender.set_collectors([*malformed, bench.collector])
        for camera in range(10):
            sender.offer(result(0, f"cam{camera}"))
        assert sender.drain(30)


def test_each_camera_goes_to_one_collector() -> None:
    with Scope("receiving") as receiving, Scope("sending") as sending:
        benches = [Bench(receiving, f"collect-{n}") for n in range(3)]
        sender = Sender(sending, "process-1", resend_after_s=0.5)
        sender.set_collectors([bench.collector for bench in benches])
        cameras = [f"cam{n}" for n in range(12)]
        for seq in range(5):
            for camera in cameras:
                sender.offer(result(seq, camera))
        assert sender.drain(30)
        homes = [{d.message.topic.camera for d in bench.deliveries} for bench in benches]
        assert set.union(*homes) == set(cameras)
        assert sum(map(len, homes)) == len(cameras), "no camera has two homes"


def test_garbage_pushed_to_a_collector_is_counted_and_refused() -> None:
    with Scope("receiving") as receiving, Scope("sending") as sending:
        bench = Bench(receiving)
        with zmq.Context() as context, context.socket(zmq.PUSH) as rogue:
            rogue.setsockopt(zmq.LINGER, 0)
            rogue.connect(bench.collector.pull)
            rogue.send_multipart([b"x"])
            rogue.send_multipart([b"\x94\x01\xa5evil/\x01\x01", b"a", b"b", b"c"])
            rogue.send_multipart([b"\xc1"] * 4)
            wait_for(lambda: bench.receiver.stats().get("wire_errors") == 3)
        sender = Sender(sending, "process-1", resend_after_s=0.5)
        sender.set_collectors([bench.collector])
        sender.offer(result(0))
        assert sender.drain(30)


def test_garbage_acknowledgements_are_counted_and_those_of_another_run_do_nothing() -> None:
    with Scope("receiving") as receiving, Scope("sending") as sending:
        bench = Bench(receiving, acknowledges=False)
        sender = Sender(sending, "process-1", resend_after_s=0.05)
        sender.set_collectors([bench.collector])
        sender.offer(result(0))
        wait_for(bench.seqs)

        def garbage_is_counted() -> bool:
            bench.publisher.send([b"ack/process-1/", b"\xc1"])
            return "wire_errors" in sender.stats()

        wait_for(garbage_is_counted)
        bench.publisher.send([b"ack/process-1/", b"\x93\x01\x07\x91\x00"])
        bench.acknowledges = True
        assert sender.drain(30)


def test_a_result_that_will_always_be_refused_is_acknowledged_so_that_its_sender_lets_it_go() -> None:
    topic, header, payload = encode(message(result(0)))
    poison = msgpack.packb(msgpack.unpackb(header) | {"attributes": {"score": float("nan")}})
    with Scope("receiving") as receiving, zmq.Context() as context:
        bench = Bench(receiving)
        with context.socket(zmq.PUSH) as foreign, context.socket(zmq.SUB) as acks:
            foreign.setsockopt(zmq.LINGER, 0)
            foreign.connect(bench.collector.pull)
            acks.subscribe(ack_topic("foreign"))
            acks.connect(bench.collector.pub)

            def acked(number: int, header: bytes) -> bool:
                foreign.send_multipart(
                    [encode_envelope(Envelope("foreign", 5, number)), topic, header, payload]
                )
                return bool(acks.poll(100)) and number in decode_ack(acks.recv_multipart()).numbers

            wait_for(lambda: acked(0, poison))
            wait_for(lambda: acked(1, header))
        assert {delivery.envelope.number for delivery in bench.deliveries} == {1}
        stats = bench.receiver.stats()
        assert stats["refused"] == stats["wire_errors"] >= 1
