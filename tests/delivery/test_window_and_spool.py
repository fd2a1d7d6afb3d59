"""The window with its spool behind it: a real file, a clock that is moved by hand, no threads."""

import shutil
import tempfile
import threading
from collections import Counter
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mesh.delivery.counts import Counts
from mesh.delivery.lane import FLIGHT_BYTES, FLIGHT_RESULTS
from mesh.delivery.result import Place, Result, Stream
from mesh.delivery.spool import ROW_BYTES, Spool
from mesh.delivery.spooler import Spooler
from mesh.delivery.window import SLACK_BYTES, Window
from mesh.stats import Counters
from tests.support.clock import ManualClock

DOOR: Stream = ("motion", "door", 7)
GATE: Stream = ("motion", "gate", 7)
RESEND_S = 3.0
SHM = Path("/dev/shm")


class Bench:
    """A window and a spooler that is run by hand: whatever is offered, sent and acknowledged is kept."""

    def __init__(self, folder: Path, *, memory: int, disk: int, results: int = 1000) -> None:
        self.folder, self.disk = folder, disk
        self.memory, self.results = memory, results
        self.clock = ManualClock()
        self.offered: dict[int, Stream] = {}
        self.sent: dict[Stream, list[int]] = {DOOR: [], GATE: []}
        self.flying: set[tuple[str, int]] = set()
        self.start()

    def start(self) -> None:
        self.spool, self.counts = Spool(self.folder, self.disk), Counts()
        found, number, notes = self.spool.adopt()
        assert not notes
        self.window = Window(self.memory, self.results, RESEND_S, spool=True, next_number=number)
        for stream, what in found.items():
            self.counts.carry(stream, what.tally, what.frames)
            self.window.shelve(stream, what.rows, what.frames)
        self.counters = Counters()
        self.spooler = Spooler(
            self.spool,
            self.window,
            self.counts,
            self.counters,
            threading.Condition(),
            lambda: None,
            self.clock,
        )

    def offer(self, count: int, stream: Stream = DOOR, size: int = 100) -> None:
        for _ in range(count):
            self.counts.of(stream).results += 1
            gone = self.window.offer(stream, 1, (b"", b"", b"x" * size))
            self.counts.give_up(gone)

    def work(self) -> None:
        """Let the spooler do all that there is to do."""
        self.clock.advance(1.0)
        while self.spooler.run_once():
            pass

    def send(self, collector: str = "a") -> list[Result]:
        sent = []
        while (result := self.window.waiting(collector)) is not None:
            self.window.sent(result, collector, self.clock.monotonic())
            self.sent[result.stream].append(result.number)
            self.flying.add((collector, result.number))
            sent.append(result)
        return sent

    def acknowledge(self, collector: str, *numbers: int) -> None:
        delivered, revived = self.window.acknowledge(collector, numbers, self.clock.monotonic())
        self.counts.deliver(delivered)
        self.counts.revive(revived)
        self.flying -= {(collector, number) for number in numbers}

    def deliver_all(self) -> list[int]:
        """Send and acknowledge until nothing is left; the numbers, in the order in which they went."""
        numbers: list[int] = []
        while len(self.window):
            sent = self.send()
            self.acknowledge("a", *(result.number for result in sent))
            numbers += [result.number for result in sent]
            self.work()
        return numbers

    def state(self, stream: Stream = DOOR) -> tuple[int, int, dict[str, int], int, int]:
        count = self.counts.snapshot(self.window)[stream]
        return count.results, count.delivered, dict(count.undelivered), count.waiting, count.spooled


def bench(tmp_path: Path, *, memory: int = 1000, disk: int = 2**30, results: int = 1000) -> Bench:
    return Bench(tmp_path, memory=memory, disk=disk, results=results)


def test_what_memory_cannot_hold_goes_to_disk_and_comes_back_in_order(tmp_path: Path) -> None:
    a = bench(tmp_path)
    a.offer(50)
    a.work()
    assert a.window.bytes <= 1000
    assert a.window.shelved >= 40
    a.offer(3)
    a.window.set_collectors(["a"])
    assert a.deliver_all() == list(range(53))
    assert a.state() == (53, 53, {}, 0, 0)
    a.spool.close()


def test_the_limit_in_number_is_kept_too(tmp_path: Path) -> None:
    a = bench(tmp_path, memory=10**9, results=10)
    a.offer(15)
    a.work()
    assert a.window.shelved == 10
    a.spool.close()


def test_what_is_in_flight_stays_in_memory_and_is_bounded(tmp_path: Path) -> None:
    a = bench(tmp_path)
    a.window.set_collectors(["a"])
    a.offer(50)
    assert len(a.send()) == 10, "as many bytes as memory may hold"
    a.work()
    assert a.window.bytes <= 1000
    assert [result.number for result in a.send()] == list(range(10, 50)), "a small memory slows nothing down"
    a.spool.close()


def test_what_was_read_back_and_is_in_flight_is_bounded_in_bytes_and_in_number(tmp_path: Path) -> None:
    mib = 1024 * 1024
    a = bench(tmp_path / "bytes", memory=2 * mib)
    for _ in range(24):
        a.offer(1, size=mib)
        a.work()
    a.window.set_collectors(["a"])
    a.work()
    assert len(a.send()) * mib == FLIGHT_BYTES
    a.work()
    assert a.send() == []
    a.acknowledge("a", *range(8))
    a.work()
    assert [result.number for result in a.send()] == list(range(16, 24))
    a.spool.close()
    b = bench(tmp_path / "number")
    for _ in range(12):
        b.offer(100, size=1)
        b.work()
    b.offer(300, size=10)
    b.work()
    b.window.set_collectors(["a"])
    b.work()
    assert len(b.send()) == FLIGHT_RESULTS
    b.spool.close()


def test_a_full_spool_lets_the_oldest_go_and_counts_them(tmp_path: Path) -> None:
    a = bench(tmp_path, disk=20 * (100 + ROW_BYTES))
    for _ in range(20):
        a.offer(5)
        a.work()
    results, delivered, undelivered, waiting, _ = a.state()
    assert (results, delivered) == (100, 0)
    assert set(undelivered) == {"spool_full"}
    assert undelivered["spool_full"] + waiting == 100
    assert waiting >= 20
    a.window.set_collectors(["a"])
    assert a.deliver_all() == list(range(100 - waiting, 100))
    a.spool.close()


def test_a_result_larger_than_the_spool_goes(tmp_path: Path) -> None:
    a = bench(tmp_path, disk=500)
    a.offer(1, size=5000)
    a.work()
    assert a.state() == (1, 0, {"spool_full": 1}, 0, 0)
    a.spool.close()


def test_a_hung_collector_does_not_keep_its_results_in_memory(tmp_path: Path) -> None:
    a = bench(tmp_path)
    a.window.set_collectors(["a"])
    a.offer(50)
    a.send()
    a.work()
    a.clock.advance(RESEND_S)
    assert a.window.resend(a.clock.monotonic()) == 10
    a.offer(30)
    a.work()
    assert a.window.bytes <= 1000
    a.acknowledge("a", *range(5))  # it was only slow: they had arrived
    a.work()
    assert a.state()[:2] == (80, 5)
    assert a.deliver_all() == list(range(5, 80))
    a.spool.close()


def test_an_acknowledged_row_is_delivered_when_it_is_deleted(tmp_path: Path) -> None:
    a = bench(tmp_path)
    a.offer(30)
    a.work()
    a.window.set_collectors(["a"])
    a.work()
    numbers = [result.number for result in a.send() if result.place is Place.SPOOLED]
    a.acknowledge("a", *numbers)
    assert a.state()[1] == 0
    b = a.window.frames()[0][DOOR]
    assert b == 30
    a.work()
    assert a.state()[1] == len(numbers)
    a.spool.close()


def killed(bench: Bench) -> Bench:
    """What starts after a `kill -9` of a bench: it finds the files as they are."""
    copy = bench.folder / "copy"
    shutil.copytree(bench.folder, copy)
    bench.spool.close()
    return Bench(copy, memory=bench.memory, disk=bench.disk)


def test_after_a_kill_the_next_run_goes_on_counting(tmp_path: Path) -> None:
    a = bench(tmp_path)
    a.offer(30)
    a.work()
    b = killed(a)
    assert b.state() == (30, 0, {"died": 5}, 25, 25), "five were in memory"
    b.offer(2)
    b.window.set_collectors(["a"])
    b.work()
    b.acknowledge("a", *(result.number for result in b.send()[:5]))
    b.work()
    c = killed(b)
    assert c.state() == (32, 5, {"died": 7}, 20, 20)
    c.window.set_collectors(["a"])
    c.deliver_all()
    assert c.state() == (32, 25, {"died": 7}, 0, 0)
    c.spool.close()


def test_a_disk_that_refuses_costs_what_memory_cannot_hold_and_is_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    a = Bench(tmp_path / "file" / "spool", memory=1000, disk=2**30)
    a.offer(50)
    a.work()
    a.offer(1)
    assert a.state()[2] == {"spool_error": 41}
    assert a.counters.get("spool_errors") == 1
    for _ in range(5):
        a.spooler.run_once()
    assert len(caplog.records) == 1
    (tmp_path / "file").unlink()
    a.clock.advance(1.0)
    a.spooler.run_once()
    a.offer(30)
    a.work()
    assert a.state()[2] == {"spool_error": 41}
    assert a.window.shelved
    a.window.set_collectors(["a"])
    assert len(a.deliver_all()) == 40
    a.spool.close()


def test_a_file_that_is_damaged_meanwhile_is_put_aside_and_a_new_one_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    a = bench(tmp_path, memory=100_000)
    a.offer(500, size=20_000)  # more than sqlite keeps in memory
    a.work()
    (file,) = tmp_path.glob("*.spool")
    with file.open("r+b") as opened:
        opened.seek(8192)
        opened.write(b"\xee" * (file.stat().st_size - 8192))
    a.window.set_collectors(["a"])
    a.work()
    on_disk = 500 - a.state()[3]
    assert a.state()[2] == {"spool_error": on_disk}
    assert on_disk > 400
    assert "put aside" in caplog.text
    a.offer(50)
    a.work()
    a.deliver_all()
    assert a.state() == (550, 550 - on_disk, {"spool_error": on_disk}, 0, 0)
    assert list(tmp_path.glob("*.damaged"))
    a.spool.close()


MEMORY, DISK, SIZE = 1000, 20 * (100 + ROW_BYTES), 100


class WindowAndSpool(RuleBasedStateMachine):
    """Every result is open, delivered, or given up with a cause, whatever happens in whatever order."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=SHM if SHM.is_dir() else None))
        self.bench = Bench(self.folder, memory=MEMORY, disk=DISK)

    @rule(count=st.integers(1, 12), stream=st.sampled_from([DOOR, GATE]))
    def offer(self, count: int, stream: Stream) -> None:
        self.bench.offer(count, stream)

    @rule()
    def step(self) -> None:
        self.bench.clock.advance(0.5)
        self.bench.spooler.run_once()

    @rule(collectors=st.sets(st.sampled_from("abc")))
    def set_collectors(self, collectors: set[str]) -> None:
        self.bench.window.set_collectors(collectors)

    @rule(collector=st.sampled_from("abc"))
    def send(self, collector: str) -> None:
        if collector in self.bench.window.collectors:
            for result in self.bench.send(collector):
                assert result.parts[2] == b"x" * SIZE

    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        flying = sorted(self.bench.flying)
        if flying:
            collector = data.draw(st.sampled_from(sorted({name for name, _ in flying})))
            numbers = [number for name, number in flying if name == collector]
            self.bench.acknowledge(collector, *data.draw(st.lists(st.sampled_from(numbers), max_size=9)))

    @rule(seconds=st.integers(1, 5))
    def wait(self, seconds: int) -> None:
        self.bench.clock.advance(seconds)
        self.bench.window.resend(self.bench.clock.monotonic())

    @rule()
    def close_and_start_again(self) -> None:
        before = self.totals()
        self.bench.spooler._put_away()
        assert self.totals()["waiting"] == self.totals()["spooled"]
        closed = self.totals()
        self.bench.start()
        self.bench.flying.clear()
        self.bench.sent = {DOOR: [], GATE: []}
        if closed["waiting"]:
            assert self.totals()["waiting"] == closed["waiting"]
        assert before["waiting"] >= closed["waiting"]

    def totals(self) -> Counter[str]:
        total: Counter[str] = Counter()
        for count in self.bench.counts.snapshot(self.bench.window).values():
            total["results"] += count.results
            total["settled"] += count.delivered + count.undelivered.total()
            total["waiting"] += count.waiting
            total["spooled"] += count.spooled
            assert count.undelivered["died"] == 0
        return total

    @invariant()
    def everything_is_somewhere(self) -> None:
        if hasattr(self, "bench"):
            total = self.totals()
            assert total["results"] == total["settled"] + total["waiting"]

    @invariant()
    def nothing_grows_beyond_its_bounds(self) -> None:
        if hasattr(self, "bench"):
            assert self.bench.window.bytes <= MEMORY + SLACK_BYTES
            assert self.bench.spool.bytes <= DISK

    @invariant()
    def each_camera_goes_in_order_but_for_what_is_sent_again(self) -> None:
        if hasattr(self, "bench"):
            for numbers in self.bench.sent.values():
                firsts = list(dict.fromkeys(numbers))
                assert firsts == sorted(firsts)

    def teardown(self) -> None:
        if hasattr(self, "bench"):
            self.bench.window.set_collectors(["a"])
            self.bench.clock.advance(100.0)
            self.bench.window.resend(self.bench.clock.monotonic())
            self.bench.work()
            self.bench.deliver_all()
            total = self.totals()
            assert (total["waiting"], total["results"]) == (0, total["settled"])
            self.bench.spool.close()
            assert not list(self.folder.iterdir())
            self.folder.rmdir()


WindowAndSpool.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestWindowAndSpool = WindowAndSpool.TestCase
