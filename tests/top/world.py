"""Looks at a made-up mesh, for tests of what `mesh top` makes of them."""

from collections.abc import Sequence

from mesh.ledger import summarise
from mesh.registry.records import (
    CameraCount,
    CameraRecord,
    CameraState,
    GroupCount,
    GroupRecord,
    NodeKind,
    NodeRecord,
    RecordedCount,
    StatsRecord,
)
from mesh.top.look import Look

SECOND = 10**9
T0 = 1_700_000_000 * SECOND


def node(
    name: str, kind: str = "process", *, started: int = 1, place: str = "", **more: object
) -> NodeRecord:
    base = {"id": name, "kind": NodeKind(kind), "host": "h", "pid": 1, "started_ns": started, "place": place}
    return NodeRecord.model_validate(base | more)


def camera(
    name: str, on: str = "cam", state: CameraState = CameraState.ONLINE, why: str = ""
) -> CameraRecord:
    return CameraRecord(name=name, source="x", node=on, state=state, why=why, width=640, height=480)


def report(
    name: str,
    second: float,
    *counts: CameraCount | GroupCount | RecordedCount,
    run: int = 1,
    **more: object,
) -> StatsRecord:
    """What a node reported `second` seconds after the beginning."""
    base = {
        "node": name,
        "run": run,
        "at_ns": T0 + round(second * SECOND),
        "cameras": tuple(c for c in counts if isinstance(c, CameraCount)),
        "groups": tuple(c for c in counts if isinstance(c, GroupCount)),
        "recorded": tuple(c for c in counts if isinstance(c, RecordedCount)),
    }
    return StatsRecord.model_validate(base | more)


def captured(camera: str, frames: int, boot: int = 1, **more: object) -> CameraCount:
    return CameraCount.model_validate({"camera": camera, "boot": boot, "captured": frames} | more)


def grouped(camera: str, boot: int = 1, **more: object) -> GroupCount:
    base = {"camera": camera, "boot": boot, "stage": "raw", "group": "motion", "output": "motion"}
    return GroupCount.model_validate(base | more)


def recorded(camera: str, frames: int, stage: str = "motion", boot: int = 1, **more: object) -> RecordedCount:
    base = {"camera": camera, "boot": boot, "stage": stage, "recorded": frames}
    return RecordedCount.model_validate(base | more)


def look(
    at: float,
    nodes: Sequence[NodeRecord] = (),
    cameras: Sequence[CameraRecord] = (),
    reports: Sequence[StatsRecord] = (),
    *,
    groups: Sequence[GroupRecord] = (),
    waiting: dict[str, str] | None = None,
) -> Look:
    return Look(
        at=at,
        at_ns=T0 + round(at * SECOND),
        nodes=tuple(nodes),
        cameras=tuple(cameras),
        waiting=waiting or {},
        groups=tuple(groups),
        reports=tuple(reports),
        summary=summarise(reports, nodes),
    )
