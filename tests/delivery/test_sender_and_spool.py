"""The sender with a spool behind a small window: real sockets, real files, real threads."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mesh.delivery import Sender, Spool
from mesh.delivery.lane import FLIGHT_RESULTS
from mesh.frame import EndOfStream
from mesh.scope import Scope
from tests.support.waiting import wait_for
from tests.test_delivery import END, STREAM, Bench, result

SMALL = 20_000  # bytes: some thirty results
ALL = 2**30


@contextmanager
def sending(
    folder: Path, *, memory: int = SMALL, disk: int = ALL, spool: bool = True, resend_after_s: float = 0.5
) -> Iterator[Sender]:
    with Scope("sending") as scope:
        yield Sender(
            scope,
            "process-1",
            max_bytes=memory,
            resend_after_s=resend_after_s,
            spool=Spool(folder, disk) if spool else None,
        )


@contextmanager
def receiving(name: str = "collect-1", *, acknowledges: bool = True) -> Iterator[Bench]:
    with Scope("receiving") as scope:
        yield Bench(scope, name, acknowledges=acknowledges)


def test_far_more_than_memory_holds_waits_on_disk_and_is_delivered_in_order(tmp_path: Path) -> None:
    with sending(tmp_path) as sender, receiving() as bench:
        for seq in range(1000):
            sender.offer(result(seq))
        sender.offer(EndOfStream("door", 7, 1000, "motion"))
        wait_for(lambda: sender.counts()[STREAM].spooled > 900)
        sender.set_collectors([bench.collector])
        assert sender.drain(60)
        count = sender.counts()[STREAM]
        assert (count.results, count.delivered, count.undelivered.total(), count.waiting) == (
            1000,
            1000,
            0,
            0,
        )
        assert bench.firsts() == [*range(1000), END]
        assert len(list(tmp_path.glob("*.spool"))) == 1
    assert not list(tmp_path.iterdir()), "an empty spool leaves nothing behind"


def test_new_results_follow_those_on_disk_while_it_drains(tmp_path: Path) -> None:
    with sending(tmp_path) as sender, receiving() as bench:
        for seq in range(500):
            sender.offer(result(seq))
        sender.set_collectors([bench.collector])
        for seq in range(500, 1500):
            sender.offer(result(seq))
        assert sender.drain(60)
        assert bench.firsts() == list(range(1500))


def test_what_no_collector_took_is_delivered_by_the_next_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with sending(tmp_path) as sender:
        for seq in range(100):
            sender.offer(result(seq))
        assert not sender.drain(1)
    count = sender.counts()[STREAM]
    assert (count.results, count.waiting, count.spooled, count.undelivered.total()) == (100, 100, 100, 0)
    assert "100 results wait in the spool" in caplog.text
    with sending(tmp_path) as heir, receiving() as bench:
        assert heir.run != sender.run
        for seq in range(100, 120):
            heir.offer(result(seq))
        heir.set_collectors([bench.collector])
        assert heir.drain(60)
        assert bench.firsts() == list(range(120))
        count = heir.counts()[STREAM]
        assert (count.results, count.delivered, count.carried.results) == (120, 120, 100)
        headers = [(d.message.run == heir.run, d.message.n) for d in bench.deliveries]
        assert dict.fromkeys(headers) == dict.fromkeys(
            [*((False, n) for n in range(100)), *((True, n) for n in range(20))]
        ), "a result keeps its header; new ones are counted from 0"
        assert {d.envelope.run for d in bench.deliveries} == {heir.run}


def test_what_does_not_fit_at_the_end_is_counted(tmp_path: Path) -> None:
    with sending(tmp_path, memory=10**6, disk=SMALL) as sender:
        for seq in range(100):
            sender.offer(result(seq))
    count = sender.counts()[STREAM]
    assert 0 < count.waiting < 40
    assert dict(count.undelivered) == {"spool_full": 100 - count.waiting}


def test_a_result_that_comes_too_late_is_counted_as_closed(tmp_path: Path) -> None:
    with sending(tmp_path) as sender:
        sender.offer(result(0))
    sender.offer(result(1))
    count = sender.counts()[STREAM]
    assert (count.results, count.spooled, dict(count.undelivered)) == (2, 1, {"closed": 1})


def test_two_senders_of_one_stage_have_a_file_each(tmp_path: Path) -> None:
    with sending(tmp_path) as one, sending(tmp_path) as two:
        for seq in range(100):
            one.offer(result(seq))
            two.offer(result(seq, "gate"))
        wait_for(lambda: len(list(tmp_path.glob("*.spool"))) == 2)
    with sending(tmp_path) as heir, receiving() as bench:
        heir.set_collectors([bench.collector])
        assert heir.drain(60)
        for camera in ("door", "gate"):
            assert bench.firsts(camera) == list(range(100))
    assert not list(tmp_path.iterdir())


def test_a_collector_that_hangs_holds_up_nobody(tmp_path: Path) -> None:
    with sending(tmp_path) as sender, receiving(acknowledges=False) as hung:
        sender.set_collectors([hung.collector])
        for seq in range(1500):
            sender.offer(result(seq))
        wait_for(lambda: sender.counts()[STREAM].spooled > 1400)
        assert len(hung.firsts()) <= FLIGHT_RESULTS, "what is in flight is bounded"
        with receiving("collect-2") as other:
            sender.set_collectors([other.collector])
            assert sender.drain(60)
            assert other.firsts() == list(range(1500))


def test_a_disk_that_cannot_be_used_leaves_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with sending(tmp_path / "file" / "spool") as sender, receiving() as bench:
        for seq in range(200):
            sender.offer(result(seq))
        wait_for(lambda: "spool_errors" in sender.stats())
        for seq in range(200, 300):
            sender.offer(result(seq))
        sender.set_collectors([bench.collector])
        assert sender.drain(60)
        count = sender.counts()[STREAM]
        assert set(count.undelivered) <= {"spool_error"}
        assert count.delivered + count.undelivered.total() == 300
        assert bench.firsts()[-1] == 299


@pytest.mark.parametrize("disk", [0, SMALL])
def test_offering_may_wait_for_room_and_nothing_goes(tmp_path: Path, disk: int) -> None:
    with sending(tmp_path, disk=disk, spool=bool(disk)) as sender, receiving() as bench:
        offered: list[int] = []

        def offer() -> None:
            for seq in range(300):
                assert sender.offer_waiting(result(seq), threading.Event())
                offered.append(seq)

        with Scope("offering") as offering:
            offering.spawn("offer", offer)
            wait_for(lambda: len(offered) > 20)
            assert len(offered) < 100, "it waits"
            sender.set_collectors([bench.collector])
            wait_for(lambda: len(offered) == 300)
        assert sender.drain(60)
        count = sender.counts()[STREAM]
        assert (count.results, count.delivered, count.undelivered.total()) == (300, 300, 0)
        assert bench.firsts() == list(range(300))


def test_a_wait_for_room_ends_when_it_is_told_to_or_the_sender_ends(tmp_path: Path) -> None:
    stop, ended = threading.Event(), list[str]()

    def offer(name: str, sender: Sender, stop: threading.Event) -> None:
        while sender.offer_waiting(result(0), stop):
            pass
        ended.append(name)

    with Scope("offering") as offering:
        with sending(tmp_path, spool=False) as sender:
            offering.spawn("told", offer, "told", sender, stop)
            wait_for(lambda: STREAM in sender.counts() and not sender._window.has_room(1000))
            stop.set()
            wait_for(lambda: ended == ["told"])
            results = sender.counts()[STREAM].results
            offering.spawn("left", offer, "left", sender, threading.Event())
        wait_for(lambda: ended == ["told", "left"])
    assert sender.counts()[STREAM].results == results, "what was not taken in is not counted"
