"""A subscriber's process is stopped for a while: it is not handed what piled up."""

import signal
import threading
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
STOPPED_S = 1.5
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
def camera() -> Iterator[Publisher]:
    """A publisher of small frames of `door`, fifty a second."""
    frame = jpeg_frame(size=16)

    def capture(scope: Scope) -> None:
        seq = 0
        while not scope.stopping.wait(EVERY_S):
            publisher.publish(replace(frame, seq=seq, captured_ns=time.time_ns()))
            seq += 1

    with closing(Publisher("camera")) as publisher, Scope("camera") as scope:
        scope.spawn("capture", capture, scope)
        yield publisher


def test_after_a_stop_nothing_is_handed_out_that_is_older_than_the_limit(tmp_path: Path) -> None:
    with camera() as publisher, Processes(tmp_path) as processes:
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
        threading.Event().wait(STOPPED_S)  # the fault itself lasts so long
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
