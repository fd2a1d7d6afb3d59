"""The demo: registry, cameras, two processors in a chain, a collector; run, watched, stopped, summed up."""

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from mesh.client import Mesh, Subscription, connect
from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.codec import encode
from mesh.demo.fleet import Fleet
from mesh.demo.report import Recall, lines, recall, videos
from mesh.demo.watch import Seen, rows
from mesh.draw import annotated
from mesh.errors import ConfigError, MeshError, RegistryUnavailable, StorageError
from mesh.ledger import Summary
from mesh.ports import free_port
from mesh.registry.records import NodeState

log = logging.getLogger(__name__)

STAGE = "codes"
SYNTHETIC = {
    "gate": "synthetic:?size=640x480&fps=30&objects=3&seed=1",
    "yard": "synthetic:?size=640x480&fps=15&objects=2&seed=2&codes=1",
}
REGISTRY_WITHIN_S = 10.0  # it is one of ours, which a busy machine may hold up
START_WITHIN_S = 60.0
SETTLE_WITHIN_S = 15.0

Show = Callable[[list[tuple[object, ...]]], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the demo did: the mesh's ledger, and what lies where."""

    summary: Summary
    cameras: tuple[str, ...]
    recordings: dict[str, list[Path]]
    stills: list[Path]
    recalls: dict[str, Recall]
    interrupted: bool
    detections: dict[str, dict[str, int]]


@dataclass(slots=True)
class _Run:
    mesh: Mesh
    fleet: Fleet
    cameras: tuple[str, ...]
    clock: Clock
    interrupted: bool = False
    seen: dict[str, Seen] = field(default_factory=dict)

    def rows(self) -> list[tuple[object, ...]]:
        return rows(self.cameras, self.seen, self.mesh.stats(), STAGE)

    def take(self, subscription: Subscription, seconds: float) -> None:
        """Take in frames for so long."""
        until = self.clock.monotonic() + seconds
        while (left := until - self.clock.monotonic()) > 0:
            frame = subscription.get(left)
            if frame is not None:
                self.seen.setdefault(frame.camera, Seen()).add(frame, self.clock)


def run_demo(
    folder: Path, seconds: float | None, video: Path | None, show: Show, clock: Clock = SYSTEM_CLOCK
) -> Outcome:
    """Run the demo until `seconds` have passed (None: until Ctrl-C), and sum it up.

    Writes `recordings/`, `logs/` and a still per camera into `folder`. Raises `StorageError` when it cannot,
    and `ProcessDied` when one of its processes ends early; every process is gone when this returns.
    """
    sources = dict(SYNTHETIC)
    if video is not None:
        if not video.is_file():
            raise ConfigError(f"--video {video}: no such file")
        sources["video"] = str(video.resolve())
    _make(folder)
    url = f"tcp://127.0.0.1:{free_port()}"
    with Fleet(folder / "logs") as fleet, connect(url, timeout=REGISTRY_WITHIN_S) as mesh:
        _start(fleet, url, sources, folder / "recordings")
        run = _Run(mesh, fleet, tuple(sources), clock)
        _await_nodes(run)
        _watch(run, seconds, show)
        summary = _stop(run)
    return _outcome(run, summary, folder)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"cannot write to {folder}: {error.strerror}; choose another place with --into"
        ) from error


def _start(fleet: Fleet, url: str, sources: dict[str, str], recordings: Path) -> None:
    to_registry = ["--registry", url, "--registry-wait", "60"]
    fleet.start("registry", ["registry", "--bind", url])
    fleet.start("collect", ["node", "collect", "--into", str(recordings), *to_registry])
    chain = ["--policy", "fifo", *to_registry]
    codes = ["codes:kinds=qr+aruco", "--input", "motion", "--stage", STAGE]
    spool = ["--spool", str(recordings.parent / "spool")]
    fleet.start("process-codes", ["node", "process", *codes, *spool, *chain])
    fleet.start("process-motion", ["node", "process", "motion", "--no-push", *chain])
    cameras = [part for name, source in sources.items() for part in ("--camera", f"{name}={source}")]
    fleet.start("capture", ["node", "capture", "--loop", *cameras, *to_registry])


def _await_nodes(run: _Run) -> None:
    deadline = run.clock.monotonic() + START_WITHIN_S
    while run.clock.monotonic() < deadline:
        run.fleet.check()
        with contextlib.suppress(RegistryUnavailable):
            if sum(node.state is NodeState.RUNNING for node in run.mesh.nodes()) >= 4:
                return
    raise MeshError(f"the demo's nodes did not start within {START_WITHIN_S:g} s; see the logs")


def _watch(run: _Run, seconds: float | None, show: Show) -> None:
    until = None if seconds is None else run.clock.monotonic() + seconds
    try:
        with run.mesh.subscribe(STAGE, policy="fifo") as subscription:
            while until is None or run.clock.monotonic() < until:
                run.take(subscription, 1.0)
                run.fleet.check()
                show(run.rows())
    except KeyboardInterrupt:
        run.interrupted = True


def _stop(run: _Run) -> Summary:
    """Stop the cameras, let what they captured flow through, and take the ledger; then stop the rest."""
    _end(run.fleet, "capture")
    deadline = run.clock.monotonic() + SETTLE_WITHIN_S
    summary = run.mesh.stats()
    with run.mesh.subscribe(STAGE, policy="fifo") as subscription:
        while not _is_settled(summary, run.cameras) and run.clock.monotonic() < deadline:
            run.take(subscription, 0.2)
            summary = run.mesh.stats()
    for name in ("process-motion", "process-codes", "collect", "registry"):
        _end(run.fleet, name)
    return summary


def _end(fleet: Fleet, name: str) -> None:
    if (code := fleet.stop(name)) != 0:
        raise MeshError(f"{name} ended with exit code {code}; see its log")


def _is_settled(summary: Summary, cameras: tuple[str, ...]) -> bool:
    """Whether every stream has ended, every result is delivered and recorded."""
    for name in cameras:
        camera = summary["cameras"].get(name)
        if camera is None or len(camera["groups"]) < 2:
            return False
        last = [g for g in camera["groups"].values() if g["output"] == STAGE]
        if not all(g["ended"] and not g["in_flight"] for g in camera["groups"].values()):
            return False
        arrived = camera["recorded"].get(STAGE, 0) + camera["duplicates"]
        if any(g["delivered"] < g["results"] or arrived < g["delivered"] for g in last):
            return False
    return True


def _outcome(run: _Run, summary: Summary, folder: Path) -> Outcome:
    recordings = folder / "recordings"
    return Outcome(
        summary=summary,
        cameras=run.cameras,
        recordings={name: videos(recordings, name) for name in run.cameras},
        stills=_stills(run, folder),
        recalls={name: recall(lines(recordings, name)) for name in SYNTHETIC},
        interrupted=run.interrupted,
        detections={name: dict(seen.detections) for name, seen in run.seen.items()},
    )


def _stills(run: _Run, folder: Path) -> list[Path]:
    stills = []
    for name in run.cameras:
        frame = run.seen[name].still if name in run.seen else None
        if frame is not None:
            file = folder / f"{name}.jpg"
            file.write_bytes(encode(annotated(frame), 90))
            stills.append(file)
    return stills
