"""The ledger against a simulated mesh in which the fate of every frame is known.

A camera with partitions, a group that takes it in, and a group behind that one. Members join, hand partitions
over with an overlap, drain, and are killed with a report that is older than what they did; links lose frames.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.ledger import GroupSummary, summarise
from mesh.registry.records import (
    CameraCount,
    GroupCount,
    NodeKind,
    NodeRecord,
    NodeState,
    StatsRecord,
)

CAPTURE_RUN = 1
Number = tuple[int, int, int]  # partition, publisher's run, n


@dataclass
class Worker:
    """A member: what became of every number that it accounted for."""

    stage: str
    run: int
    at: int = 0
    life: str = "running"
    holds: set[int] = field(default_factory=set)
    fates: dict[Number, str] = field(default_factory=dict)
    ends: set[Number] = field(default_factory=set)  # where it heard an end
    heard: dict[tuple[int, int], tuple[int, int]] = field(
        default_factory=dict
    )  # since it entered: first, next
    newest: dict[int, int] = field(default_factory=dict)  # seq by partition
    waiting: list[tuple[Number, int]] = field(default_factory=list)
    published: Counter[int] = field(default_factory=Counter)  # by partition
    report: StatsRecord = field(init=False)
    reported: dict[Number, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.report = StatsRecord(node=self.node, at_ns=self.run, run=self.run)  # it has started

    @property
    def node(self) -> str:
        return f"{self.stage}-{self.run}"

    def hear(self, number: Number, seq: int) -> None:
        partition, run, n = number
        first = self._reach(partition, run, n)
        self.heard[partition, run] = first, n + 1
        again = seq <= self.newest.get(partition, -1)
        self.fates[number] = "duplicates" if again else "in_flight"
        if not again:
            self.newest[partition] = seq
            self.waiting.append((number, seq))

    def end(self, partition: int, run: int, n: int) -> None:
        self.heard[partition, run] = self._reach(partition, run, n), n
        self.ends.add((partition, run, n))

    def _reach(self, partition: int, run: int, n: int) -> int:
        """Count what did not come as lost; the first number of the span."""
        first, expected = self.heard.get((partition, run), (n, n))
        self.fates |= {(partition, run, missed): "lost" for missed in range(expected, n)}
        return first

    def enter(self, partition: int) -> None:
        if partition not in self.holds:
            self.holds.add(partition)
            self.heard = {key: reach for key, reach in self.heard.items() if key[0] != partition}

    def spans(self) -> tuple[tuple[int, int, int, int], ...]:
        """Consecutive numbers as one span, and every end as an empty one."""
        found: list[tuple[int, int, int, int]] = []
        for p, run, n in sorted(self.fates):
            if found and (p, run, n) == (*found[-1][:2], found[-1][3]):
                found[-1] = (*found[-1][:3], n + 1)
            else:
                found.append((p, run, n, n + 1))
        return tuple(found + [(p, run, n, n) for p, run, n in self.ends])

    @property
    def reported_spans(self) -> tuple[tuple[int, int, int, int], ...]:
        return tuple(span for group in self.report.groups for span in group.spans)

    def say(self, now: int, source: str) -> None:
        self.at, self.reported = now, dict(self.fates)
        fates = Counter(self.fates.values())
        made = GroupCount(
            camera="door",
            boot=7,
            stage=source,
            group=self.stage,
            output=self.stage,
            processed=fates["processed"],
            dropped={"overwritten": fates["overwritten"], "before_join": 3, "elsewhere": 2},
            lost=fates["lost"],
            in_flight=fates["in_flight"],
            duplicates=fates["duplicates"],
            spans=self.spans(),
            ended=self.holds <= {partition for partition, _, _ in self.ends},
            results=self.published.total(),
            publishes=self.run,
        )
        final = self.life == "left"
        self.report = StatsRecord(node=self.node, at_ns=now, run=self.run, final=final, groups=(made,))


class Stage:
    """A group of workers, and all that its publishers offered."""

    def __init__(self, name: str, source: str, mesh: "Mesh") -> None:
        self.name, self.source, self.mesh = name, source, mesh
        self.workers: list[Worker] = []
        self.offered: dict[Number, int] = {}
        self.behind: Stage | None = None

    @property
    def running(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.life == "running"]

    def join(self) -> Worker:
        worker = Worker(self.name, run=next(self.mesh.clock))
        self.workers.append(worker)
        return worker

    def offer(self, number: Number, seq: int, lost: int) -> None:
        """A publisher sends a frame; `lost` says by bits on whose links it gets lost."""
        self.offered[number] = seq
        for place, worker in enumerate(self.running):
            if number[0] in worker.holds and not lost >> place & 1:
                worker.hear(number, seq)

    def work(self, worker: Worker, frames: int, lost: int = 0, drop: bool = False) -> None:
        for _ in range(min(frames, len(worker.waiting))):
            number, seq = worker.waiting.pop(0)
            worker.fates[number] = "overwritten" if drop else "processed"
            if not drop:
                partition, n = number[0], worker.published[number[0]]
                worker.published[partition] += 1
                if self.behind is not None:
                    self.behind.offer((partition, worker.run, n), seq, lost)

    def take(self, partition: int, pick: int) -> None:
        """A member gains a partition; those that had it let go once it has what they have."""
        (self.running[pick % len(self.running)] if self.running else self.join()).enter(partition)

    def let_go(self, partition: int, speaking: set[int]) -> None:
        """Members that hold a partition leave it to another that has begun where they are, or before.

        speaking: the publishers' runs from which something may still come
        """
        for worker in self.running:
            others = [w for w in self.running if w is not worker and partition in w.holds]
            if partition in worker.holds and any(_has(w, worker, partition, speaking) for w in others):
                worker.holds.discard(partition)

    def kill(self, pick: int) -> None:
        if self.running:
            self.running[pick % len(self.running)].life = "died"

    def drain(self, pick: int) -> None:
        """A member that holds nothing, or is alone, finishes and leaves."""
        if self.running:
            worker = self.running[pick % len(self.running)]
            if not worker.holds or len(self.running) == 1:
                self.work(worker, len(worker.waiting))
                worker.life = "left"
                worker.say(next(self.mesh.clock), self.source)

    def finish(self, speakers: list[tuple[int, int, int]]) -> None:
        """Everything is offered: each partition finds a member, the end is said and all is worked off."""
        for partition in range(self.mesh.partitions):
            if not any(partition in worker.holds for worker in self.running):
                self.take(partition, partition)
        for worker in self.running:
            for partition, run, n in speakers:
                if partition in worker.holds:
                    worker.end(partition, run, n)
            self.work(worker, len(worker.waiting))

    def speakers(self) -> list[tuple[int, int, int]]:
        return [(p, worker.run, worker.published[p]) for worker in self.running for p in worker.holds]


def _has(gaining: Worker, losing: Worker, partition: int, speaking: set[int]) -> bool:
    for (held, run), (_, expected) in losing.heard.items():
        if held == partition and run in speaking:
            first, _ = gaining.heard.get((partition, run), (expected + 1, 0))
            if first > expected:
                return False
    return any(held == partition for held, _ in gaining.heard)


class Mesh:
    def __init__(self, partitions: int) -> None:
        self.partitions = partitions
        self.clock = count(10)
        self.seq = 0
        self.first = Stage("motion", "raw", self)
        self.second = Stage("codes", "motion", self)
        self.first.behind = self.second

    def do(self, action: str, stage: Stage, one: int, two: int) -> None:
        partition = one % self.partitions
        match action:
            case "capture":
                for _ in range(two + 1):
                    p, n = self.seq % self.partitions, self.seq // self.partitions
                    self.first.offer((p, CAPTURE_RUN, n), self.seq, one)
                    self.seq += 1
            case "work" if stage.running:
                stage.work(stage.running[one % len(stage.running)], two + 2, one >> 2, drop=two == 3)
            case "join":
                stage.join()
            case "take":
                stage.take(partition, two)
            case "let go":
                runs = {CAPTURE_RUN} if stage is self.first else {w.run for w in self.first.running}
                stage.let_go(partition, runs)
            case "kill":
                stage.kill(one)
            case "drain":
                stage.drain(one)
            case "report":
                for worker in stage.running:
                    worker.say(next(self.clock), stage.source)

    def end(self) -> None:
        last = [(p, CAPTURE_RUN, len(range(p, self.seq, self.partitions))) for p in range(self.partitions)]
        self.first.finish(last)
        self.second.finish(self.first.speakers())
        for stage in (self.first, self.second):
            for worker in stage.running:
                worker.say(next(self.clock), stage.source)

    def ledger(self, *, ended: bool) -> tuple[dict[str, GroupSummary], int]:
        workers = [*self.first.workers, *self.second.workers]
        camera = CameraCount(camera="door", boot=7, captured=self.seq, ended=ended)
        capture = StatsRecord(node="capture", at_ns=next(self.clock), run=CAPTURE_RUN, cameras=(camera,))
        reports = [capture, *(worker.report for worker in workers)]
        nodes = [_node("capture", CAPTURE_RUN)]
        nodes += [_node(worker.node, worker.run) for worker in workers if worker.life == "running"]
        door = summarise(reports, nodes)["cameras"]["door"]
        return door["groups"], door["unaccounted"]


def _node(name: str, run: int) -> NodeRecord:
    kind = NodeKind.PROCESS
    return NodeRecord(id=name, kind=kind, host="h", pid=1, state=NodeState.RUNNING, started_ns=run)


def expected_holes(stage: Stage) -> Counter[str]:
    """What is said of the numbers that no report tells of, found one number at a time."""
    who: dict[Number, set[str]] = defaultdict(set)  # how they are who took a number
    met: dict[Number, set[str]] = defaultdict(set)  # and who heard the end there
    tops: Counter[tuple[int, int]] = Counter()
    for worker in stage.workers:
        for partition, run, first, end in worker.reported_spans:
            for n in range(first, end):
                who[partition, run, n].add(worker.life)
            if first == end:
                met[partition, run, end].add(worker.life)
            tops[partition, run] = max(end, tops[partition, run])
    found: Counter[str] = Counter()
    for (partition, run), top in tops.items():
        behind: set[str] = set()
        for n in range(top):
            before = behind if n == 0 or (partition, run, n - 1) in who else set()
            behind = before | met[partition, run, n] or behind
            if (partition, run, n) in who:
                behind = who[partition, run, n]
            else:
                found[
                    next((life for life in ("died", "left", "running") if life in behind), "before_join")
                ] += 1
    return found


ACTIONS = (
    "capture",
    "capture",
    "work",
    "work",
    "report",
    "join",
    "take",
    "let go",
    "let go",
    "kill",
    "drain",
)
SCRIPT = st.lists(
    st.tuples(st.sampled_from(ACTIONS), st.booleans(), st.integers(0, 15), st.integers(0, 3)),
    min_size=20,
    max_size=60,
)


def run(partitions: int, served: bool, script: list[tuple[str, bool, int, int]]) -> Mesh:
    """A mesh that has done a script, and ended; `served` says whether it is there from the first frame on."""
    mesh = Mesh(partitions)
    for partition in range(partitions if served else 0):
        mesh.first.take(partition, 0)
        mesh.second.take(partition, 0)
    for action, behind, one, two in script:
        mesh.do(action, mesh.second if behind else mesh.first, one, two)
        if action == "report":
            assert mesh.ledger(ended=False)[1] == 0  # what no report knows yet is in flight
    mesh.end()
    return mesh


def check(stage: Stage, group: GroupSummary, *, upstream_died: bool) -> None:
    """The figures of a group against the fates of its frames, as far as their takers lived to tell."""
    told = [worker.reported for worker in stage.workers]
    known = set().union(*told)
    fates = Counter(fate for of in told for fate in of.values())
    dropped, holes = Counter(group["dropped"]), expected_holes(stage)
    died = any(worker.life == "died" for worker in stage.workers)
    assert group["ended"]
    assert group["in_flight"] == 0
    assert group["processed"] == fates["processed"]
    assert group["results"] == fates["processed"]
    assert group["duplicates"] == fates["duplicates"]
    assert dropped["overwritten"] == fates["overwritten"]
    assert group["overlap"] == sum(map(len, told)) - len(known)
    assert len(known) <= group["offered"] <= len(stage.offered)
    unknown = group["offered"] - len(known)
    named = dropped["before_join"] + dropped["left"] + dropped["died"] - fates["in_flight"]
    assert named + group["lost"] - fates["lost"] == unknown
    assert dropped["before_join"] >= holes["before_join"]
    # A node that was killed may have had what another one left, and have told nobody yet.
    assert dropped["left"] + died * dropped["died"] >= holes["left"]
    assert dropped["died"] >= holes["died"] + holes["running"] + fates["in_flight"]
    if not upstream_died:
        assert group["offered"] == len(stage.offered)
        assert dropped["died"] == 0 or died
    if stage.source == "raw":
        assert group["lost"] == fates["lost"]


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 3), st.booleans(), SCRIPT)
def test_every_frame_is_where_it_truly_went(
    partitions: int, served: bool, script: list[tuple[str, bool, int, int]]
) -> None:
    mesh = run(partitions, served, script)
    groups, unaccounted = mesh.ledger(ended=True)
    assert unaccounted == 0
    check(mesh.first, groups["motion"], upstream_died=False)
    check(mesh.second, groups["codes"], upstream_died=any(w.life == "died" for w in mesh.first.workers))
