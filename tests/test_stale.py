"""A subscriber's process is stopped for a while: it is not handed what piled up."""

import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from mesh.scope import Scope
from mesh.transport import Publisher
from tests.support.frames import jpeg_frame
from tests.support.processes import Process, Processes
from tests.support.waiting import wait_for

MAX_AGE_S = 0.3
MAX_AGE_NS = int(MAX_AGE_S * 1e9)
STOPPED_NS = 1_500_000_000
EVERY_S = 0.02


@dataclass(frozen=True, slots=True)
class Seen:
    """A frame that was handed out; `expired` is how many were not, by then."""

    captured_ns: int
    at_ns: int
    expired: int


def seen(viewer: Process) -> list[Seen]:
    whole = (line for line in viewer.out.splitlines(keepends=True) if line.endswith("\n"))
    return [Seen(*map(int, line.split())) for line in whole]


@contextmanager
def camera() -> Iterator[tuple[Publisher, list[int]]]:
    """A publisher of small frames of `door`, fifty a second, and when each was captured."""
    captured: list[int] = []
    frame = jpeg_frame(size=16)

    def capture(scope: Scope) -> None:
        seq = 0
        while not scope.stopping.wait(EVERY_S):
            captured.append(time.time_ns())
            publisher.publish(replace(frame, seq=seq, captured_ns=captured[-1]))
            seq += 1

    with closing(Publisher("camera")) as publisher, Scope("camera") as scope:
        scope.spawn("capture", capture, scope)
        yield publisher, captured


def test_after_a_stop_nothing_is_handed_out_that_is_older_than_the_limit(tmp_path: Path) -> None:
    with camera() as (publisher, captured), Processes(tmp_path) as processes:
        viewers = [
            processes.start(
                publisher.endpoint, "door", policy, MAX_AGE_S, module="tests.support.ages", name=policy
            )
            for policy in ("latest", "fifo")
        ]
        for viewer in viewers:
            wait_for(lambda viewer=viewer: any(is_young(s) for s in seen(viewer)), "it sees frames")  # type: ignore[misc]
            viewer.suspend()
        stopped_ns = time.time_ns()
        wait_for(lambda: captured[-1] > stopped_ns + STOPPED_NS, "frames pile up for a while")
        continued_ns = time.time_ns()
        for viewer in viewers:
            viewer.send(signal.SIGCONT)
            wait_for(lambda viewer=viewer: seen(viewer)[-1].captured_ns > continued_ns, "it goes on")  # type: ignore[misc]
        for viewer in viewers:
            stale = [s for s in seen(viewer) if stopped_ns < s.captured_ns < continued_ns - MAX_AGE_NS]
            assert not stale, viewer.name
        assert seen(viewers[1])[-1].expired > 0, "of a queue every frame has its turn"


def is_young(frame: Seen) -> bool:
    return frame.at_ns - frame.captured_ns < MAX_AGE_NS
