"""Results of several members of a group: in order whenever they come in time, each once, within the bounds.

The model: a camera's frames are spread over partitions; each partition belongs to one member at a time, and
moves now and then; a member numbers its results densely, and they arrive whenever they like.
"""

import random
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.recordings.resume import Resume
from nodes.collect.progress import ENDED
from nodes.collect.reorder import Bounds, Released, Reorder
from tests.collect.support import segments
from tests.collect.test_recording import Bench, lines, recording, seqs
from tests.support.waiting import wait_for

BOUNDS = Bounds(seconds=2.0, items=10_000, bytes=10**9, lossless_seconds=30.0)


@dataclass(frozen=True)
class Sent:
    """A result, or a partition's end (`seq` is the camera's count then), as it arrives at `at`."""

    at: float
    seq: int
    run: int
    n: int
    partition: int
    end: bool = False


@dataclass
class Group:
    """Members that share a camera's frames. `overlap` frames of a partition are taken twice when it moves.

    What nobody can know is left out: results before the first that was heard of a partition (so that one
    comes at once), and those of a member between two others of one that had the partition before it, too.
    """

    rng: random.Random
    partitions: int
    members: int
    lag: float
    fps: float = 50.0
    passed_on: float = 1.0
    lost: float = 0.0
    moves: float = 0.05
    overlap: int = 0
    made: dict[int, int] = field(default_factory=dict)
    sent: list[Sent] = field(default_factory=list)

    def run(self, count: int) -> list[Sent]:
        owners = [self.rng.randrange(self.members) for _ in range(self.partitions)]
        had = [{owner} for owner in owners]
        former: dict[int, tuple[int, int]] = {}  # by partition: who still takes its frames, and how many
        for seq in range(count):
            partition = seq % self.partitions
            others = sorted(set(range(self.members)) - had[partition])
            if others and seq >= 2 * self.partitions and self.rng.random() < self.moves:
                former[partition] = owners[partition], self.overlap
                owners[partition] = self.rng.choice(others)
                had[partition].add(owners[partition])
            passes = seq < self.partitions or self.rng.random() < self.passed_on
            takers = {owners[partition]}
            who, left = former.pop(partition, (0, 0))
            if left:
                takers.add(who)
                former[partition] = who, left - 1
            for run in sorted(takers):
                if passes:
                    self._send(seq, run, partition, seq / self.fps)
        for partition, run in enumerate(owners):
            self._send(count, run, partition, count / self.fps, end=True)
        return sorted(self.sent, key=lambda sent: sent.at)

    def _send(self, seq: int, run: int, partition: int, at: float, *, end: bool = False) -> None:
        n = self.made.get(run, 0)
        if not end:
            self.made[run] = n + 1
        if end or self.rng.random() >= self.lost:
            late_by = self.rng.random() * self.lag if seq >= self.partitions else 0.0
            self.sent.append(Sent(at + late_by, seq, run, n, partition, end))


class Collector:
    """Takes results in as the recording thread does: what came before needs no place."""

    def __init__(self, partitions: int, bounds: Bounds = BOUNDS, *, lossless: bool = False) -> None:
        self.buffer: Reorder[Sent] = Reorder(bounds)
        self.partitions, self.lossless = partitions, lossless
        self.came: dict[int, float] = {}
        self.out: list[Released[Sent]] = []

    def take(self, sent: Sent, now: float) -> None:
        more = {"partitions": self.partitions, "lossless": self.lossless}
        if sent.end:
            self.buffer.offer_end(sent, sent.seq, sent.run, sent.n, now, partition=sent.partition, **more)  # type: ignore[arg-type]
        elif sent.seq in self.came:
            self.buffer.skip(sent.run, sent.n, (sent.seq, 0), now, self.partitions)
        else:
            self.came[sent.seq] = now
            self.offer(sent, now)
        self.out += self.buffer.release(now)

    def offer(self, sent: Sent, now: float) -> None:
        place = (sent.seq, 0)
        straight = self.buffer.straight(sent, place, sent.run, sent.n, self.partitions)
        if straight is not None:
            self.out.append(straight)
        else:
            self.buffer.offer(
                sent,
                place,
                sent.run,
                sent.n,
                100,
                now,
                partitions=self.partitions,
                lossless=self.lossless,
            )

    @property
    def seqs(self) -> list[int]:
        return [each.item.seq for each in self.out if not each.item.end]


groups = st.builds(
    Group,
    rng=st.integers(0, 2**32).map(random.Random),
    partitions=st.integers(1, 6),
    members=st.integers(1, 5),
    lag=st.sampled_from([0.0, 0.05, 1.9]),
    overlap=st.integers(0, 3),
)


@settings(max_examples=150, deadline=None)
@given(groups, st.integers(0, 120))
def test_what_comes_within_the_deadline_leaves_in_order(group: Group, count: int) -> None:
    collector = Collector(group.partitions)
    for sent in group.run(count):
        collector.take(sent, sent.at)
    assert collector.seqs == list(range(count))
    assert not any(each.late for each in collector.out)
    assert (collector.buffer.items, collector.buffer.bytes, collector.buffer.due) == (0, 0, None)
    assert [each.item.end for each in collector.out[-group.partitions :]] == [True] * group.partitions


@settings(max_examples=150, deadline=None)
@given(groups, st.integers(0, 100), st.integers(1, 30), st.booleans(), st.sampled_from([0.0, 0.3]))
def test_whatever_is_late_or_lost_each_is_released_once_within_the_bounds(
    group: Group, count: int, items: int, lossless: bool, lost: float
) -> None:
    group.passed_on, group.lost, group.lag = 0.5, lost, group.lag * 20
    collector = Collector(group.partitions, Bounds(2.0, items, 10**6, 2.0), lossless=lossless)
    for sent in group.run(count):
        collector.take(sent, sent.at)
        assert collector.buffer.items <= items
        assert collector.buffer.due is None or collector.buffer.due > sent.at
    collector.out += collector.buffer.release_all()
    assert sorted(collector.seqs) == sorted(collector.came)
    assert sum(each.item.end for each in collector.out) == group.partitions
    newest = -1
    for each in collector.out:
        if not each.item.end:
            assert each.late is (each.item.seq < newest)
            newest = max(newest, each.item.seq)


@settings(max_examples=100, deadline=None)
@given(groups, st.integers(1, 80), st.data())
def test_another_buffer_goes_on_where_one_was_lost(group: Group, count: int, data: st.DataObject) -> None:
    """What was held, or released and not safe, is sent again; nothing passes it."""
    first = Collector(group.partitions)
    arrivals = group.run(count)
    heard = max((at for at, sent in enumerate(arrivals, 1) if sent.seq < group.partitions), default=0)
    cut = data.draw(st.integers(heard, len(arrivals)))
    for sent in arrivals[:cut]:
        first.take(sent, sent.at)
    frames = [each for each in first.out if not each.item.end]
    safe = frames[: data.draw(st.integers(0, len(frames)))]
    kept = {each.item.seq for each in safe}
    unsafe = [
        (sent.seq, sent.run, sent.n) for sent in arrivals[:cut] if not sent.end and sent.seq not in kept
    ]
    again = Collector(group.partitions)
    again.buffer = Reorder(BOUNDS, first.buffer.resume().before(unsafe))
    again.came = dict.fromkeys(kept, 0.0)
    ends = [each for each in arrivals[:cut] if each.end]
    resent = [sent for sent in arrivals[:cut] if not sent.end and sent.seq not in kept]
    for sent in [*arrivals[cut:], *data.draw(st.permutations(resent)), *ends]:
        again.take(sent, 0.0)
    again.out += again.buffer.release_all()
    assert again.seqs == list(range(len(kept), count))


def at(collector: Collector, now: float, seq: int, run: int, n: int) -> list[int]:
    """What leaves when a result of `run` comes."""
    before = len(collector.seqs)
    collector.take(Sent(now, seq, run, n, seq % collector.partitions), now)
    return collector.seqs[before:]


def later(collector: Collector, now: float) -> list[int]:
    before = len(collector.seqs)
    collector.out += collector.buffer.release(now)
    return collector.seqs[before:]


def test_what_the_former_member_made_last_is_waited_for() -> None:
    for partitions in (1, 2):
        collector = Collector(partitions)
        step = partitions
        assert at(collector, 0.0, 0, run=1, n=0) == [0]
        assert at(collector, 0.1, 3 * step, run=2, n=0) == []
        assert at(collector, 0.2, step, run=1, n=1) == ([step] if partitions == 1 else [])
        assert at(collector, 0.3, 2 * step, run=1, n=2) == ([2, 3] if partitions == 1 else [])


def test_what_the_former_member_did_not_make_is_waited_for_once() -> None:
    collector = Collector(1)
    assert at(collector, 0.0, 0, run=1, n=0) == [0]
    assert at(collector, 0.1, 30, run=2, n=0) == []
    assert at(collector, 0.2, 31, run=2, n=1) == []
    assert later(collector, 2.0) == []
    assert later(collector, 2.1) == [30, 31]
    assert at(collector, 2.2, 32, run=2, n=2) == [32]


def test_a_partition_that_says_nothing_is_waited_for_once_until_it_speaks() -> None:
    collector = Collector(2)
    assert at(collector, 0.0, 0, run=1, n=0) == [0]
    assert at(collector, 0.1, 2, run=1, n=1) == []
    assert later(collector, 2.1) == [2]
    assert at(collector, 2.2, 4, run=1, n=2) == [4]
    assert at(collector, 2.3, 3, run=2, n=0) == [3]
    assert collector.out[-1].late
    assert at(collector, 2.4, 6, run=1, n=3) == []
    assert at(collector, 2.5, 5, run=2, n=1) == [5, 6]


def test_an_end_counts_as_having_come_up_to_anything() -> None:
    collector = Collector(2)
    collector.take(Sent(0.0, 9, run=2, n=0, partition=1, end=True), 0.0)
    for n in range(5):
        assert at(collector, 0.0, 2 * n, run=1, n=n) == [2 * n]
    assert [mark for _, mark in collector.buffer.resume().marks] == [8, ENDED]


def test_a_frame_that_gave_several_results_keeps_them_together() -> None:
    buffer: Reorder[str] = Reorder(BOUNDS)
    out: list[str] = []
    for run, n, seq, part in [
        (1, 0, 0, 0),
        (1, 1, 0, 1),
        (2, 0, 1, 0),
        (1, 2, 2, 0),
        (2, 1, 1, 1),
        (2, 2, 3, 0),
    ]:
        buffer.offer(f"{seq}.{part}", (seq, part), run, n, 1, 0.0, partitions=2)
        out += [each.item for each in buffer.release(0.0)]
    assert out == ["0.0", "0.1", "1.0", "1.1", "2.0"]


def test_what_was_refused_is_waited_for_over_partitions_too() -> None:
    collector = Collector(2)
    assert at(collector, 0.0, 0, run=1, n=0) == [0]
    collector.buffer.refused(collector.out.pop())
    assert at(collector, 0.0, 1, run=2, n=0) == []
    assert at(collector, 0.0, 2, run=3, n=0) == []
    del collector.came[0]
    assert at(collector, 0.0, 0, run=1, n=0) == [0, 1, 2]


def test_a_mark_goes_back_before_what_is_not_safe() -> None:
    resume = Resume(((1, 10), (2, 4)), ((1, 18), (2, 17)))
    assert resume.before([]) == resume
    assert resume.before([(16, 1, 9), (14, 1, 8), (3, -1, 0)]).runs == ((1, 8), (2, 4))
    assert resume.before([(16, 1, 9), (14, 1, 8)]).marks == ((1, 12), (2, 17))


def push(bench: Bench, *numbers: int, partition: int) -> None:
    """Results of the member that has a partition of two, by what it counts itself."""
    for n in numbers:
        bench.push(2 * n + partition, run=1 + partition, n=n, partitions=2, lossless=True)


def test_a_member_that_is_fifty_times_slower_costs_no_order(tmp_path: Path) -> None:
    with recording(tmp_path, bounds=Bounds()) as bench:
        for round_ in range(2):
            push(bench, *range(50 * round_, 50 * round_ + 50), partition=0)
            push(bench, round_, partition=1)
        bench.end(200, run=1, n=100, partitions=2)
        wait_for(lambda: bench.forwarded == [0, 1, 2, 3, 4])
        push(bench, *range(2, 100), partition=1)
        wait_for(lambda: bench.count()[0] == 200)
        assert bench.recorder.stats().open == 1
        bench.end(200, run=2, n=100, partition=1, partitions=2)
        wait_for(lambda: bench.recorder.stats().open == 0)
        wait_for(lambda: len(bench.acked) == 202)
        assert bench.count() == (200, 0, 0)
    assert seqs(tmp_path) == list(range(200))
    assert not any(line.get("late") for line in lines(tmp_path))
    assert len(segments(tmp_path)) == 1


def test_after_a_restart_it_waits_for_every_member_and_for_the_former_one(tmp_path: Path) -> None:
    with recording(tmp_path) as bench:
        for n in range(5):
            push(bench, n, partition=0)
            push(bench, n, partition=1)
        wait_for(lambda: bench.count()[0] == 10)
    with recording(tmp_path) as again:
        push(again, 7, partition=0)
        again.push(15, run=3, n=0, partitions=2, lossless=True)  # who has the other partition from now on
        push(again, 5, 6, partition=1)
        push(again, 6, 5, partition=0)
        wait_for(lambda: again.forwarded == [10, 11, 12, 13, 14, 15])
