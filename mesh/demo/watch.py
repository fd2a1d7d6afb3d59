"""What a person sees while the demo runs: frames per second, latency, drops and detections by camera."""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from mesh.clock import Clock
from mesh.frame import Frame
from mesh.ledger import Summary

KEPT = 120


@dataclass(slots=True)
class Seen:
    """One camera's newest frames, as a subscriber saw them."""

    arrivals: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))
    latencies_ms: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))
    detections: Counter[str] = field(default_factory=Counter)
    still: Frame | None = None

    def add(self, frame: Frame, clock: Clock) -> None:
        self.arrivals.append(clock.monotonic())
        self.latencies_ms.append((clock.wall_ns() - frame.captured_ns) / 1e6)
        found = [d for d in frame.detections if d.by != "truth"]
        self.detections.update(d.label for d in found)
        if found or self.still is None:
            self.still = frame

    @property
    def fps(self) -> float:
        if len(self.arrivals) < 2:
            return 0.0
        return (len(self.arrivals) - 1) / max(1e-9, self.arrivals[-1] - self.arrivals[0])

    @property
    def latency_ms(self) -> float:
        """The median."""
        return sorted(self.latencies_ms)[len(self.latencies_ms) // 2] if self.latencies_ms else 0.0


COLUMNS = (
    "camera",
    "fps",
    "latency ms",
    "captured",
    "processed",
    "dropped",
    "lost",
    "recorded",
    "detections",
)


def rows(
    cameras: Sequence[str], seen: dict[str, Seen], summary: Summary, stage: str
) -> list[tuple[object, ...]]:
    """A row a camera. `processed` is what the last stage did; drops and losses are those of all stages."""
    made: list[tuple[object, ...]] = []
    for name in cameras:
        view, count = seen.get(name, Seen()), summary["cameras"].get(name)
        if count is None:
            made.append((name, 0.0, 0.0, 0, 0, 0, 0, 0, "-"))
            continue
        groups = count["groups"].values()
        made.append(
            (
                name,
                view.fps,
                view.latency_ms,
                count["captured"],
                sum(g["processed"] for g in groups if g["output"] == stage),
                sum(sum(g["dropped"].values()) for g in groups),
                sum(g["lost"] for g in groups),
                sum(count["recorded"].values()),
                ", ".join(f"{label} {n}" for label, n in sorted(view.detections.items())) or "-",
            )
        )
    return made
