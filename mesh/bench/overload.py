"""`mesh bench overload`: a consumer that works three times too slowly, and one that stops for ten seconds.

How old a frame is when it is handed out, how much memory the consumer takes, and what comes first after a
stop. There is no floor: the camera's pace bounds all of it.
"""

import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from mesh.bench.children import BenchError, Child
from mesh.bench.paced import FPS, LEAST_S, ages_ms, late, paced, pause, percentile_ms
from mesh.bench.pictures import Pictures
from mesh.bench.report import Measure, Row, at_most
from mesh.bench.setup import Setup

SLOWER = 3  # times
WORK_S = SLOWER / FPS
SHORT_AGE_S = 0.005
MAX_AGE_S = 1.0  # the default of `latest`
STOP_S = 10.0
AFTER_S = 1.0
GROWTH = 1.05


def measure(setup: Setup) -> Iterator[Row]:
    """Rows for an overloaded consumer, one with a short `max_age`, and one that was stopped."""
    seconds = SLOWER * max(setup.seconds, LEAST_S)  # it is handed a third of the frames
    slow = setup.repeat(partial(_overloaded, setup.pictures, seconds))
    short = setup.repeat(partial(_overloaded, setup.pictures, seconds, SHORT_AGE_S))
    case = f"a third of {FPS:g} fps, latest"
    at_hand_out = "age when handed out"
    yield _age(f"{case}, {at_hand_out}, p50", slow, 50, 20)
    yield _age(f"{case}, {at_hand_out}, p99", slow, 99, 45)
    yield _age(f"{case}, max_age 5 ms, {at_hand_out}, p50", short, 50, 5)
    yield _memory(f"{case}, memory at the end", [one.rss_kib for one in slow])
    yield from _after_a_stop(setup, STOP_S * min(1.0, setup.seconds))


@dataclass(frozen=True, slots=True)
class _Overloaded:
    """How old the frames were, how often the camera itself was late, and the memory at both ends."""

    ages_ms: list[float]
    late: int
    rss_kib: list[int]


@dataclass(frozen=True, slots=True)
class _Stopped:
    """What a consumer was handed after its stop: how many frames were too old, and how long after it went on
    the first fresh one came."""

    stale: int
    fresh: int
    first_ms: float
    rss_kib: list[int]


def _overloaded(pictures: Pictures, seconds: float, max_age: float | None = None) -> _Overloaded:
    captured, handed, rss_kib = paced(
        pictures, lambda consumer: pause(seconds), max_age=max_age, work_s=WORK_S
    )
    return _Overloaded(ages_ms(captured, handed), late(captured), rss_kib)


def _stopped(pictures: Pictures, stop_s: float) -> _Stopped:
    went_on = 0

    def stop(consumer: Child) -> None:
        nonlocal went_on
        consumer.send(signal.SIGSTOP)
        pause(stop_s)
        went_on = time.monotonic_ns()
        consumer.send(signal.SIGCONT)
        pause(AFTER_S)

    captured, handed, rss_kib = paced(pictures, stop)
    after = [(seq, at) for seq, at in handed if at >= went_on]
    fresh = [at for seq, at in after if at - captured[seq] <= MAX_AGE_S * 1e9]
    if not fresh:
        raise BenchError("no fresh frame came after the stop")
    return _Stopped(len(after) - len(fresh), len(fresh), (fresh[0] - went_on) / 1e6, rss_kib)


def _after_a_stop(setup: Setup, stop_s: float) -> Iterator[Row]:
    found = setup.repeat(partial(_stopped, setup.pictures, stop_s))
    case = f"after SIGSTOP for {stop_s:g} s"
    note = f"{sum(one.fresh for one in found)} fresh ones"
    yield Row(
        f"{case}, handed out though older than max_age ({MAX_AGE_S:g} s)",
        "frames",
        [one.stale for one in found],
        target=at_most(0, Measure.OURS),
        note=note,
    )
    yield Row(
        f"{case}, the first fresh one",
        "ms",
        [one.first_ms for one in found],
        target=at_most(300, Measure.OURS),
        note=note,
    )
    yield _memory(f"{case}, memory at the end", [one.rss_kib for one in found])


def _age(case: str, found: list[_Overloaded], percent: int, most_ms: float) -> Row:
    if not all(one.ages_ms for one in found):
        raise BenchError("no frame was handed out; give more --seconds")
    return Row(
        case,
        "ms",
        [percentile_ms(one.ages_ms, percent) for one in found],
        target=at_most(most_ms, Measure.OURS),
        note=f"{sum(len(one.ages_ms) for one in found)} frames; "
        f"camera late {sum(one.late for one in found)} times",
    )


def _memory(case: str, found: list[list[int]]) -> Row:
    """Resident memory at the end beside that after the first frames."""
    return Row(
        case,
        "MiB",
        [end / 1024 for _, end in found],
        [begin / 1024 for begin, _ in found],
        "the same process after its first frames",
        at_most(GROWTH),
    )
