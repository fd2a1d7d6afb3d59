from typing import Any

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
