"""What a fault cost: one line for a person, and one for the table that `make faults` prints."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

TABLE = "MESH_FAULTS_TABLE"
LONG = "MESH_FAULTS_LONG"


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one fault. Frames are counted at the stage that the fault is about; seconds are from
    the fault to the first frame that came through again, the worst of all."""

    fault: str
    offered: int
    delivered: int
    dropped: Mapping[str, int] = field(default_factory=dict)
    lost: int = 0
    duplicates: int = 0
    recovery_s: float | None = None


def long() -> bool:
    """Whether the long version was asked for."""
    return os.environ.get(LONG, "") not in ("", "0")


def show(figures: Figures) -> None:
    """Print the figures, and append them as a line of JSON to the file that `MESH_FAULTS_TABLE` names."""
    dropped = ", ".join(f"{cause} {count}" for cause, count in sorted(figures.dropped.items()) if count)
    recovery = "-" if figures.recovery_s is None else f"{figures.recovery_s:.1f} s"
    print(  # noqa: T201 - figures are for people, as soon as they are known
        f"\n{figures.fault}: offered {figures.offered}, delivered {figures.delivered}, "
        f"dropped {dropped or 0}, lost {figures.lost}, duplicates {figures.duplicates}, recovery {recovery}",
        flush=True,
    )
    if table := os.environ.get(TABLE):
        with Path(table).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(figures)) + "\n")
