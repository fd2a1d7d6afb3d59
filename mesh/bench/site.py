"""A whole mesh of real processes for a bench: cameras, capture, process and collect nodes, and a registry.

Rules kept here: the processes are those that a user starts; what happened is read from the nodes' own
counters and from what they recorded; a window is measured between two moments, and what was begun in it has
`SETTLE_S` to be done, or as long as the window was.
"""

import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import mesh
from mesh.bench.child import Values
from mesh.bench.children import BenchError, Child, Children
from mesh.bench.mjpeg import serve
from mesh.bench.paced import pause
from mesh.bench.setup import Setup
from mesh.ledger import Summary
from mesh.ports import free_port

SETTLE_S = 1.0
ONLINE_S = 60.0
CALM_MS, CALM_WITHIN_S = 200.0, 10.0
LOOK_EVERY_S = 0.1
NODES = ("capture", "process", "collect")
STAGE = "motion"


@dataclass(frozen=True, slots=True)
class Window:
    """What happened in a window of `seconds`.

    due, skipped:  pictures that the cameras had to send, and those that they could not
    dropped:       what the mesh dropped or lost, by cause
    ages_ms:       of each frame captured in the window: from capture to recorded, in rising order
    cpu_s:         CPU seconds that each process used; the cameras' and the registry's are among them
    rss_kib:       resident memory of each at the end
    """

    seconds: float
    due: int
    skipped: int
    dropped: dict[str, int]
    ages_ms: list[float]
    cpu_s: dict[str, float]
    rss_kib: dict[str, int]

    @property
    def missed(self) -> int:
        """Pictures that were due, and will not be recorded."""
        return self.skipped + sum(self.dropped.values())

    @property
    def missed_share(self) -> float:
        return self.missed / max(1, self.due)

    @property
    def nodes_mib(self) -> float:
        """Resident memory of the three nodes."""
        return sum(self.rss_kib[name] for name in NODES) / 1024

    def cpu_ms(self, *processes: str) -> float:
        """CPU milliseconds of these processes, a recorded frame. Raises `BenchError` where there is none."""
        if not self.ages_ms:
            raise BenchError("no frame was recorded; give more --seconds")
        return sum(self.cpu_s[name] for name in processes) / len(self.ages_ms) * 1e3


class Site:
    """`cameras` MJPEG cameras through three nodes, recorded under `folder`. A context manager; entering it
    waits until every camera is recorded. Raises `BenchError`."""

    def __init__(self, folder: Path, cameras: int, fps: float, setup: Setup) -> None:
        self._folder, self._count, self._fps, self._pictures = folder, cameras, fps, setup.pictures
        self._settle_s = min(SETTLE_S, setup.seconds)
        self._url = f"tcp://127.0.0.1:{free_port()}"
        self._stack = ExitStack()
        self._processes: dict[str, Child] = {}
        self._lines = _Lines(folder)

    def __repr__(self) -> str:
        return f"<Site {self._count} cameras {list(self._processes)}>"

    def __enter__(self) -> Self:
        with self._stack:
            self._start(self._stack.enter_context(Children()))
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def window(self, seconds: float) -> Window:
        """What happens in the next `seconds`."""
        before, begin_ns = self._counts(), time.time_ns()
        cpu = self._cpu_s()
        pause(seconds)
        used = {name: now - cpu[name] for name, now in self._cpu_s().items()}
        after, end_ns = self._counts(), time.time_ns()
        pause(self._settle_s)
        ages = sorted(_age_ms(times) for times in self._lines.new() if begin_ns <= times[0] < end_ns)
        self._children.check()
        after.subtract(before)
        return Window(
            seconds=(end_ns - begin_ns) / 1e9,
            due=after["due"],
            skipped=after["skipped"],
            dropped={cause: n for cause, n in after.items() if n > 0 and cause not in _OF_CAMERAS},
            ages_ms=ages,
            cpu_s=used,
            rss_kib={name: child.usage.rss_kib for name, child in self._processes.items()},
        )

    def pace(self, fps: float) -> None:
        """Let the cameras go on at another pace, and the nodes get used to it: what waited goes first."""
        self._ask(fps=fps)
        deadline = time.monotonic() + CALM_WITHIN_S
        oldest_ms = CALM_MS
        while oldest_ms >= CALM_MS and time.monotonic() < deadline:
            pause(self._settle_s)
            oldest_ms = max((_age_ms(times) for times in self._lines.new()), default=0.0)

    def _start(self, children: Children) -> None:
        self._children = children
        cameras = children.start(serve, pictures=self._pictures.as_options(), fps=self._fps)
        registry = children.mesh("registry", "--bind", self._url)
        common = ("--registry", self._url, "--registry-wait", ONLINE_S)
        recordings = self._folder / "recordings"
        collect = children.mesh("node", "collect", "--into", recordings, *common)
        workers = ("--workers", os.cpu_count() or 1)
        spool = ("--spool", self._folder / "spool")
        process = children.mesh("node", "process", "motion", *workers, *spool, *common)
        url = f"http://127.0.0.1:{cameras.hear()['port']}/"
        named = (word for k in range(self._count) for word in ("--camera", f"camera{k}={url}"))
        capture = children.mesh("node", "capture", *named, *common)
        self._processes = {
            "cameras": cameras,
            "registry": registry,
            "capture": capture,
            "process": process,
            "collect": collect,
        }
        self._mesh = self._stack.enter_context(mesh.connect(self._url, timeout=ONLINE_S))
        self._await_recorded()

    def _await_recorded(self) -> None:
        deadline = time.monotonic() + ONLINE_S
        recorded: set[str] = set()
        while len(recorded) < self._count:
            self._children.check()
            if time.monotonic() > deadline:
                raise BenchError(f"{self._count - len(recorded)} of {self._count} cameras were not recorded")
            pause(LOOK_EVERY_S)
            recorded = self._lines.cameras()
        self._lines.new()

    def _cpu_s(self) -> dict[str, float]:
        return {name: child.usage.cpu_s for name, child in self._processes.items()}

    def _counts(self) -> Counter[str]:
        """Every counter of a loss so far, and the cameras' own."""
        return Counter(self._ask()) + _dropped(self._mesh.stats())

    def _ask(self, **told: float) -> Values:
        """What the cameras count."""
        self._processes["cameras"].tell(**told)
        return self._processes["cameras"].hear()


_OF_CAMERAS = ("due", "skipped")


def _dropped(ledger: Summary) -> Counter[str]:
    """What was dropped anywhere, by cause."""
    found: Counter[str] = Counter()
    for camera in ledger["cameras"].values():
        found.update(camera["dropped"])
        for group in camera["groups"].values():
            found.update(group["dropped"])
            found.update({f"result {cause}": count for cause, count in group["undelivered"].items()})
            found["lost"] += group["lost"]
    return found


@dataclass(slots=True)
class _Lines:
    """The lines that a collector writes, each read once."""

    folder: Path
    _read: dict[Path, int] = field(default_factory=dict)

    def cameras(self) -> set[str]:
        """Every camera that has a line."""
        return {file.parts[-3] for file in self._files() if file.stat().st_size}

    def new(self) -> Iterator[tuple[int, int]]:
        """When each further frame was captured, and when it was recorded; ns of the wall clock."""
        found = []
        for file in self._files():
            with file.open("rb") as lines:
                lines.seek(self._read.get(file, 0))
                for line in lines:
                    if not line.endswith(b"\n"):
                        break
                    self._read[file] = self._read.get(file, 0) + len(line)
                    found.append(_times(json.loads(line)))
        return iter(found)

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob(f"recordings/*/*/*-{STAGE}*.jsonl"))


def _age_ms(times: tuple[int, int]) -> float:
    captured, recorded = times
    return (recorded - captured) / 1e6


def _times(line: dict[str, Any]) -> tuple[int, int]:
    return line["captured_ns"], line["hops"][-1][2]
