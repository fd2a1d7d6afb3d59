"""What stands in the registry: one pydantic record for each kind of key.

Records are values: frozen, checked when they are read (another program may have written them), never made
per frame. Keys: `nodes/ID`, `cameras/NAME`, `streams/STAGE/CAMERA/NODE`, `groups/GROUP/NODE`,
`stats/NODE/RUN`.
"""

from enum import StrEnum
from typing import Annotated, Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mesh.errors import RegistryError
from mesh.names import MAX_PARTITIONS, NAME
from mesh.place import nearest
from mesh.registry.base import Entry, Registry

Name = Annotated[str, Field(pattern=NAME)]
Count = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Record(BaseModel):
    """A frozen record. Unknown fields are ignored, so that newer nodes can stand beside older ones."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """The record that an entry holds. Raises `RegistryError` when it holds something else."""
        try:
            return cls.model_validate(entry.value)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise RegistryError(
                f"registry entry {entry.key!r} is malformed: {where}: {first['msg']}"
            ) from error

    def value(self) -> dict[str, Any]:
        """The JSON-like map that is stored."""
        return self.model_dump(mode="json")


class NodeKind(StrEnum):
    CAPTURE = "capture"
    PROCESS = "process"
    COLLECT = "collect"
    PUBLISH = "publish"  # a script that called `mesh.connect().publish(...)`


class NodeState(StrEnum):
    RUNNING = "running"
    DEGRADED = "degraded"
    PAUSED = "paused"  # it takes in nothing to work on, and keeps its share
    DRAINING = "draining"
    ENDED = "ended"


class NodeRecord(Record):
    """`nodes/ID`: a running node and where it can be reached.

    `endpoints` are by role: "pub" (frames), "pull" (results, collectors only), "control", and, for peers at
    the same `place` (see `mesh.place`), "pub_local" and so on. `labels` say where it stands or what it has,
    for work that is pinned to such. `weight` is its share of the work beside that of its peers; 0: as
    measured, by `capacity`, the frames a second that it could take (0: not known).
    """

    id: Name
    kind: NodeKind
    group: str = ""
    host: str
    pid: int
    state: NodeState = NodeState.RUNNING
    why: str = ""
    endpoints: dict[str, str] = {}
    place: str = ""
    labels: dict[Name, Name] = {}
    capacity: Amount = 0.0
    weight: Amount = 0.0
    inputs: tuple[str, ...] = ()  # the stages that it takes in
    started_ns: int = 0
    version: str = ""

    @property
    def key(self) -> str:
        return f"nodes/{self.id}"

    def reach(self, role: str, here: str) -> str:
        """The endpoint of a role for a peer at the place `here`; empty where the node has none."""
        local = self.endpoints.get(f"{role}_local", "")
        return nearest(self.endpoints.get(role, ""), local, self.place, here)

    def stream(
        self,
        stage: str,
        camera: str,
        *,
        relay: bool = False,
        lossless: bool = False,
        partitions: int = 1,
    ) -> "StreamRecord":
        """A stream that this node publishes."""
        return StreamRecord(
            stage=stage,
            camera=camera,
            node=self.id,
            endpoint=self.endpoints["pub"],
            local=self.endpoints.get("pub_local", ""),
            place=self.place,
            relay=relay,
            lossless=lossless,
            partitions=partitions,
        )


class CameraState(StrEnum):
    CONNECTING = "connecting"
    ONLINE = "online"
    RECONNECTING = "reconnecting"
    PAUSED = "paused"  # somebody asked for that: its source is closed, or held where it is
    ENDED = "ended"
    FAILED = "failed"


class CameraRecord(Record):
    """`cameras/NAME`: a camera, who captures it, and how it is. `source` never holds a password.

    `done` stands where a configured camera has ended by itself: the print of the setup that it was captured
    by (see `nodes.capture.setup`), which is not to be captured again.
    """

    name: Name
    source: str
    state: CameraState = CameraState.CONNECTING
    why: str = ""
    node: Name
    host: str = ""
    pid: Count = 0
    boot: Count = 0
    codec: str = ""
    width: Count = 0
    height: Count = 0
    fps: float = 0.0
    done: str = ""

    @property
    def key(self) -> str:
        return f"cameras/{self.name}"


class StreamRecord(Record):
    """`streams/STAGE/CAMERA/NODE`: one publisher of one camera at one stage.

    A `relay` publishes again what an origin made (a collector's forward): subscribers take an origin where
    there is one. `local` is the endpoint for subscribers at the same `place`. A `lossless` stream waits for
    those who consume it as such. Its frames are spread over `partitions` topics: frame `seq` goes on the one
    of partition `seq % partitions`.
    """

    stage: Name
    camera: Name
    node: Name
    endpoint: str
    local: str = ""
    place: str = ""
    relay: bool = False
    lossless: bool = False
    partitions: Annotated[int, Field(ge=1, le=MAX_PARTITIONS)] = 1

    @property
    def key(self) -> str:
        return f"streams/{self.stage}/{self.camera}/{self.node}"

    def reach(self, here: str) -> str:
        """The endpoint for a subscriber at the place `here`."""
        return nearest(self.endpoint, self.local, self.place, here)

    def is_near(self, here: str) -> bool:
        """Whether the publisher is on the host of the place `here`, and reached without TCP."""
        return bool(self.local) and self.reach(here) == self.local


class GroupRecord(Record):
    """`groups/GROUP/NODE`: what a member of a group has of the group's work.

    All members make `stage` of `input`. `holds` are the partitions that it has, by CAMERA/PARTITION: from
    which (boot, run, n) on it took each in, or () where nothing has come yet. `version` grows with each
    change.
    """

    group: Name
    node: Name
    input: Name
    stage: Name
    version: Count = 0
    holds: dict[str, tuple[Count, Count, Count] | tuple[()]] = {}

    @property
    def key(self) -> str:
        return f"groups/{self.group}/{self.node}"


class CameraCount(Record):
    """A capture node's (or publisher's) counts for one camera since `boot`."""

    camera: Name
    boot: Count
    stage: Name = "raw"
    captured: Count = 0
    dropped: dict[str, Count] = {}
    ended: bool = False


class ResultCount(Record):
    """What became of results: `delivered` to a collector that has acknowledged them, or given up."""

    results: Count = 0
    delivered: Count = 0
    undelivered: dict[str, Count] = {}


class GroupCount(Record):
    """What one consumer group did with one camera's frames of one stage, on one node, since `boot`.

    `offered` counts the frames of the stage that the group knows to have been published. `spans` say which
    these were, as numbers of a publisher's run: (partition, run, first, end), end exclusive. Inside of them
    each number is processed, dropped, lost, in flight, or one of the `duplicates`: its frame had come under
    another number. What was dropped `before_join` and `elsewhere` (by another member) lies outside.
    `delivered` counts results that a collector has acknowledged, `undelivered` those that were given up.
    Where the node `pushes`, the rest of the results are `waiting`, of which `spooled` are safe on its disk.
    `carried` is the part of these counts that an earlier run left in the spool. `ages` are those of its
    frames when their results had gone out, in the buckets of `mesh.ages`, and their sum.
    """

    camera: Name
    boot: Count
    stage: Name
    group: Name
    output: Name  # the stage that it publishes
    publishes: Count = 0  # the run of its publisher, under which results are numbered; 0: not known
    offered: Count = 0
    processed: Count = 0
    dropped: dict[str, Count] = {}
    lost: Count = 0
    in_flight: Count = 0
    duplicates: Count = 0
    spans: tuple[tuple[Count, Count, Count, Count], ...] = ()
    ended: bool = False
    results: Count = 0
    delivered: Count = 0
    undelivered: dict[str, Count] = {}
    pushes: bool = False
    waiting: Count = 0
    spooled: Count = 0
    carried: ResultCount = ResultCount()
    ages: tuple[Count, ...] = ()
    age_sum_s: Amount = 0.0


class FoundCount(Record):
    """What a folder held already when a collector began to record to it."""

    recorded: Count = 0
    duplicates: Count = 0
    late: Count = 0
    skipped: Count = 0


class RecordedCount(Record):
    """What a collector did with one camera's frames of one stage since `boot`.

    `skipped` were left out by choice (`mesh.choice`); of those, `held` are in memory, and are recorded when
    something is found soon. `index` is the number of the folder's index: the counts stay with the folder,
    whoever records there. `found` is the part of them that is of earlier runs. `ages` are those of the frames
    of this run when they were safe on the disk, in the buckets of `mesh.ages`, and their sum.
    """

    camera: Name
    boot: Count
    stage: Name
    recorded: Count = 0
    duplicates: Count = 0
    late: Count = 0  # of those recorded: later ones went before them
    skipped: Count = 0
    held: Count = 0
    lost: Count = 0
    index: Count = 0
    found: FoundCount = FoundCount()
    ages: tuple[Count, ...] = ()
    age_sum_s: Amount = 0.0


class ForwardCount(Record):
    """What a collector forwarded to one destination in this run, and what waits for that.

    `dropped` are frames that did not get there, by cause: `removed` from the folder before, `damaged`, or
    what the way there counts (`refused`, …). `why` is what is wrong with the way there now, since `since_ns`
    (that node's wall clock; 0: not known).
    """

    to: str
    forwarded: Count = 0
    waiting: Count = 0
    dropped: dict[str, Count] = {}
    why: str = ""
    since_ns: Count = 0


class StatsRecord(Record):
    """`stats/NODE/RUN`: a node's counters as of `at_ns` (that node's wall clock).

    `run` is when the node started: a node that starts again under its name leaves its former counters be.
    They are `final` when the node has left, and complete then; one that was killed leaves its last.
    """

    node: Name
    at_ns: int
    run: Count = 0
    final: bool = False
    cameras: tuple[CameraCount, ...] = ()
    groups: tuple[GroupCount, ...] = ()
    recorded: tuple[RecordedCount, ...] = ()
    forwards: tuple[ForwardCount, ...] = ()
    counters: dict[str, Count] = {}  # what belongs to no camera: wire errors, restarts
    cpu_s: Amount = 0.0  # CPU seconds of its process so far, all threads
    rss_bytes: Count = 0  # memory that it has; 0: not known
    clock_offset_ns: int | None = None  # this node's wall clock less the registry's
    clock_error_ns: Count | None = None  # the offset is that, give or take so much

    @property
    def key(self) -> str:
        return f"stats/{self.node}/{self.run}"

    @property
    def of_cameras(self) -> set[str]:
        """The cameras that the node has to do with."""
        counted = ((c.camera for c in counts) for counts in (self.cameras, self.groups, self.recorded))
        return {camera for cameras in counted for camera in cameras}


R = TypeVar("R", bound=Record)


def listed(registry: Registry, kind: type[R], prefix: str) -> list[R]:
    """The records under a prefix; another program's malformed entry hides itself only. Raises
    `RegistryUnavailable`."""
    records = []
    for entry in registry.list(prefix):
        try:
            records.append(kind.of(entry))
        except RegistryError:
            continue
    return records
