"""What is looked for among recordings, and what is found: frozen values."""

from dataclasses import dataclass

FAR_NS = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Query:
    """Which recordings: those that touch [from_ns, to_ns), of any of these cameras and stages (none: of all),
    in which one of `labels` was found by one of `by`, at its best with `min_score`."""

    cameras: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()
    from_ns: int = 0
    to_ns: int = FAR_NS
    labels: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    min_score: float | None = None

    @property
    def asks_for_events(self) -> bool:
        return bool(self.labels or self.by) or self.min_score is not None


@dataclass(frozen=True, slots=True)
class Occurrence:
    """An event as a person sees it, over as many segments as it lasted: `frames` of `camera` and `stage` in
    which `label` was found `by` a processor, from `first_ns` to `last_ns`; its `best` score."""

    camera: str
    stage: str
    label: str
    by: str
    first_ns: int
    last_ns: int
    frames: int
    best: float | None


@dataclass(frozen=True, slots=True)
class Missing:
    """A gap in what was recorded of a stream: from its last frame before to its first one after."""

    camera: str
    stage: str
    first_ns: int
    last_ns: int


@dataclass(frozen=True, slots=True)
class Total:
    """What there is of a stream: files, frames, bytes, the earliest and the latest frame, and files that
    still grow."""

    camera: str
    stage: str
    segments: int
    frames: int
    bytes: int
    first_ns: int
    last_ns: int
    open: int
