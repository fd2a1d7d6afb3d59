"""Nodes, cameras and groups as rows, from a look and what the nodes reported before. Pure.

Rules kept here: what is not known is None, never 0; totals are the ledger's, rates are of what nodes reported
in between; ages that were measured on another machine than the camera's are corrected by both clocks'
offsets, where these are known; a node that was killed, and a camera that nobody captures any more, stay in
sight for as long as their counters are kept.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mesh.ages import added, percentile
from mesh.ledger import CameraSummary, GroupSummary
from mesh.ledger.members import NOT_TAKEN, Life, life
from mesh.place import machine
from mesh.registry.records import CameraRecord, NodeKind, NodeRecord, NodeState, StatsRecord
from mesh.top.look import Look
from mesh.top.rates import Flow, Flows, History, flows
from mesh.trace import NodeClock, between

DIED = "died"  # a node that was killed
GONE = "gone"  # a camera that was captured
WAITING = "waiting"  # a camera that is configured, and that nobody captures


@dataclass(frozen=True, slots=True)
class Age:
    """How old frames were, in milliseconds; None where there were none."""

    p50_ms: float | None = None
    p99_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Drops:
    """What was dropped for one cause: now, and ever."""

    per_s: float
    total: int


@dataclass(frozen=True, slots=True)
class NodeRow:
    """`queue`: frames and results that wait in it. `has`: cameras, or CAMERA/PARTITION of a group's input."""

    node: str
    kind: str
    group: str
    state: str
    why: str
    host: str
    cpu_percent: float | None
    rss_bytes: int | None
    fps_in: float | None
    fps_out: float | None
    age: Age
    dropped_per_s: float | None
    dropped: Mapping[str, Drops]
    queue: int
    has: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CameraRow:
    """`fps_recorded` is by stage; `fps_skipped`, of all stages, is left out by choice; `age` is that of
    frames when they were recorded."""

    camera: str
    state: str
    why: str
    node: str
    width: int
    height: int
    codec: str
    fps_captured: float | None
    fps_recorded: Mapping[str, float]
    fps_skipped: float
    age: Age
    dropped: Mapping[str, Drops]
    lost: int
    unaccounted: int


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A group over all of its cameras; `fps_in` counts frames, and `fps_out` results."""

    group: str
    stage: str
    output: str
    members: tuple[str, ...]
    cameras: int
    fps_in: float | None
    fps_out: float | None
    age: Age
    dropped: Mapping[str, Drops]
    lost: int
    in_flight: int
    waiting: int
    undelivered: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Board:
    """What there is to see."""

    at_ns: int
    nodes: tuple[NodeRow, ...] = ()
    cameras: tuple[CameraRow, ...] = ()
    groups: tuple[GroupRow, ...] = ()


def board(look: Look, history: History) -> Board:
    """What there is to see at a look; `history` has its reports, and those before."""
    passed = {run: flows(pair, look.at) for run, pair in history.items()}
    now = _Now(look, [each for each in passed.values() if each is not None])
    return Board(
        at_ns=look.at_ns,
        nodes=tuple(_nodes(look, {run: each for run, each in passed.items() if each}, now)),
        cameras=tuple(_cameras(look, now)),
        groups=tuple(_groups(look, now)),
    )


@dataclass(slots=True)
class _Now:
    """What passes now, by where one looks for it."""

    look: Look
    passing: Sequence[Flows]
    captured: dict[str, list[Flow]] = field(default_factory=lambda: defaultdict(list))  # by camera
    recorded: dict[str, list[Flow]] = field(default_factory=lambda: defaultdict(list))  # by camera
    grouped: dict[tuple[str, str], list[Flow]] = field(default_factory=lambda: defaultdict(list))
    dropped: dict[str, list[Flow]] = field(default_factory=lambda: defaultdict(list))  # by camera
    clocks: dict[str, NodeClock] = field(default_factory=dict)
    capturing: dict[str, str] = field(default_factory=dict)  # a camera's node

    def __post_init__(self) -> None:
        for each in self.passing:
            for flow in each.captured:
                if flow.output == "raw":
                    self.captured[flow.camera].append(flow)
                self.dropped[flow.camera].append(flow)
            for flow in each.recorded:
                self.recorded[flow.camera].append(flow)
            for flow in each.grouped:
                self.grouped[flow.group, flow.stage].append(flow)
                self.dropped[flow.camera].append(flow)
        machines = {node.id: machine(node.place) for node in self.look.nodes}
        for report in sorted(self.look.reports, key=lambda report: report.run):
            clock = report.clock_offset_ns, report.clock_error_ns
            self.clocks[report.node] = NodeClock(*clock, machines.get(report.node, ""))
            self.capturing |= {c.camera: report.node for c in report.cameras if c.stage == "raw"}
        self.capturing |= {camera.name: camera.node for camera in self.look.cameras}

    def age(self, flows: Iterable[Flow]) -> Age:
        """How old the frames were that passed, by the clocks of those who captured them."""
        by_shift: dict[int, list[tuple[int, ...]]] = defaultdict(list)
        for flow in flows:
            if flow.ages:
                by_shift[self._shift_ns(flow)].append(flow.ages)
        parts = [(added(counts), shift_ns / 1e9) for shift_ns, counts in by_shift.items()]
        found = (percentile(parts, percent) for percent in (50, 99))
        return Age(*(None if age_s is None else age_s * 1e3 for age_s in found))

    def _shift_ns(self, flow: Flow) -> int:
        """What to add to an age that was measured by the clock of another node than the camera's."""
        origin = self.clocks.get(self.capturing.get(flow.camera, ""), NodeClock())
        return between(origin, self.clocks.get(flow.node, NodeClock()))[0]


def _nodes(look: Look, passed: Mapping[tuple[str, int], Flows], now: _Now) -> Iterable[NodeRow]:
    latest: dict[str, StatsRecord] = {}
    for each in sorted(look.reports, key=lambda report: report.run):
        latest[each.node] = each
    standing = {node.id: node for node in look.nodes}
    has = _shares(look)
    for name in sorted(standing.keys() | latest.keys()):
        record, last = standing.get(name), latest.get(name)
        earlier = record is not None and last is not None and last.run not in (0, record.started_ns)
        report = None if earlier else last  # of this run there is none yet
        flow = passed.get((name, report.run)) if report is not None else None
        yield _node(name, record, report, flow, now, has.get(name, ()))


def _node(
    name: str,
    record: NodeRecord | None,
    report: StatsRecord | None,
    flow: Flows | None,
    now: _Now,
    has: Sequence[str],
) -> NodeRow:
    drops = _drops(
        _dropped(report) if report else (),
        [*flow.captured, *flow.grouped] if flow else (),
    )
    done = (*flow.grouped, *flow.recorded) if flow else ()
    return NodeRow(
        node=name,
        kind=record.kind if record else _kind(report),
        group=record.group if record else "",
        state=record.state if record else _fate(report, now.look.nodes),
        why=record.why if record else "",
        host=record.host if record else "",
        cpu_percent=flow.cpu * 100 if flow and report and report.cpu_s else None,
        rss_bytes=(report.rss_bytes if flow and report else 0) or None,
        fps_in=_into(flow) if flow else None,
        fps_out=_out_of(flow) if flow else None,
        age=now.age(done),
        dropped_per_s=sum(drop.per_s for drop in drops.values()) if flow else None,
        dropped=drops,
        queue=sum(c.in_flight + c.waiting for c in report.groups) if flow and report else 0,
        has=tuple(has),
    )


def _dropped(report: StatsRecord) -> Iterable[Mapping[str, int]]:
    """What a node dropped of the frames that fell to it."""
    for dropped in (*(c.dropped for c in report.cameras), *(c.dropped for c in report.groups)):
        yield {cause: n for cause, n in dropped.items() if cause not in NOT_TAKEN}


def _kind(report: StatsRecord | None) -> str:
    """What a node was that only its report tells of."""
    if report is None:
        return ""
    if report.recorded:
        return NodeKind.COLLECT
    return NodeKind.PROCESS if report.groups else NodeKind.CAPTURE if report.cameras else ""


def _fate(report: StatsRecord | None, nodes: Sequence[NodeRecord]) -> str:
    died = report is not None and life(report, nodes) is Life.DIED
    return DIED if died else NodeState.ENDED


def _into(flow: Flows) -> float:
    """Frames a second that a node takes in: from its cameras, its input, or that are pushed to it."""
    recorded = {(f.camera, f.stage) for f in flow.recorded}
    taken = [f for f in flow.grouped if (f.camera, f.stage) not in recorded]
    return sum(f.fps_in for f in (*flow.captured, *taken, *flow.recorded))


def _out_of(flow: Flows) -> float:
    """Frames a second that it captured, made, or recorded."""
    made = [f for f in flow.grouped if f.output != f.stage]
    return sum(f.fps_out for f in (*flow.captured, *made, *flow.recorded))


def _shares(look: Look) -> Mapping[str, Sequence[str]]:
    """What each node has of the work that nodes share."""
    found: dict[str, list[str]] = defaultdict(list)
    for camera in look.cameras:
        found[camera.node].append(camera.name)
    for member in look.groups:
        found[member.node] += sorted(member.holds)
    return found


def _cameras(look: Look, now: _Now) -> Iterable[CameraRow]:
    known = {camera.name: camera for camera in look.cameras}
    counted = look.summary["cameras"]
    for name in sorted(known.keys() | look.waiting.keys() | counted.keys()):
        yield _camera(name, known.get(name), counted.get(name), now)


def _camera(name: str, record: CameraRecord | None, counted: CameraSummary | None, now: _Now) -> CameraRow:
    groups = list(counted["groups"].values()) if counted else []
    captured, recorded = now.captured[name], now.recorded[name]
    waits = now.look.waiting.get(name)
    return CameraRow(
        camera=name,
        state=record.state if record else GONE if waits is None else WAITING,
        why=record.why if record else waits or "",
        node=record.node if record else "",
        width=record.width if record else 0,
        height=record.height if record else 0,
        codec=record.codec if record else "",
        fps_captured=sum(flow.fps_out for flow in captured) if captured else None,
        fps_recorded=_by_stage(recorded),
        fps_skipped=sum(flow.fps_skipped for flow in recorded),
        age=now.age(recorded),
        dropped=_drops([counted["dropped"], *(g["dropped"] for g in groups)], now.dropped[name])
        if counted
        else {},
        lost=sum(group["lost"] for group in groups),
        unaccounted=counted["unaccounted"] if counted else 0,
    )


def _by_stage(recorded: Iterable[Flow]) -> Mapping[str, float]:
    """By stage; where several collectors record one, that of the one which records most."""
    by_node: dict[tuple[str, str], float] = defaultdict(float)
    for flow in recorded:
        by_node[flow.stage, flow.node] += flow.fps_out
    found: dict[str, float] = {}
    for (stage, _), fps in sorted(by_node.items()):
        found[stage] = max(fps, found.get(stage, 0.0))
    return found


def _groups(look: Look, now: _Now) -> Iterable[GroupRow]:
    lines: dict[str, list[GroupSummary]] = defaultdict(list)
    for camera in look.summary["cameras"].values():
        for name, group in camera["groups"].items():
            lines[name].append(group)
    for name, line in sorted(lines.items()):
        yield _group(name, line, now)


def _group(name: str, line: Sequence[GroupSummary], now: _Now) -> GroupRow:
    """A line of the ledger, GROUP, GROUP/STAGE or GROUP@NODE, over all cameras."""
    members = {member for group in line for member in group["members"]}
    stage, output = line[-1]["stage"], line[-1]["output"]
    passing = now.grouped[name.partition("@")[0].partition("/")[0], stage]
    passing = [flow for flow in passing if flow.node in members]
    stored = (flow for flows in now.recorded.values() for flow in flows if flow.stage == stage)
    done = passing if output != stage else [flow for flow in stored if flow.node in members]
    return GroupRow(
        group=name,
        stage=stage,
        output=output,
        members=tuple(sorted(members)),
        cameras=len(line),
        fps_in=sum(flow.fps_in for flow in passing) if passing else None,
        fps_out=sum(flow.fps_out for flow in passing) if passing else None,
        age=now.age(done),
        dropped=_drops([group["dropped"] for group in line], passing),
        lost=sum(group["lost"] for group in line),
        in_flight=sum(group["in_flight"] for group in line),
        waiting=sum(group["waiting"] for group in line),
        undelivered={cause: n for cause, n in _totals(g["undelivered"] for g in line).items() if n},
    )


def _drops(totals: Iterable[Mapping[str, int]], passing: Iterable[Flow]) -> dict[str, Drops]:
    """By cause, what is dropped most now first, and then what was dropped most ever."""
    ever = _totals(totals)
    now: dict[str, float] = defaultdict(float)
    for flow in passing:
        for cause, per_s in flow.dropped.items():
            now[cause] += per_s
    found = {cause: Drops(now[cause], n) for cause, n in ever.items() if n}
    return dict(sorted(found.items(), key=lambda item: (-item[1].per_s, -item[1].total, item[0])))


def _totals(several: Iterable[Mapping[str, int]]) -> dict[str, int]:
    found: dict[str, int] = defaultdict(int)
    for counts in several:
        for cause, n in counts.items():
            found[cause] += n
    return dict(found)
