"""What a signal asks for, and how a node takes it: real signals to the test's own process."""

import logging
import os
import signal
import threading
from collections.abc import Iterator

import pytest

from mesh.signals import TOGETHER_S, Requests, Wakeups
from nodes.signals import Signals
from tests.support.clock import ManualClock
from tests.support.waiting import WITHIN_S, wait_for

TERM, INT = signal.SIGTERM, signal.SIGINT


def test_what_comes_together_is_one_request() -> None:
    requests, step = Requests(), TOGETHER_S / 2
    assert [requests.came(step * n) for n in (0, 0, 1, 2, 3, 4, 5, 9)] == [1, 0, 0, 2, 0, 3, 0, 4]


class Told:
    """What a node would have been told, in order; and its clock."""

    def __init__(self) -> None:
        self.clock, self.calls = ManualClock(), list[object]()
        told = self.calls.append
        self.signals = Signals(lambda: told("stop"), lambda: told("hurry"), told, self.clock)

    def send(self, *numbers: signal.Signals) -> None:
        for number in numbers:
            signal.raise_signal(number)

    def later(self) -> None:
        self.clock.advance(TOGETHER_S)

    def wait(self, *calls: object) -> None:
        wait_for(lambda: self.calls == [*calls], f"it was told {calls}")


@pytest.fixture
def node() -> Iterator[Told]:
    told = Told()
    with told.signals:
        yield told


@pytest.mark.parametrize(("numbers", "code"), [((TERM, INT), 130), ((INT, TERM), 1)])
def test_the_second_hurries_and_the_third_ends_the_process(
    numbers: tuple[signal.Signals, signal.Signals], code: int, node: Told
) -> None:
    first, last = numbers
    node.send(first)
    node.wait("stop")
    node.later()
    node.send(first)
    node.wait("stop", "hurry")
    node.later()
    node.send(last)
    node.wait("stop", "hurry", code)
    assert node.signals.number == first


class Stuck(logging.Handler):
    """A log that nobody reads, until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.free = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.free.wait()


def test_the_third_ends_a_process_that_hangs_and_whose_log_nobody_reads() -> None:
    clock, stuck, codes = ManualClock(), Stuck(), list[int]()
    stopped, hurried = threading.Event(), threading.Event()

    def hurry() -> None:
        hurried.set()
        stuck.free.wait()

    logger = logging.getLogger("nodes.signals")
    logger.addHandler(stuck)
    try:
        with Signals(stopped.set, hurry, codes.append, clock):
            for event in (stopped, hurried):
                signal.raise_signal(TERM)
                wait_for(event.is_set, "it is heard")
                clock.advance(TOGETHER_S)
            signal.raise_signal(TERM)
            clock.advance_until(lambda: codes)
            stuck.free.set()  # else it is joined for ever
    finally:
        logger.removeHandler(stuck)
    assert codes == [1]


def test_two_that_come_together_are_one(node: Told, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    node.send(INT, TERM)
    wait_for(lambda: f"signal {TERM:d} came together with the one before" in caplog.text)
    assert (node.calls, node.signals.number) == (["stop"], INT)
    node.later()
    node.send(TERM)
    node.wait("stop", "hurry")


def test_what_is_forked_off_has_its_signals_for_itself() -> None:
    reading, writing = os.pipe()
    with Wakeups((TERM, INT)) as wakeups, open(reading, "rb") as told:
        if not (child := os.fork()):
            signal.alarm(int(WITHIN_S))
            os.write(writing, b"forked")
            signal.pause()
            os._exit(3)
        os.close(writing)
        assert told.read(6) == b"forked"
        os.kill(child, TERM)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -TERM
        assert wakeups.wait(0) == []
        signal.raise_signal(TERM)
        assert wakeups.wait(None) == [TERM]


def test_afterwards_they_are_whose_they_were() -> None:
    before = [signal.getsignal(number) for number in (TERM, INT)]
    told = Told()
    with told.signals:
        assert signal.getsignal(TERM) is not before[0]
    assert [signal.getsignal(number) for number in (TERM, INT)] == before
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(INT)
    assert not told.calls
