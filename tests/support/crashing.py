"""What a collector does with its folder, piece by piece, cut off at a step of its disk's: for `Forks`.

Rules kept here: the same steps each time, but for the order of files that are synced side by side; what is
acknowledged is told at once.
"""

import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from mesh.delivery import Delivery, Handover
from mesh.frame import EndOfStream, Frame
from mesh.inbox import Inbox, Policy
from mesh.recordings.catalog import Catalog
from mesh.recordings.limits import Keep, Limits
from mesh.scope import Scope
from mesh.wire import Envelope, Message, Topic, View
from nodes.collect.commits import CommitPolicy
from nodes.collect.deleting import delete
from nodes.collect.folder import FolderLock
from nodes.collect.keeping import Keeper
from nodes.collect.locking import lock, unlock
from nodes.collect.rebuild import rebuild
from nodes.collect.recorder import Recorder
from nodes.collect.recording import Recording
from nodes.collect.recovery import recover
from nodes.collect.syncing import MANY
from nodes.collect.writing import Outlets
from tests.recordings.made import frame
from tests.support.forks import Tell
from tests.support.power import PowerCut
from tests.support.waiting import wait_for

SEGMENT_S, STEP_S = 0.2, 0.04
Job = Callable[[Tell, Path, Callable[[], PowerCut]], PowerCut]


def made(camera: str, seq: int) -> Frame:
    return frame(camera, seq * STEP_S, seq=seq)


def crash(tell: Tell, job: str, into: str, after: str, at: int) -> None:
    """Do a job, and tell which steps it took; `at` 0 for all of them."""
    disk = JOBS[job](tell, Path(into), lambda: PowerCut(Path(into), Path(after), at))
    tell({"steps": disk.steps})


def _record(tell: Tell, into: Path, begin: Callable[[], PowerCut], cameras: int, frames: int) -> PowerCut:
    """Three times some frames of each camera, each time all with one commit; then the first camera ends."""
    held = FolderLock(into)
    found, recorder = recover(into), Recorder(into, segment_seconds=SEGMENT_S)
    handover: Handover[Delivery] = Handover(1000, 10**9, lambda _: 0)
    acked: set[int] = set()
    sent: list[Frame] = []

    def acknowledge(envelopes: Iterable[Envelope]) -> None:
        numbers = [each.number for each in envelopes]
        tell({"acked": [(sent[number].camera, sent[number].seq) for number in numbers]})
        acked.update(numbers)

    def push(body: Frame | EndOfStream, n: int) -> Delivery:
        message = Message(Topic(View.FRAME, body.stage, body.camera), 1, n, body)
        return Delivery(Envelope("process", 1, len(sent) - 1), message)

    outlets = Outlets(lambda item: None, lambda frame: frame, acknowledge, lambda why: None)
    inbox = Inbox(Policy.FIFO, on_ready=handover.wake)
    policy = CommitPolicy(3600.0, cameras * frames)
    recording = Recording(recorder, found, handover, inbox, outlets, policy=policy)
    names = [f"cam{number:02}" for number in range(cameras)]
    disk = begin()
    with Scope("recording") as scope:
        scope.on_stop(handover.wake)
        scope.spawn("record", recording.run, scope.stopping)
        for turn in range(3):
            batch = []
            for seq in range(turn * frames, (turn + 1) * frames):
                for name in names:
                    sent.append(made(name, seq))
                    batch.append(push(sent[-1], seq))
            assert handover.put(batch, 30)
            wait_for(lambda: len(acked) == len(sent), "the results are acknowledged")
        assert handover.put([push(EndOfStream(names[0], 7, 3 * frames), 3 * frames)], 30)
    found.index.close()
    held.release()
    return disk


def _few(tell: Tell, into: Path, begin: Callable[[], PowerCut]) -> PowerCut:
    return _record(tell, into, begin, cameras=2, frames=4)


def _many(tell: Tell, into: Path, begin: Callable[[], PowerCut]) -> PowerCut:
    """Of which the whole file system is synced."""
    return _record(tell, into, begin, cameras=MANY, frames=2)


def _keep(tell: Tell, into: Path, begin: Callable[[], PowerCut]) -> PowerCut:
    """Lock a recording, remove a half by retention, delete another, and unlock."""
    with Catalog(into) as catalog:
        rows = [row for row in catalog.segments() if not row.open]
    disk = begin()
    lock(into, [rows[0].path], "evidence", 0)
    keeper = Keeper(into, Keep(Limits(bytes=sum(row.bytes for row in rows) // 2)), lambda why: None)
    keeper.look(threading.Event())
    keeper.close()
    with Catalog(into) as catalog:
        delete(into, catalog.segments()[:2])
    unlock(into, [rows[0].path])
    return disk


def _recover(tell: Tell, into: Path, begin: Callable[[], PowerCut]) -> PowerCut:
    disk = begin()
    recover(into).index.close()
    return disk


def _rebuild(tell: Tell, into: Path, begin: Callable[[], PowerCut]) -> PowerCut:
    disk = begin()
    rebuild(into)
    return disk


JOBS: dict[str, Job] = {
    "few": _few,
    "many": _many,
    "keep": _keep,
    "recover": _recover,
    "rebuild": _rebuild,
}
