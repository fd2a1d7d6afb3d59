"""Members of the capture fleet as threads of the test's own process, over one registry.

    with Members("memory:name") as members:
        members.start("a")
        setups.add(members.registry, camera)
        members.wait_on("door", "a")

Leases are long, so that none is over because this machine is busy. A member that is killed takes its registry
with it first: as after `kill -9`, nothing it held is let go of before its lease is over.
"""

import contextlib
import threading
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Self

from mesh.client import Mesh, connect
from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.errors import RegistryUnavailable
from mesh.registry import Registry
from mesh.registry.records import CameraRecord, CameraState, NodeRecord, NodeState
from mesh.setups import shares
from nodes.capture.fleet import Fleet
from nodes.node import Node, NodeConfig
from nodes.secrets import Secrets
from tests.support.waiting import PATIENCE_S, WITHIN_S, wait_for


class Members:
    """Capture nodes that run until they are stopped, killed, or the `with` block is left."""

    def __init__(self, url: str, lease_s: float = 60.0, drain_s: float = 0.5) -> None:
        self._url, self._lease_s, self._drain_s = url, lease_s, drain_s
        self._running: dict[str, tuple[Node, threading.Thread]] = {}
        self.mesh: Mesh = connect(url, timeout=PATIENCE_S)

    @property
    def registry(self) -> Registry:
        return self.mesh.registry

    @property
    def running(self) -> list[str]:
        return sorted(self._running)

    def start(
        self,
        name: str,
        *,
        labels: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> Node:
        config = NodeConfig(
            self._url,
            name,
            lease_s=self._lease_s,
            labels=labels or {},
            drain_s=self._drain_s,
            registry_wait_s=WITHIN_S,
        )
        node = Node(Fleet(Secrets(environment=secrets or {}), clock), config, clock)
        thread = threading.Thread(target=node.run, kwargs={"signals": False}, name=f"member {name}")
        self._running[name] = node, thread
        thread.start()
        return node

    def stop(self, name: str) -> None:
        """Drain a member, and wait until it has gone."""
        node, thread = self._running.pop(name)
        node.finish()
        thread.join()

    def kill(self, name: str) -> None:
        self._running[name][0].registry.close()
        self.stop(name)

    def kill_and_forget(self, name: str) -> None:
        """Kill a member, and have its lease end then."""
        entry = self.registry.get(f"nodes/{name}")
        assert entry is not None
        self.kill(name)
        self.registry.revoke(entry.lease)

    def nodes(self) -> list[NodeRecord]:
        """Those that run, as the registry knows them; none while it is away."""
        with contextlib.suppress(RegistryUnavailable):
            return [node for node in self.mesh.nodes() if node.state is not NodeState.ENDED]
        return []

    def camera(self, name: str) -> CameraRecord | None:
        with contextlib.suppress(RegistryUnavailable):
            return {camera.name: camera for camera in self.mesh.cameras()}.get(name)
        return None

    def state(self, name: str) -> CameraState | None:
        record = self.camera(name)
        return record.state if record is not None else None

    def wait_on(self, camera: str, node: str = "", state: CameraState = CameraState.ONLINE) -> CameraRecord:
        """Wait until a camera is in that state, on that node or on any."""

        def found() -> CameraRecord | None:
            record = self.camera(camera)
            right = record is not None and record.state is state and node in ("", record.node)
            return record if right else None

        record = wait_for(found, f"camera {camera} is {state} on {node or 'any node'}")
        assert record is not None
        return record

    def wait_settled(self, cameras: Iterable[str]) -> None:
        """Wait until these cameras are on the nodes that placement names, and no others are anywhere."""
        wanted = set(cameras)

        def settled() -> bool:
            placed = shares(self.mesh.setups(), self.mesh.nodes())
            found = {c.name: c.node for c in self.mesh.cameras() if c.state is CameraState.ONLINE}
            return found == placed and found.keys() == wanted

        wait_for(settled, "each camera is where it belongs")

    def wait_gone(self, camera: str) -> None:
        wait_for(lambda: self.camera(camera) is None, f"nobody captures camera {camera}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in self.running:
            self.stop(name)
        self.mesh.close()
