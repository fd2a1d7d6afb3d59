"""`mesh bench idle`: what nodes cost that have nothing to do.

A registry and a node of each kind, all at once: cameras that wait for somebody to take them in, a process
node and a collect node whose stage nobody publishes, and, for comparison, a camera at a steady rate whose
frames nobody takes. There is no floor: nothing to do should cost nothing.

Rules kept here: every node has been running for a while before it is measured.
"""

import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import mesh
from mesh.bench.children import BenchError, Child, Children
from mesh.bench.paced import pause
from mesh.bench.report import Measure, Row, at_most
from mesh.bench.setup import Setup
from mesh.clock import SYSTEM_CLOCK
from mesh.ports import free_port
from mesh.registry.records import NodeState

CAMERAS = 10
PACED_FPS = 25
SETTLE_S = 3.0  # beats, leases and counters are in step by then
START_WITHIN_S = 60.0
MOST_PERCENT = 1.0
CASES = {
    "max": f"capture, {CAMERAS} cameras that wait (--pace max)",
    "lossless": f"capture, {CAMERAS} cameras that wait (--lossless)",
    "process": "process, no camera",
    "collect": "collect, nothing to record",
    "registry": "the registry of these nodes",
}


def measure(setup: Setup) -> Iterator[Row]:
    """A row for each process: its share of a core."""
    with tempfile.TemporaryDirectory() as folder, Children() as children:
        running = _site(children, Path(folder), setup)
        pause(min(SETTLE_S, setup.seconds))
        found = setup.repeat(partial(_shares, running, setup.seconds))
    target = at_most(MOST_PERCENT, Measure.OURS)
    for name, case in CASES.items():
        yield Row(case, "% of a core", [one[name] for one in found], target=target)
    paced = f"capture, a camera at {PACED_FPS} fps whose frames nobody takes, {setup.pictures}"
    yield Row(paced, "% of a core", [one["paced"] for one in found])


def _site(children: Children, folder: Path, setup: Setup) -> dict[str, Child]:
    """A registry and the nodes, all running."""
    url = f"tcp://127.0.0.1:{free_port()}"
    camera = f"synthetic:?size={setup.pictures.width}x{setup.pictures.height}&fps={PACED_FPS}"

    def node(name: str, kind: str, *arguments: object) -> Child:
        given = ("--registry", url, "--registry-wait", START_WITHIN_S, "--name", name)
        return children.mesh("node", kind, *arguments, *given)

    running = {
        "registry": children.mesh("registry", "--bind", url),
        "max": node("max", "capture", *_cameras("max", camera), "--pace", "max"),
        "lossless": node("lossless", "capture", *_cameras("lossless", camera), "--lossless"),
        "paced": node("paced", "capture", "--camera", f"paced={camera}"),
        "process": node("process", "process", "passthrough", "--input", "nothing", "--spool-mb", 0),
        "collect": node("collect", "collect", "--into", folder, "--input", "nothing"),
    }
    _await_nodes(children, url, running.keys() - {"registry"})
    return running


def _cameras(name: str, url: str) -> Iterator[str]:
    for number in range(CAMERAS):
        yield from ("--camera", f"{name}-{number}={url}")


def _await_nodes(children: Children, url: str, names: set[str]) -> None:
    """Wait until the nodes run. Raises `BenchError`."""
    deadline = SYSTEM_CLOCK.monotonic() + START_WITHIN_S
    with mesh.connect(url, timeout=START_WITHIN_S) as site:
        while not names <= {node.id for node in site.nodes() if node.state is NodeState.RUNNING}:
            children.check()
            if SYSTEM_CLOCK.monotonic() > deadline:
                raise BenchError(f"the nodes did not start within {START_WITHIN_S:g} s")
            pause(0.05)


def _shares(running: Mapping[str, Child], seconds: float) -> dict[str, float]:
    """How much of a core each process uses, in percent, over so many seconds."""
    begun = {name: (SYSTEM_CLOCK.monotonic(), child.usage.cpu_s) for name, child in running.items()}
    pause(seconds)
    return {
        name: 100 * (child.usage.cpu_s - begun[name][1]) / (SYSTEM_CLOCK.monotonic() - begun[name][0])
        for name, child in running.items()
    }
