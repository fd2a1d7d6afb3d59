"""Both ends of a lossless topic over a link that loses what it likes: nothing is lost, order is kept."""

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh import wire
from mesh.errors import WireError
from mesh.frame import Frame
from mesh.transport.credit import CUT_OFF_S, MISSING_S, RESEND_S, WINDOW, Flow, Receipts
from mesh.wire import Credit, Message, Topic, View
from tests.support.frames import jpeg_frame

TOPIC = Topic(View.FRAME, "raw", "door")
RUN = 5
FRAME = replace(jpeg_frame(size=16), lossless=True)


def send(flow: Flow, now: float, boot: int = 7) -> wire.Parts:
    frame = replace(FRAME, seq=flow.next, boot=boot)
    message = Message(TOPIC, RUN, flow.next, frame, flow.base)
    flow.sent(message, 100, now)
    return wire.encode(message)


def opened(*consumers: str, room: int = 100) -> Flow:
    flow = Flow(RUN, hold=True)
    flow.begin(7)
    for name in consumers:
        flow.credit(Credit(name, bytes(TOPIC), 0, 0, 0, room), 0.0)
    return flow


def credit(name: str, following: int, room: int = 100, boot: int = 7, run: int = RUN) -> Credit:
    return Credit(name, bytes(TOPIC), run, boot, following, room)


def test_a_stream_that_is_held_waits_for_a_first_consumer_and_another_does_not() -> None:
    assert not Flow(RUN, hold=True).is_open()
    assert Flow(RUN, hold=False).is_open()
    assert opened("a").is_open()


def test_the_slowest_consumer_sets_the_pace() -> None:
    flow = opened("a", "b", room=3)
    for _ in range(3):
        send(flow, 0.0)
    assert not flow.is_open()
    flow.credit(credit("a", 3, 3), 0.1)
    assert not flow.is_open(), "b has said nothing yet"
    flow.credit(credit("b", 1, 3), 0.1)
    assert flow.is_open()
    send(flow, 0.1)
    assert not flow.is_open()


def test_the_window_is_bounded_whatever_consumers_say() -> None:
    flow = opened("a", room=10_000)
    sent = 0
    while flow.is_open():
        send(flow, 0.0)
        sent += 1
    assert sent == WINDOW


def test_what_everybody_has_is_forgotten_and_settles() -> None:
    flow = opened("a", "b")
    for _ in range(4):
        send(flow, 0.0)
    flow.credit(credit("a", 4), 0.1)
    assert (flow.base, flow.is_settled) == (0, False)
    flow.credit(credit("b", 2), 0.1)
    assert flow.base == 2
    flow.credit(credit("b", 4), 0.2)
    assert flow.is_settled


def numbers(flow: Flow, now: float) -> list[int]:
    return [message.n for message in flow.resend(now)]


def test_what_is_not_confirmed_in_time_is_tried_again_with_growing_pauses() -> None:
    flow = opened("a")
    for _ in range(3):
        send(flow, 0.0)
    assert numbers(flow, RESEND_S - 0.01) == []
    assert numbers(flow, RESEND_S) == [0], "the first may do: the others may be on their way"
    assert numbers(flow, 2.9 * RESEND_S) == []
    assert numbers(flow, 3 * RESEND_S) == [0]
    flow.credit(credit("a", 1), 3.5)
    assert [(m.n, m.flow) for m in flow.resend(30.0)] == [(1, 1), (2, 1)], "it helped: more of them at once"


def test_however_often_it_helped_no_more_is_looked_for_than_is_kept() -> None:
    flow = opened("a")
    for n in range(100):
        send(flow, 100.0 * n)
        assert numbers(flow, 100.0 * n + 99) == [n]
        flow.credit(credit("a", n + 1), 100.0 * n + 99)
    sent = [send(flow, 10_000.0) for _ in range(WINDOW)]
    assert numbers(flow, 10_099.0) == list(range(100, 100 + len(sent)))


def test_what_is_known_to_be_missing_is_sent_again_at_once_with_all_that_follows() -> None:
    flow = opened("a")
    for _ in range(4):
        send(flow, 0.0)
    flow.credit(credit("a", 1), 0.0)
    flow.credit(replace(credit("a", 1), missing=True), 0.01)
    assert numbers(flow, 0.01 + MISSING_S) == [1, 2, 3]
    assert numbers(flow, 0.02 + MISSING_S) == [], "once"


@pytest.mark.parametrize("each_s", [0.01, 0.5, 1.2, 5.0])
def test_a_slow_link_is_not_filled_with_copies(each_s: float) -> None:
    """A pipe that takes `each_s` for a message and loses nothing: nearly all that it carries is new."""
    flow, receipt = opened("a"), Receipts("a", bytes(TOPIC))
    pipe: list[tuple[float, wire.Parts]] = []
    now, free_at, carried, taken = 0.0, 0.0, 0, 0
    while taken < 300:
        now += 0.05
        again = [wire.encode(message) for message in flow.resend(now)]
        fresh = []
        while flow.is_open():
            fresh.append(send(flow, now))
        for parts in again + fresh:
            free_at = max(free_at, now) + each_s
            pipe.append((free_at, parts))
        while pipe and pipe[0][0] <= now:
            carried += 1
            taken += receive(receipt, pipe.pop(0)[1])
        for said in receipt.credits(1000, now):
            flow.credit(said, now)
    assert carried < 1.05 * taken + 8


def test_a_silent_consumer_is_cut_off_and_the_rest_goes_on() -> None:
    flow = opened("a", "b", room=1)
    send(flow, 0.0)
    flow.credit(credit("a", 1, 1), CUT_OFF_S - 1)
    assert not flow.is_open()
    assert flow.cut_off(CUT_OFF_S) == ["b"]
    assert flow.consumers == {"a"}
    assert flow.is_open()


def test_one_that_lets_go_is_not_waited_for_and_the_others_get_what_it_had_not() -> None:
    flow = opened("a", "b", room=3)
    for _ in range(3):
        send(flow, 0.0)
    flow.credit(credit("a", 1, 9), 0.1)
    flow.release("b")
    assert flow.consumers == {"a"}
    assert flow.base == 1
    assert flow.is_open()
    flow.release("b")
    flow.release("nobody")
    assert flow.consumers == {"a"}


@pytest.mark.parametrize("cut_off", [False, True], ids=["let go", "silent"])
def test_what_the_last_one_left_is_kept_where_the_stream_waits_for_consumers(cut_off: bool) -> None:
    flow = opened("a")
    for _ in range(3):
        send(flow, 0.0)
    flow.credit(credit("a", 1), 0.1)
    if cut_off:
        assert flow.cut_off(0.1 + CUT_OFF_S) == ["a"]
    else:
        flow.release("a")
    assert flow.cut_off(2 * CUT_OFF_S) == []
    assert (flow.base, flow.is_open(), flow.is_settled) == (1, False, False)
    flow.credit(credit("b", 0, run=0, boot=0), 1.0)
    assert numbers(flow, 1.0 + MISSING_S) == [1, 2]

    free = Flow(RUN, hold=False)
    free.begin(7)
    free.credit(credit("a", 0), 0.0)
    send(free, 0.0)
    free.release("a")
    assert (free.is_settled, free.is_open()) == (True, True)


def test_partitions_share_the_window() -> None:
    for shares, window in ((1, WINDOW), (4, WINDOW // 4), (1000, 1)):
        flow = opened("a", room=10_000)
        flow.shares = shares
        sent = 0
        while flow.is_open():
            send(flow, 0.0)
            sent += 1
        assert sent == window


def test_a_consumer_that_comes_back_goes_on_where_it_left_off_while_that_can_be_had() -> None:
    flow = opened("a", "b")
    for _ in range(4):
        send(flow, 0.0)
    flow.credit(credit("a", 2), CUT_OFF_S - 1)
    flow.cut_off(CUT_OFF_S)
    flow.credit(credit("b", 3), CUT_OFF_S)
    assert flow.base == 2
    assert numbers(flow, CUT_OFF_S + 0.1) == [3]


def test_a_new_boot_is_numbered_from_nought_and_old_credits_do_not_count_for_it() -> None:
    flow = opened("a")
    send(flow, 0.0)
    flow.credit(credit("a", 1), 0.1)
    flow.begin(8)
    flow.credit(credit("a", 1, boot=7), 0.2)
    send(flow, 0.3, boot=8)
    assert not flow.is_settled
    flow.credit(credit("a", 1, boot=8), 0.4)
    assert flow.is_settled


def receive(receipts: Receipts, parts: wire.Parts, now: float = 0.0) -> bool:
    return receipts.takes(wire.decode(parts), now)


def test_a_receipt_takes_each_message_once_and_in_order() -> None:
    flow, receipt = opened("a"), Receipts("a", bytes(TOPIC))
    parts = [send(flow, 0.0) for _ in range(3)]
    assert [receive(receipt, parts[n]) for n in (0, 2, 1, 1, 2, 0)] == [True, False, True, False, True, False]
    assert receipt.credits(9, 0.0) == [Credit("a", bytes(TOPIC), RUN, 7, 3, 9)]


def test_a_receipt_goes_on_behind_what_is_gone_for_good() -> None:
    flow, receipt = opened("a", "b"), Receipts("b", bytes(TOPIC))
    receive(receipt, send(flow, 0.0))
    for _ in range(4):
        send(flow, 0.0)
    flow.credit(credit("a", 5), 1.0)
    del flow._consumers["b"]
    flow.credit(credit("a", 5), 1.1)
    assert flow.base == 5
    assert receive(receipt, send(flow, 1.2)), "1 to 4 cannot be had any more"
    assert [said.next for said in receipt.credits(9, 1.2)] == [6]


def test_the_first_message_of_another_publisher_is_waited_for() -> None:
    receipt = Receipts("a", bytes(TOPIC))
    receive(receipt, send(opened("a"), 0.0))
    other = Message(TOPIC, RUN + 1, 2, replace(FRAME, seq=2), flow=0)
    assert not receipt.takes(other, 0.0)
    assert receipt.takes(replace(other, n=0), 0.0)


def test_the_first_of_what_can_still_be_had_is_taken_and_not_what_follows_it() -> None:
    receipt = Receipts("a", bytes(TOPIC))
    message = Message(TOPIC, RUN, 0, FRAME, flow=0)
    assert receipt.takes(message, 0.0)
    assert not receipt.takes(replace(message, n=7, flow=5), 0.0), "5 and 6 can still be had"
    assert receipt.takes(replace(message, n=5, flow=5), 0.0)


def given_by(*runs: int, boot: int = 7) -> dict[int, Flow]:
    """Publishers of the topic, each with its run, which `a` consumes."""
    flows = {run: Flow(run, hold=True) for run in runs}
    for flow in flows.values():
        flow.begin(boot)
        flow.credit(credit("a", 0, run=0, boot=0), 0.0)
    return flows


def offered(flow: Flow, now: float) -> Message:
    message = Message(TOPIC, flow.run, flow.next, replace(FRAME, seq=flow.next, boot=flow.boot), flow.base)
    flow.sent(message, 100, now)
    return message


def test_two_publishers_of_a_topic_are_taken_in_side_by_side() -> None:
    """As while one hands a partition over to another: the messages of both alternate, and some are lost."""
    flows, receipts = given_by(5, 6), Receipts("a", bytes(TOPIC))
    had: dict[int, list[int]] = {5: [], 6: []}

    def down(message: Message, now: float) -> None:
        if receipts.takes(message, now):
            had[message.run].append(message.n)

    for n in range(6):
        for flow in flows.values():
            message = offered(flow, 0.0)
            if n not in (2, 3):  # the link lost them
                down(message, 0.0)
    said = receipts.credits(10, 0.0)
    assert {(c.run, c.next, c.room, c.missing) for c in said} == {(5, 2, 5, True), (6, 2, 5, True)}
    for flow in flows.values():
        for each in said:
            flow.credit(each, 0.0)
        for message in flow.resend(MISSING_S):
            down(message, MISSING_S)
        for each in receipts.credits(10, MISSING_S):
            flow.credit(each, MISSING_S)
        assert flow.is_settled
    assert had == {5: list(range(6)), 6: list(range(6))}


def test_a_publisher_that_went_away_has_no_share_of_the_room_and_one_that_comes_back_goes_on() -> None:
    flows, receipts = given_by(5, 6), Receipts("a", bytes(TOPIC))
    for flow in flows.values():
        receipts.takes(offered(flow, 0.0), 0.0)
    receipts.takes(offered(flows[6], CUT_OFF_S), CUT_OFF_S)
    assert [(c.run, c.next, c.room) for c in receipts.credits(9, CUT_OFF_S)] == [(6, 2, 9)]
    assert [c.run for c in receipts.credits(9, 9 * CUT_OFF_S)] == [6], "the last one, when all are silent"
    assert not receipts.takes(replace(offered(flows[5], 0.0), n=0), CUT_OFF_S), "it was had"
    assert {(c.run, c.next) for c in receipts.credits(9, CUT_OFF_S)} == {(5, 1), (6, 2)}


class Link:
    """A publisher and its consumers, joined by a link that drops and repeats at random."""

    def __init__(self, rng: random.Random, consumers: int, loss: float) -> None:
        self.rng, self.loss, self.now = rng, loss, 0.0
        self.flow = opened()
        self.receipts = [Receipts(f"c{n}", bytes(TOPIC)) for n in range(consumers)]
        self.taken: list[list[int]] = [[] for _ in self.receipts]
        self.queued = [0] * consumers

    def carried(self) -> Iterator[None]:
        copies = 0 if self.rng.random() < self.loss else 1 + (self.rng.random() < 0.1)
        yield from (None for _ in range(copies))

    def down(self, parts: wire.Parts) -> None:
        for index, receipt in enumerate(self.receipts):
            for _ in self.carried():
                message = wire.decode(parts)
                if receipt.takes(message, self.now) and isinstance(message.body, Frame):
                    self.taken[index].append(message.body.seq)
                    self.queued[index] += 1

    def up(self) -> None:
        for index, receipt in enumerate(self.receipts):
            self.queued[index] = max(0, self.queued[index] - self.rng.randint(0, 4))
            for _ in self.carried():
                for credit in receipt.credits(8 - self.queued[index], self.now):
                    self.flow.credit(wire.decode_credit(wire.encode_credit(credit)), self.now)

    def step(self, count: int) -> None:
        self.now += 0.3
        self.up()
        while self.flow.next < count and self.flow.is_open() and self.rng.random() < 0.8:
            self.down(send(self.flow, self.now))
            assert max(self.queued) <= 8, "nobody is sent more than it has room for"
        for message in self.flow.resend(self.now):
            self.down(wire.encode(message))
        assert self.flow.cut_off(self.now) == []


@given(st.integers(0, 2**32), st.integers(1, 3), st.floats(0, 0.4))
@settings(max_examples=60, deadline=None)
def test_over_a_link_that_loses_everybody_gets_everything_once_and_in_order(
    seed: int, consumers: int, loss: float
) -> None:
    link = Link(random.Random(seed), consumers, loss)
    while len(link.flow.consumers) < consumers:
        link.up()
    for _ in range(5000):
        link.step(count=60)
        if link.flow.next == 60 and link.flow.is_settled:
            break
    assert link.taken == [list(range(60))] * consumers


@pytest.mark.parametrize(
    "part", [b"", b"\x02", b"\x02\xc1", b"\x03\x97", b"\x02\x97\x01\xa1a\xc4\x01x\x00\x00\x00\x00"]
)
def test_a_credit_that_is_none_is_refused(part: bytes) -> None:
    with pytest.raises(WireError):
        wire.decode_credit(part)


@given(st.binary(max_size=40))
def test_garbage_for_a_credit_is_one_wire_error(part: bytes) -> None:
    with pytest.raises(WireError):
        wire.decode_credit(b"\x02" + part)
