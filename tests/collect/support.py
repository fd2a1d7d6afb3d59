"""Frames to record, and what is read back from a segment with PyAV."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import numpy as np

from mesh import codec
from mesh.frame import Frame

START_NS = 1_792_000_000_123_456_789  # 2026-10-14 17:46:40.123456789 UTC


def make(seq: int = 0, **changes: Any) -> Frame:
    """A frame of a camera at 25 fps; no two have the same picture."""
    width, height = changes.pop("size", (96, 64))
    image = np.random.default_rng(seq).integers(0, 255, (height, width, 3), dtype=np.uint8)
    picture = Frame(
        camera="front",
        boot=7,
        seq=seq,
        captured_ns=START_NS + seq * 40_000_000,
        width=width,
        height=height,
        payload=codec.encode(image),
    )
    return replace(picture, **changes)


@dataclass(frozen=True)
class Recorded:
    """A segment as it can be read: its packets, its decoded pictures' times, its lines and its tags."""

    packets: list[bytes]
    pts_ms: list[int]
    lines: list[dict[str, Any]]
    tags: dict[str, str]


def segments(into: Path) -> list[Path]:
    return sorted(into.rglob("*.mkv"))


def read(path: Path) -> Recorded:
    with av.open(str(path)) as container:
        tags = dict(container.metadata)
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    with av.open(str(path)) as container:
        pictures = list(container.decode(video=0))
    times = [round(float(picture.pts * picture.time_base) * 1000) for picture in pictures]  # type: ignore[operator]
    return Recorded(packets, times, read_lines(path), tags)


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.with_suffix(".jsonl").read_text().splitlines()]


def the_one(into: Path) -> Recorded:
    (path,) = segments(into)
    return read(path)
