from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.delivery.result import Result, Stream
from mesh.delivery.window import Window

DOOR: Stream = ("motion", "door", 7)
GATE: Stream = ("motion", "gate", 7)


def window(max_bytes: int = 10_000, max_results: int = 100, resend_after_s: float = 3.0) -> Window:
    return Window(max_bytes, max_results, resend_after_s)


def send_all(sender: Window, collector: str, now: float = 0.0) -> list[int]:
    sent = []
    while (result := sender.waiting(collector)) is not None:
        sender.sent(result, collector, now)
        sent.append(result.number)
    return sent


def offer(sender: Window, count: int, stream: Stream = DOOR, size: int = 10) -> list[Result]:
    gone: list[Result] = []
    for _ in range(count):
        gone += sender.offer(stream, 1, (b"x" * size,))
    return gone


def test_results_wait_for_a_collector_and_go_in_order() -> None:
    sender = window()
    offer(sender, 3)
    sender.set_collectors(["a"])
    assert send_all(sender, "a") == [0, 1, 2]
    assert len(sender) == 3


def test_what_is_acknowledged_is_forgotten_once() -> None:
    sender = window()
    sender.set_collectors(["a"])
    offer(sender, 3)
    send_all(sender, "a")
    delivered, revived = sender.acknowledge("a", [0, 2, 2, 99], now=1.0)
    assert [result.number for result in delivered] == [0, 2]
    assert not revived
    assert len(sender) == 1


def test_a_full_window_lets_the_oldest_go_but_rather_one_that_was_never_sent() -> None:
    sender = window(max_results=4)
    sender.set_collectors(["a"])
    offer(sender, 2)
    send_all(sender, "a")
    assert [result.number for result in offer(sender, 4)] == [2, 3]
    assert send_all(sender, "a") == [4, 5]
    gone = offer(sender, 1)
    assert [result.number for result in gone] == [0]
    delivered, revived = sender.acknowledge("a", [0, 1], now=1.0)
    assert [result.number for result in delivered] == [1, 0]
    assert [result.number for result in revived] == [0], "it had arrived after all"


def test_the_window_is_bounded_in_bytes() -> None:
    sender = window(max_bytes=100)
    assert len(offer(sender, 25, size=10)) == 15
    assert len(sender) == 10


def test_silence_has_everything_sent_again_in_order() -> None:
    sender = window(resend_after_s=3.0)
    sender.set_collectors(["a"])
    offer(sender, 3)
    send_all(sender, "a", now=10.0)
    assert sender.resend(12.9) == 0
    assert sender.resend(13.0) == 3
    assert send_all(sender, "a", now=13.0) == [0, 1, 2]


def test_a_collector_that_is_heard_is_given_more_time_but_not_for_ever() -> None:
    sender = window(resend_after_s=3.0)
    sender.set_collectors(["a"])
    offer(sender, 2)
    send_all(sender, "a", now=10.0)
    sender.acknowledge("a", [1], now=12.0)
    assert sender.resend(13.0) == 0
    sender.acknowledge("a", [], now=24.0)
    assert sender.resend(25.0) == 1, "one that was skipped is sent again"


def test_a_dead_collectors_results_go_to_the_next() -> None:
    sender = window()
    sender.set_collectors(["a", "b"])
    offer(sender, 5)
    owner = "a" if sender.waiting("a") else "b"
    other = "b" if owner == "a" else "a"
    send_all(sender, owner)
    sender.acknowledge(owner, [0, 1], now=1.0)
    sender.set_collectors([other])
    assert send_all(sender, other) == [2, 3, 4]


def test_a_collector_that_joins_takes_only_its_own_cameras() -> None:
    sender = window()
    sender.set_collectors(["a"])
    for camera in range(20):
        offer(sender, 1, ("motion", f"cam{camera}", 1))
    sent = send_all(sender, "a")
    assert len(sent) == 20
    sender.set_collectors(["a", "b"])
    moved = send_all(sender, "b")
    assert 0 < len(moved) < 20
    assert send_all(sender, "a") == []


def test_everything_can_be_given_up() -> None:
    sender = window()
    offer(sender, 3)
    assert [result.number for result in sender.give_up_all()] == [0, 1, 2]
    assert len(sender) == 0


steps = st.lists(
    st.one_of(
        st.tuples(st.just("offer"), st.sampled_from([DOOR, GATE])),
        st.tuples(st.just("send"), st.sampled_from("ab")),
        st.tuples(st.just("ack"), st.integers(0, 40)),
        st.tuples(st.just("collectors"), st.sets(st.sampled_from("abc"))),
        st.tuples(st.just("wait"), st.integers(1, 5)),
    ),
    max_size=60,
)


@given(steps)
@settings(max_examples=300, deadline=None)
def test_every_result_is_open_acknowledged_or_given_up(moves: list[tuple[str, Any]]) -> None:
    sender, now = window(max_results=5), 0.0
    offered, acked, gone = 0, set[int](), set[int]()
    for what, value in moves:
        match what:
            case "offer":
                gone |= {result.number for result in offer(sender, 1, value)}
                offered += 1
            case "send" if value in sender.collectors:
                send_all(sender, value, now)
            case "ack":
                delivered, revived = sender.acknowledge("a", [value], now)
                acked |= {result.number for result in delivered}
                gone -= {result.number for result in revived}
            case "collectors":
                sender.set_collectors(value)
            case "wait":
                now += value
                sender.resend(now)
        assert len(sender) + len(acked) + len(gone) == offered
        assert len(sender) <= 5
    sender.set_collectors(["a"])
    sender.resend(now + 1000)
    still_open = set(range(offered)) - acked - gone
    assert set(send_all(sender, "a", now)) == still_open, "what is open reaches a collector in the end"


class Link:
    """A link at so many bytes a second, whose ends hold 84 messages, to a collector that acknowledges what
    came in since it last did, five times a second; `lost` messages vanish as they are sent."""

    def __init__(self, rate: float, lost: frozenset[int] = frozenset()) -> None:
        self.sender = window(max_bytes=64 * 1024 * 1024, max_results=8192)
        self.sender.set_collectors(["a"])
        self.rate, self.lost = rate, lost
        self.now = self.credit = 0.0
        self.pipe: list[Result] = []
        self.came: list[int] = []
        self.came_at: dict[int, float] = {}
        self.owed: list[int] = []
        self.times_sent = 0
        self.is_recording = True

    def run(self, seconds: float, offers: int = 0, size: int = 100_000) -> None:
        for step in range(int(seconds * 20)):
            self.now += 0.05
            offer(self.sender, offers, size=size)
            self._send()
            self._carry()
            if step % 4 == 3 and self.owed and self.is_recording:
                self.sender.acknowledge("a", self.owed, self.now)
                self.owed = []
            self.sender.resend(self.now)

    def _send(self) -> None:
        while len(self.pipe) < 84 and (result := self.sender.waiting("a")) is not None:
            self.sender.sent(result, "a", self.now)
            self.times_sent += 1
            if result.number in self.lost:
                self.lost -= {result.number}
            else:
                self.pipe.append(result)

    def _carry(self) -> None:
        self.credit = self.credit + self.rate * 0.05 if self.pipe else 0.0
        while self.pipe and self.credit >= self.pipe[0].size:
            result = self.pipe.pop(0)
            self.credit -= result.size
            self.came.append(result.number)
            self.came_at.setdefault(result.number, self.now)
            if self.is_recording:
                self.owed.append(result.number)


@pytest.mark.parametrize("mbit", [100, 10, 4, 1, 0.5])
def test_a_slow_link_carries_nothing_twice(mbit: float) -> None:
    link = Link(mbit * 125_000)
    link.run(300, offers=1)
    assert len(link.came) >= min(5900, 300 * mbit * 125_000 / 100_000 - 2)
    assert link.came == sorted(set(link.came))


def test_a_link_that_is_slower_than_silence_is_learnt() -> None:
    link = Link(12_500)  # eight seconds a message
    offer(link.sender, 300, size=100_000)
    link.run(2000)
    assert len(link.came) - len(set(link.came)) <= 84, "once what the link holds, and no more"


@pytest.mark.parametrize("mbit", [100, 4])
def test_one_that_was_lost_in_the_middle_is_sent_again_soon_and_alone(mbit: float) -> None:
    link = Link(mbit * 125_000, lost=frozenset({50}))
    link.run(120, offers=1)
    in_pipe = 84 * 100_000 / (mbit * 125_000) if mbit < 16 else 0.2
    assert link.came_at[50] - link.came_at[51] <= 3.0 + 1.0 + in_pipe
    assert len(link.came) == len(set(link.came))


def test_the_last_ones_that_were_lost_are_sent_again_after_silence() -> None:
    link = Link(1e9, lost=frozenset(range(60, 80)))
    offer(link.sender, 80)
    link.run(4)
    assert link.came == list(range(80))


def test_a_collector_that_does_not_record_is_not_sent_everything_again_and_again() -> None:
    link = Link(1e9)
    link.is_recording = False
    offer(link.sender, 500)
    link.run(600)
    assert link.times_sent <= 2 * 500 + 600 / 30 + 5
    link.is_recording = True
    link.run(60)
    assert len(link.sender) == 0, "it records again, and has forgotten what it did not record"


def test_a_stream_that_cannot_be_recorded_is_sent_again_ever_more_rarely() -> None:
    sender = window()
    sender.set_collectors(["a"])
    offer(sender, 1, GATE)
    stuck, now, times = 0, 0.0, 0
    for _ in range(600):
        offer(sender, 1)
        sent = send_all(sender, "a", now)
        times += stuck in sent
        sender.acknowledge("a", [number for number in sent if number != stuck], now)
        now += 1.0
        sender.resend(now)
    assert 20 <= times <= 25


def test_what_is_given_up_as_it_is_being_sent_may_arrive_all_the_same() -> None:
    sender = window(max_results=2)
    sender.set_collectors(["a"])
    offer(sender, 2)
    result = sender.waiting("a")
    assert result is not None
    assert offer(sender, 1) == [result]
    sender.sent(result, "a", now=0.0)
    assert send_all(sender, "a") == [1, 2], "it is not in flight"
    delivered, revived = sender.acknowledge("a", [0, 1, 2], now=1.0)
    assert [r.number for r in delivered] == [1, 2, 0]
    assert revived == [result]
