"""Twenty cameras shared by three capture and three process nodes; then one of each is killed with -9.

    python examples/fleet.py            # or with a folder behind it, to keep the recordings

Nothing tells the nodes what to do: they see each other in the registry, and each works out its own share.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import mesh

REGISTRY = f"tcp://127.0.0.1:{os.environ.get('PORT', '7790')}"
CAMERAS = [f"cam-{n:02}" for n in range(1, 21)]
CAPTURE, PROCESS = ("c1", "c2", "c3"), ("p1", "p2", "p3")


def start(nodes: ExitStack, *arguments: str) -> subprocess.Popen[bytes]:
    """A `mesh` command that ends with this script."""
    command = [sys.executable, "-m", "mesh", *arguments, "--log-level", "error"]
    process = subprocess.Popen(command)
    nodes.callback(process.wait)
    nodes.callback(process.terminate)
    return process


def shares(m: mesh.Mesh) -> dict[str, int]:
    """How many cameras each capture node captures, and each process node works on."""
    found = dict.fromkeys((node.id for node in m.nodes() if node.kind in ("capture", "process")), 0)
    for camera in m.cameras():
        if camera.node in found and camera.state == "online":
            found[camera.node] += 1
    for member in m.groups():
        if member.node in found:
            found[member.node] = len(member.holds)
    return dict(sorted(found.items()))


def recorded(m: mesh.Mesh) -> dict[str, int]:
    return {name: camera["recorded"].get("motion", 0) for name, camera in m.stats()["cameras"].items()}


def wait(condition: Callable[[], bool]) -> float:
    """Wait until it holds; for how many seconds."""
    since = time.monotonic()
    while not condition():
        time.sleep(0.1)
    return time.monotonic() - since


def all_flow(m: mesh.Mesh) -> Callable[[], bool]:
    """Whether every camera is captured, worked on, and recorded further than now."""
    before = recorded(m)

    def flows() -> bool:
        now, each = recorded(m), shares(m)
        on = [sum(n for node, n in each.items() if node[0] == kind) == len(CAMERAS) for kind in "cp"]
        return all(on) and all(now.get(name, 0) not in (0, before.get(name)) for name in CAMERAS)

    return flows


def show(what: str, m: mesh.Mesh) -> None:
    print(f"{what:34}", "  ".join(f"{node} {n:2}" for node, n in shares(m).items()), flush=True)


def main(folder: Path) -> None:
    with ExitStack() as nodes, mesh.connect(REGISTRY) as m:
        start(nodes, "registry", "--bind", REGISTRY)
        here = ("--registry", REGISTRY)
        table = folder / "cameras.csv"
        lines = [f"{name},synthetic:?size=320x240&fps=5&seed={n}" for n, name in enumerate(CAMERAS)]
        table.write_text("\n".join(["name,url", *lines, ""]))
        add = [sys.executable, "-m", "mesh", "camera", "import", str(table), *here]
        subprocess.run(add, check=True, stdout=subprocess.DEVNULL)

        start(nodes, "node", "collect", "--into", str(folder), "--name", "recorder", *here)
        fleet = {name: start(nodes, "node", "capture", "--name", name, *here) for name in CAPTURE}
        fleet |= {name: start(nodes, "node", "process", "motion", "--name", name, *here) for name in PROCESS}
        wait(lambda: set(shares(m)) == set(fleet))
        wait(all_flow(m))
        show("shared by six nodes", m)

        again = all_flow(m)
        for name in ("c2", "p2"):
            fleet[name].kill()
        print("kill -9 c2 p2")
        took = wait(lambda: not {"c2", "p2"} & set(shares(m)) and again())
        show(f"all flow again after {took:.1f} s", m)

        start(nodes, "node", "capture", "--name", "c4", *here)
        start(nodes, "node", "process", "motion", "--name", "p4", *here)
        wait(lambda: min(shares(m).values()) > 0 and len(shares(m)) == 6)
        wait(all_flow(m))
        show("two new nodes take their share", m)

        stats = m.stats()["cameras"].values()
        groups = [group for camera in stats for group in camera["groups"].values()]
        print(
            f"recorded {sum(recorded(m).values())} frames,",
            f"unaccounted {sum(camera['unaccounted'] for camera in stats)},",
            f"taken twice at a handover {sum(group['overlap'] for group in groups)}",
        )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as scratch:
            main(Path(scratch))
