"""A chain over four hosts: registry and capture on a, motion on b, codes on c, a collector on d."""

import json
from pathlib import Path
from typing import Any

import mesh
from tests.e2e.site import Site
from tests.support.hosts import Host, Network
from tests.support.processes import Done, Process
from tests.support.waiting import PATIENCE_S

CAMERA = "door"
STAGE = "codes"
REGISTRY_PORT = 7700


class Chain(Site):
    """The chain's processes, each on its host. `mesh` and `run` ask the registry from host a."""

    def __init__(self, folder: Path, network: Network, fps: int) -> None:
        super().__init__(folder, registry=False)
        self.mesh.close()
        self.hosts = {name: network[name] for name in "abcd"}
        self.url = f"tcp://{self.hosts['a'].address}:{REGISTRY_PORT}"
        self._fps = fps
        with self.hosts["a"]:
            self.mesh = mesh.connect(self.url, timeout=PATIENCE_S)

    def begin(self, *collect: object) -> None:
        """Start everything, and wait until results are recorded."""
        with self.hosts["a"]:
            self.registry = self.processes.start(
                "registry", "--bind", self.url, "--insecure", name="registry"
            )
        self.wait_for(lambda: self.mesh.nodes() == [], "the registry answers")
        queue = ("--policy", "fifo", "--depth", 2000)
        self.collector = self.on("d", "collect", "--into", self.recordings, *collect)
        self.last = self.on("c", "process", "codes:every=1", "--input", "motion", "--stage", STAGE, *queue)
        self.first = self.on("b", "process", "motion", "--no-push", *queue)
        self.wait_nodes("b", "c", "d")
        source = f"synthetic:?size=320x240&fps={self._fps}&codes=1"
        self.source = self.on("a", "capture", "--camera", f"{CAMERA}={source}")
        self.wait_recorded(CAMERA, STAGE, 5)

    def on(self, host: str, kind: str, *arguments: object, name: str = "") -> Process:
        """Start a node on a host, named after it unless told."""
        here: Host = self.hosts[host]
        with here:
            return self.node(kind, *arguments, "--bind", here.address, "--insecure", name=name or host)

    def run(self, *arguments: object, **more: Any) -> Done:
        with self.hosts["a"]:
            return super().run(*arguments, **more)

    def newest_ns(self) -> int:
        """When the newest recorded result was captured."""
        files = sorted((self.recordings / CAMERA).glob(f"*/*-{STAGE}.jsonl"))
        whole = files[-1].read_text().rpartition("\n")[0] if files else ""
        return int(json.loads(whole.splitlines()[-1])["captured_ns"]) if whole else 0

    def finish(self) -> None:
        """End the camera, and wait until its stream has drained to the collector."""
        assert self.source.stop() == 0
        self.wait_for(self._drained, "the chain has drained")

    def _drained(self) -> bool:
        ledger = self.count(CAMERA)
        groups = ledger["groups"]
        over = all(group["ended"] and not group["in_flight"] for group in groups.values())
        last, first = groups[STAGE], groups["motion"]  # in the middle of a chain nothing is pushed
        made = last["results"]
        passed = last["offered"] == first["results"]
        return bool(over and passed and made == last["delivered"] == ledger["recorded"][STAGE])
