"""`python -m tests.registry.latencies`: what a call takes with each backend, for docs/operations.md.

Two clients in this process, the servers beside it; a record of the size of a node's, written and read.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mesh.ports import free_port
from mesh.registry import Registry, Synced, open_registry
from tests.registry.helpers import DEADLINE, take, until
from tests.support.etcd_server import Etcd
from tests.support.processes import Processes

TIMES = 500
RECORD = {"id": "gate-1", "kind": "process", "state": "running", "note": "x" * 400}


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The embedded server, as a process of its own."""
    url = f"tcp://127.0.0.1:{free_port()}"
    with Processes(folder) as processes:
        processes.start("registry", "--bind", url, "--state", folder / "state")
        yield url


@contextmanager
def clustered(folder: Path, members: int) -> Iterator[str]:
    with Etcd(folder, members) as etcd:
        yield etcd.url


def timed(call: Callable[[], object]) -> float:
    """The median of what it takes, in milliseconds."""
    taken = []
    for _ in range(TIMES):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1e3


def measure(name: str, url: str) -> str:
    with open_registry(url, timeout=DEADLINE) as here, open_registry(url, timeout=DEADLINE) as there:
        until(lambda: here.put("nodes/a", RECORD), "the registry takes writes")
        lease = here.grant(DEADLINE)
        here.keep_alive(lease)

        def write(registry: Registry = here) -> None:
            registry.put("stats/a", RECORD, lease=lease)

        cpu = time.process_time()
        write_ms = timed(write)
        cpu_ms = (time.process_time() - cpu) / TIMES * 1e3
        read_ms = timed(lambda: here.get("stats/a"))
        with there.watch("stats/") as watch:
            while not isinstance(take(watch), Synced):
                continue

            def write_and_see() -> None:
                write()
                take(watch)

            seen_ms = timed(write_and_see)
    return f"| {name} | {write_ms:.2f} | {read_ms:.2f} | {seen_ms:.2f} | {cpu_ms:.2f} |"


def main() -> None:
    print("| ms | a write | a read | until another client's watch has it | CPU of a write |")  # noqa: T201
    print("|---|---|---|---|---|")  # noqa: T201
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = [measure("`memory:`", "memory:latencies"), measure("`file:`", f"file:{folder}/mesh.toml")]
        with served(folder / "tcp") as url:
            rows.append(measure("`tcp:`", url))
        for members in (1, 3):
            with clustered(folder / f"etcd-{members}", members) as url:
                rows.append(measure(f"`etcd:`, {members} on one machine", url))
    print("\n".join(rows))  # noqa: T201


if __name__ == "__main__":
    main()
