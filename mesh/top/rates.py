"""What passed between two reports of a node. Pure.

Rules kept here: only reports of one run of a node are compared, and counts of one boot of a camera: what
began anew counts from 0; nodes report about once a second, so a rate is over the time between two reports,
however often somebody looks; a node that has not reported for a while, or has left, has no rate.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from mesh.ages import since
from mesh.ledger.members import NOT_TAKEN
from mesh.registry.records import CameraCount, GroupCount, RecordedCount, StatsRecord

STALE_S = 5.0

Run = tuple[str, int]  # a node, and when it started


@dataclass(frozen=True, slots=True)
class Pair:
    """The two latest reports of a run, and when the later one was first seen (monotonic)."""

    before: StatsRecord | None
    now: StatsRecord
    seen_at: float

    @property
    def seconds(self) -> float:
        """From one to the other; 0 where there is no earlier one, or the node's clock was set back."""
        return max(0.0, (self.now.at_ns - self.before.at_ns) / 1e9) if self.before else 0.0


History = Mapping[Run, Pair]


@dataclass(frozen=True, slots=True)
class Flow:
    """What passed at one place of a node, a second: frames of a camera in and out, drops by cause. `ages` are
    the counts of those that were done meanwhile. A capture node's `group` is empty, and a recorder's `output`
    is the stage that it recorded; what it skipped by choice went in, and not out."""

    node: str
    camera: str
    stage: str
    group: str
    output: str
    fps_in: float
    fps_out: float
    dropped: Mapping[str, float]
    ages: tuple[int, ...] = ()
    fps_skipped: float = 0.0


@dataclass(frozen=True, slots=True)
class Flows:
    """A node's flows: of the cameras that it captures, the groups that it is of, and what it records. `cpu`
    is the share of one core that it took."""

    cpu: float
    captured: tuple[Flow, ...]
    grouped: tuple[Flow, ...]
    recorded: tuple[Flow, ...]


def advanced(history: History, reports: Iterable[StatsRecord], at: float) -> History:
    """The history after another look, at the monotonic time `at`."""
    found: dict[Run, Pair] = {}
    for report in reports:
        run = report.node, report.run
        former = history.get(run)
        if former is None:
            found[run] = Pair(None, report, at)
        elif report.at_ns == former.now.at_ns:
            found[run] = former
        else:
            found[run] = Pair(former.now, report, at)
    return found


def flows(pair: Pair, at: float, stale_s: float = STALE_S) -> Flows | None:
    """What passed at a node, as of `at`; None where that is not known (any more)."""
    if pair.before is None or not pair.seconds or pair.now.final or at - pair.seen_at > stale_s:
        return None
    before, now, seconds = pair.before, pair.now, pair.seconds
    return Flows(
        cpu=max(0.0, now.cpu_s - before.cpu_s) / seconds,
        captured=tuple(_captured(before, now, seconds)),
        grouped=tuple(_grouped(before, now, seconds)),
        recorded=tuple(_recorded(before, now, seconds)),
    )


def _captured(before: StatsRecord, now: StatsRecord, seconds: float) -> Iterator[Flow]:
    former = {(c.camera, c.boot, c.stage): c for c in before.cameras}
    for count in now.cameras:
        was = former.get((count.camera, count.boot, count.stage)) or CameraCount(camera=count.camera, boot=0)
        dropped = _rates(was.dropped, count.dropped, seconds)
        out = _rate(was.captured, count.captured, seconds)
        taken_in = out + sum(dropped.values())
        yield Flow(now.node, count.camera, "", "", count.stage, taken_in, out, dropped)


def _grouped(before: StatsRecord, now: StatsRecord, seconds: float) -> Iterator[Flow]:
    former = {(c.camera, c.boot, c.stage, c.group): c for c in before.groups}
    for count in now.groups:
        was = former.get((count.camera, count.boot, count.stage, count.group))
        if was is None:
            was = GroupCount(camera=count.camera, boot=0, stage="raw", group="none", output="none")
        yield Flow(
            now.node,
            count.camera,
            count.stage,
            count.group,
            count.output,
            _rate(_taken(was), _taken(count), seconds),
            _rate(_out(was), _out(count), seconds),
            _rates(was.dropped, count.dropped, seconds),
            since(count.ages, was.ages),
        )


def _recorded(before: StatsRecord, now: StatsRecord, seconds: float) -> Iterator[Flow]:
    former = {(c.camera, c.boot, c.stage): c for c in before.recorded}
    for count in now.recorded:
        was = former.get((count.camera, count.boot, count.stage))
        if was is None:  # of what the folder held before, nothing passed now
            found = count.found
            was = RecordedCount(
                camera=count.camera,
                boot=0,
                stage=count.stage,
                recorded=found.recorded,
                duplicates=found.duplicates,
                skipped=found.skipped,
            )
        out = _rate(was.recorded, count.recorded, seconds)
        again = _rate(was.duplicates, count.duplicates, seconds)
        skipped = _rate(was.skipped, count.skipped, seconds)
        ages = since(count.ages, was.ages)
        taken = out + again + skipped
        yield Flow(now.node, count.camera, count.stage, "", count.stage, taken, out, {}, ages, skipped)


def _taken(count: GroupCount) -> int:
    """The frames that fell to this member of a group."""
    return count.offered - sum(n for cause, n in count.dropped.items() if cause in NOT_TAKEN)


def _out(count: GroupCount) -> int:
    """The results that it made; of one that records, the frames that it was done with."""
    if count.output == count.stage:
        return count.processed
    return count.results - count.carried.results


def _rate(before: int, now: int, seconds: float) -> float:
    return max(0, now - before) / seconds


def _rates(before: Mapping[str, int], now: Mapping[str, int], seconds: float) -> dict[str, float]:
    return {
        cause: _rate(before.get(cause, 0), n, seconds) for cause, n in now.items() if cause not in NOT_TAKEN
    }
