"""A mesh on this machine for end-to-end tests: a registry and nodes as real processes, and a client."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import av

import mesh
from mesh.errors import RegistryUnavailable
from mesh.ports import free_port
from mesh.registry import open_registry
from mesh.registry.records import CameraRecord, CameraState, NodeRecord, NodeState, StatsRecord
from tests.support.processes import Done, Process, Processes
from tests.support.waiting import PATIENCE_S, WITHIN_S, wait_for

T = TypeVar("T")

SMALL = "synthetic:?size=320x240&fps=30"
LASTING = ("--lease", 60, "--drain", 60)


class Site:
    """A registry, and the nodes that are started at it. A context manager: all are gone on exit.

    What is asked here of the mesh (`ls`, `stats`, `count`, `group`, `camera`, `listed`, `counters`) is waited
    for, inside of a `wait_for` and outside: a registry that was started anew has to be told everything first,
    a node on a busy machine loses its lease for a moment, and its first report may come after another's. So
    all nodes that were started here, and run, are listed, and in the ledger, or there is no answer yet.

    registry:  whether the registry runs from the start; `start_registry` starts it (again) on its port
    url:       that of a registry that runs already, elsewhere
    lasting:   nodes stay listed, and have time to drain, however long a busy machine holds them up: for tests
               in which no node is killed (its lease would last, too) and the registry is not, either (nodes
               look a third of a lease later what it still knows of them)
    """

    registry: Process

    def __init__(
        self,
        folder: Path,
        *,
        registry: bool = True,
        state: Path | None = None,
        url: str | None = None,
        lasting: bool = False,
    ) -> None:
        self.url = url or f"tcp://127.0.0.1:{free_port()}"
        self.processes = Processes(folder / "processes")
        self.recordings = folder / "recordings"
        self._starts, self._state = registry and url is None, state
        self._common = LASTING if lasting else ()
        self._nodes: dict[str, Process] = {}
        self.mesh = mesh.connect(self.url, timeout=PATIENCE_S)

    def __enter__(self) -> Self:
        self.processes.__enter__()
        if self._starts:
            self.start_registry()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.mesh.close()
        finally:
            self.processes.__exit__(kind, value, trace)

    def start_registry(self) -> Process:
        state = ("--state", self._state) if self._state else ()
        self.registry = self.processes.start("registry", "--bind", self.url, *state, name="registry")
        return self.registry

    def restart_registry(self) -> None:
        """Kill the registry, start it anew, and wait until all who run are listed and have reported."""
        self.registry.kill()
        self.start_registry()
        running = self._running()

        def are_back() -> bool:
            reports = {report.node for report in self.mesh.reports()}
            return running <= reports & {node.id for node in self.mesh.nodes()}

        self.wait_for(are_back, f"{sorted(running)} are back at the registry")

    def node(self, kind: str, *arguments: object, name: str = "", **more: Any) -> Process:
        """Start a node. It waits for the registry for a minute."""
        name = name or kind
        common = ("--registry", self.url, "--registry-wait", 60, "--name", name)
        process = self.processes.start("node", kind, *self._common, *arguments, *common, name=name, **more)
        self._nodes[name] = process
        return process

    def capture(self, *cameras: str, name: str = "capture", options: tuple[object, ...] = ()) -> Process:
        return self.node("capture", *(part for c in cameras for part in ("--camera", c)), *options, name=name)

    def collect(self, *options: object, name: str = "collect") -> Process:
        return self.node("collect", "--into", self.recordings, *options, name=name)

    def run(self, *arguments: object, **more: Any) -> Done:
        """Run a command that asks this site's registry; again as long as a registry that runs was held up for
        longer than a command has patience."""

        def answered() -> Done | None:
            done = self.processes.run(*arguments, "--registry", self.url, **more)
            unheard = done.code == 1 and f"no registry answers at {self.url}" in done.last_line
            return None if unheard and self._registry_runs() else done

        done = wait_for(answered, f"the registry answers `mesh {' '.join(map(str, arguments))}`")
        assert done is not None
        return done

    def _registry_runs(self) -> bool:
        return "registry" in vars(self) and self.registry.alive

    def ls(self) -> dict[str, list[dict[str, Any]]]:
        """What `mesh ls --json` says, once all nodes that were started here, and run, are listed."""

        def listing() -> Any:
            found = self._said("ls", "--json")
            return found if self._running() <= {row["id"] for row in found["nodes"]} else None

        return self.wait_for(listing, "all nodes are listed")

    def stats(self) -> dict[str, Any]:
        """What `mesh stats --json` says, by camera, once all nodes that run have reported."""

        def ledger() -> Any:
            found = self._said("stats", "--json")
            return found if self._running() <= found["nodes"].keys() else None

        return self.wait_for(ledger, "all nodes have reported")["cameras"]  # type: ignore[no-any-return]  # JSON

    def _said(self, *arguments: object) -> Any:
        done = self.run(*arguments)
        assert done.code == 0, done
        return json.loads(done.out)

    def _running(self) -> set[str]:
        return {name for name, process in self._nodes.items() if process.alive}

    def wait_for(self, condition: Callable[[], T], what: str, within: float = WITHIN_S) -> T:
        """As `wait_for`; while the registry is away the condition does not hold."""

        def holds() -> T | None:
            try:
                return condition()
            except (RegistryUnavailable, KeyError):
                return None

        found = wait_for(holds, what, within)
        assert found is not None
        return found

    def free_name(self, node: str) -> None:
        """Free the name of a node that was killed, as its lease would some seconds later."""
        registry = open_registry(self.url, timeout=WITHIN_S)
        try:
            registry.delete(f"nodes/{node}")
        finally:
            registry.close()

    def wait_registry(self) -> None:
        """Wait until the registry answers: a script asks it once, and gives up."""
        self.wait_for(lambda: self.mesh.nodes() is not None, "the registry answers")

    def publish(self, stage: str, camera: str) -> mesh.Publication:
        """A script's stream, once the registry answers."""
        self.wait_registry()
        return self.mesh.publish(stage, camera)

    def wait_nodes(self, *names: str, state: NodeState = NodeState.RUNNING) -> None:
        self.wait_for(
            lambda: {n.id for n in self.mesh.nodes() if n.state is state} >= set(names),
            f"nodes {', '.join(names)} are {state}",
        )

    def wait_camera(self, name: str, state: CameraState = CameraState.ONLINE) -> CameraRecord:
        """Its record, once it is in that state."""

        def found() -> CameraRecord | None:
            record = self.camera(name)
            return record if record.state is state else None

        record = self.wait_for(found, f"camera {name} is {state}")
        assert record is not None
        return record

    def camera(self, name: str) -> CameraRecord:
        return self.wait_for(
            lambda: {camera.name: camera for camera in self.mesh.cameras()}[name], f"camera {name} is listed"
        )

    def listed(self, name: str) -> NodeRecord:
        """A node's record."""
        return self.wait_for(
            lambda: {node.id: node for node in self.mesh.nodes()}[name], f"node {name} is listed"
        )

    def count(self, camera: str) -> Any:
        """A camera's part of the ledger."""
        return self.wait_for(lambda: self._ledger()[camera], f"all have reported, camera {camera} with them")

    def group(self, camera: str, name: str) -> Any:
        """A group's part of a camera's."""
        return self.wait_for(
            lambda: self._ledger()[camera]["groups"][name],
            f"all have reported, group {name} of camera {camera} with them",
        )

    def _ledger(self) -> Any:
        """What is known of all cameras. Raises `KeyError` while a node that runs has not reported."""
        reports = self.mesh.reports()
        if missing := self._running() - {report.node for report in reports}:
            raise KeyError(f"{missing} have not reported")
        return self.mesh.stats(reports)["cameras"]

    def report(self, node: str) -> StatsRecord:
        """What the newest run of a node has reported."""
        reports = self.wait_for(
            lambda: [report for report in self.mesh.reports() if report.node == node],
            f"node {node} has reported",
        )
        return max(reports, key=lambda report: report.run)

    def counters(self, node: str) -> dict[str, int]:
        """What a node counted that belongs to no camera."""
        return self.report(node).counters

    def wait_recorded(self, camera: str, stage: str, frames: int = 1) -> None:
        self.wait_for(
            lambda: self.count(camera)["recorded"].get(stage, 0) >= frames,
            f"{frames} frames of {stage}/{camera} are recorded",
        )

    def wait_settled(self, camera: str, groups: int = 1) -> None:
        """Wait until a camera's stream has ended and drained through so many groups, and what they pushed
        is delivered, and recorded or skipped."""

        def settled() -> bool:
            count = self.count(camera)
            found = count["groups"].values()
            pushed = sum(g["delivered"] for g in found)
            there = sum(count["recorded"].values()) + sum(count["skipped"].values()) + count["duplicates"]
            return (
                len(found) >= groups
                and all(g["ended"] and not g["in_flight"] for g in found)
                and all(g["delivered"] in (0, g["results"]) for g in found)
                and pushed <= there
            )

        self.wait_for(settled, f"the streams of {camera} have drained")

    def videos(self, camera: str, stage: str) -> list[Path]:
        return sorted((self.recordings / camera).glob(f"*/*-{stage}.mkv"))

    def lines(self, camera: str, stage: str) -> list[dict[str, Any]]:
        """Every `.jsonl` line of a camera, in order; one that is just being written is left out."""
        files = sorted((self.recordings / camera).glob(f"*/*-{stage}.jsonl"))
        whole = (file.read_text().rpartition("\n")[0] for file in files)
        return [json.loads(line) for text in whole for line in text.splitlines()]


def decoded_times(video: Path) -> list[int]:
    """The presentation time of every frame that a Matroska file decodes to, in milliseconds."""
    times = []
    with av.open(str(video)) as container:
        for frame in container.decode(video=0):
            assert frame.pts is not None
            assert frame.time_base is not None
            times.append(round(frame.pts * frame.time_base * 1000))
    return times


def check_recording(site: Site, camera: str, stage: str) -> list[dict[str, Any]]:
    """Every video of a camera decodes to as many frames as its `.jsonl` has lines, times strictly rising,
    and the lines tell those times. The lines."""
    for video in site.videos(camera, stage):
        told = [json.loads(line)["pts_ms"] for line in video.with_suffix(".jsonl").read_text().splitlines()]
        times = decoded_times(video)
        assert times == told, video
        assert all(a < b for a, b in itertools.pairwise(times)), video
    return site.lines(camera, stage)
