"""A day of twenty cameras in fast time, on a real index: the limits hold at every step."""

import threading
from collections import defaultdict
from pathlib import Path

from mesh.recordings.index import Index, Listed, SegmentRow, StreamRow
from mesh.recordings.limits import DAY_NS, Free, Keep, Limits
from nodes.collect.keeping import Keeper
from nodes.collect.removal import lock_of
from nodes.collect.retention import Disk
from tests.support.clock import ManualClock

NEVER = threading.Event()
SEGMENT_S = 1200
SEGMENT_NS = SEGMENT_S * 1_000_000_000
STEPS = 24 * 3600 // SEGMENT_S
CAMERAS = [f"camera-{number:02}" for number in range(20)]
MB = 10**6
TOTAL = 60_000 * MB
OTHERS = 20_000 * MB  # on the same disk, and they grow
KEEP = Keep(
    Limits(days=0.5, bytes=30_000 * MB),
    {"camera-03": Limits(days=0.25), "camera-04": Limits(days=1, bytes=400 * MB)},
    Free(share=0.25),
)


def bytes_of(camera: int, step: int) -> int:
    """A camera has a rate of its own, and more to tell by day."""
    return (10 + 2 * camera) * MB * (2 if STEPS // 3 < step < 2 * STEPS // 3 else 1)


class Day:
    """A folder whose recordings stand in the index alone, and the disk that they would be on."""

    def __init__(self, into: Path) -> None:
        self.into, self.clock, self.step = into, ManualClock(), 0
        self.whys: list[str] = []
        self.index = Index(into)
        self.begins_ns = self.clock.wall_ns()
        self.keeper = Keeper(into, KEEP, self.whys.append, disk=self.disk, clock=self.clock)

    def record(self) -> None:
        """Every camera's next segment."""
        self.clock.advance(SEGMENT_S)
        first_ns = self.begins_ns + self.step * SEGMENT_NS
        rows = [
            SegmentRow(
                f"{camera}/2026-01-01/{self.step:04}-raw.mkv", "raw", camera, 1, False, 600, 0,
                first_ns, first_ns + SEGMENT_NS, bytes_of(number, self.step),
            )
            for number, camera in enumerate(CAMERAS)
        ]  # fmt: skip
        streams = [StreamRow("raw", camera, 1, 600 * (self.step + 1)) for camera in CAMERAS]
        self.index.write(map(Listed, rows), streams)
        self.step += 1

    def rows(self) -> list[SegmentRow]:
        return self.index.segments()

    def disk(self, into: Path) -> Disk:
        others = OTHERS + self.step * 40 * MB
        return Disk(TOTAL - others - sum(row.bytes for row in self.rows()), TOTAL)


def test_the_limits_hold_at_every_step_of_a_day(tmp_path: Path) -> None:
    day = Day(tmp_path)
    locked = f"{CAMERAS[0]}/2026-01-01/0002-raw.mkv"
    lock_of(tmp_path, locked).parent.mkdir(parents=True)
    lock_of(tmp_path, locked).touch()
    removed_before: set[str] = set()
    every: dict[str, SegmentRow] = {}
    for _ in range(STEPS):
        day.record()
        every |= {row.path: row for row in day.rows()}
        day.keeper.look(NEVER)
        rows = {row.path: row for row in day.rows()}
        now_ns = day.clock.wall_ns()
        by_camera: defaultdict[str, int] = defaultdict(int)
        for row in rows.values():
            by_camera[row.camera] += row.bytes
        for row in rows.values():
            days = KEEP.days(row.camera)
            assert days is None or row.path == locked or row.last_ns >= now_ns - int(days * DAY_NS)
        assert sum(by_camera.values()) <= 30_000 * MB
        assert by_camera["camera-04"] <= 400 * MB
        disk = day.disk(tmp_path)
        assert disk.free >= disk.total // 4
        removed = every.keys() - rows.keys()
        assert removed >= removed_before
        removed_before = removed
    assert locked in rows
    assert day.whys == []
    streams = {row.camera: row for row in day.index.streams()}
    held: defaultdict[str, int] = defaultdict(int)
    for row in rows.values():
        held[row.camera] += row.frames
    assert all(streams[camera].removed + held[camera] == 600 * STEPS for camera in CAMERAS)
    assert day.keeper.counters.get("removed_segments") == len(removed)
    day.keeper.close()
    day.index.close()
