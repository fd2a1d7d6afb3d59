"""One segment: a Matroska file and, beside it, a `.jsonl` with a line a frame.

Rules kept here: a frame's line is built before anything is written, and both files hold the same frames
after `close`; a name that is taken is never written over; frame times rise strictly, whatever the camera's
clock does; a segment without a frame is removed; a frame is safe once both files and their names were synced
with its whole cluster, and is kept in memory until then; after a failure both files are cut back to the
frames that both hold whole, and where not even that can be done, to those that were safe.
"""

import io
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from mesh.frame import Frame
from nodes.collect.lines import line
from nodes.collect.matroska import MatroskaWriter, write_all


@dataclass(frozen=True, slots=True)
class SegmentLimits:
    """When a segment ends: seconds since its first frame, and bytes of its pictures (None: any)."""

    seconds: float = 60.0
    bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """A frame to write; `late` when a later one of its stream was written before it."""

    frame: Frame
    late: bool = False


@dataclass(frozen=True, slots=True)
class Remains:
    """The frames of a failed segment that were not safe: those that are now, and those that were cut off."""

    safe: list[Item]
    cut: list[Item]


@dataclass(frozen=True, slots=True)
class SegmentState:
    """What decides whether the next frame still belongs into a segment. `bytes` are those of its pictures;
    `late` is whether its first frame came late."""

    boot: int
    width: int
    height: int
    first_ns: int
    bytes: int
    late: bool = False


def needs_new_segment(state: SegmentState, item: Item, limits: SegmentLimits) -> bool:
    """Whether an item begins a new segment: another boot, another size, too long after, or too much. Pure.

    A clock that was set back by more than a segment's length begins one, too; and so does the first frame
    that is in time again where a late one had to, so that names, which are times, sort as frames do.
    """
    frame = item.frame
    if state.late and not item.late:
        return True
    if (frame.boot, frame.width, frame.height) != (state.boot, state.width, state.height):
        return True
    if not (item.late and not state.late) and abs(frame.captured_ns - state.first_ns) >= limits.seconds * 1e9:
        return True
    return limits.bytes is not None and state.bytes + len(frame.payload) > limits.bytes


def next_pts_ms(first_ns: int, captured_ns: int, last_ms: int | None) -> int:
    """A frame's time in its segment: milliseconds since the first frame, above the last one's. Pure."""
    since = (captured_ns - first_ns) // 1_000_000
    return max(0, since) if last_ms is None else max(last_ms + 1, since)


class Segment:
    """An open segment of one camera and stage. Raises `OSError` when the disk refuses; then `abandon` it."""

    def __init__(self, into: Path, item: Item) -> None:
        first = item.frame
        self._begins_late = item.late
        self.path, self._video_file, self._lines_file = _create(into, first)
        self._boot, self._size, self._first_ns = first.boot, (first.width, first.height), first.captured_ns
        self._last_ms: int | None = None
        self._line_ends = [0]
        self._picture_bytes = 0
        self._unsafe: list[Item] = []
        self._safe_bytes = 0
        self._named = False  # whether the disk holds the files' names
        self.safe = self.late = 0  # frames, and those among them that came late
        self._video = MatroskaWriter(self._video_file, first.width, first.height, _tags(first))

    def __repr__(self) -> str:
        return f"<Segment {self.path} frames={self.frames}>"

    @property
    def state(self) -> SegmentState:
        return SegmentState(self._boot, *self._size, self._first_ns, self._picture_bytes, self._begins_late)

    @property
    def frames(self) -> int:
        return len(self._line_ends) - 1

    @property
    def bytes(self) -> int:
        """Bytes in both files."""
        return self._video.size + self._line_ends[-1]

    @property
    def unsafe(self) -> int:
        """Frames that were written and are not safe."""
        return len(self._unsafe)

    def write(self, item: Item) -> None:
        """Append a frame that holds a JPEG. Raises `OSError`, or `WireError` for unwritable annotations."""
        frame = item.frame
        pts_ms = next_pts_ms(self._first_ns, frame.captured_ns, self._last_ms)
        text = line(frame, pts_ms, late=item.late)
        self._video.write(frame.payload, pts_ms)
        write_all(self._lines_file.fileno(), text, self._line_ends[-1])
        self._last_ms = pts_ms
        self._picture_bytes += len(frame.payload)
        self._line_ends.append(self._line_ends[-1] + len(text))
        self._unsafe.append(item)

    def sync(self) -> list[Item]:
        """Have the disk hold what the files hold; the frames that are safe now and were not before.

        The last frame may still be in memory (see `matroska`). Raises `OSError`.
        """
        os.fsync(self._video_file.fileno())
        os.fsync(self._lines_file.fileno())
        if not self._named:
            sync_folder(self.path.parent)
            self._named = True
        return self._settle()

    def close(self) -> list[Item]:
        """Finish both files and have the disk hold them; all frames that were not safe before are now.

        Raises `OSError`.
        """
        if not self.frames:
            self.abandon()
            return []
        self._video.close()
        safe = self.sync()
        self._video_file.close()
        self._lines_file.close()
        return safe

    def abandon(self) -> Remains:
        """Cut both files back to the frames that both hold whole, and let go.

        Raises nothing: it is the way out after a failure. A segment that holds no frame is removed.
        """
        self._video.abandon()
        safe: list[Item] = []
        try:
            self._cut(min(self._video.whole_frames, self.frames), self._video.whole_bytes)
            safe = self.sync()
        except OSError:
            with suppress(OSError):
                self._cut(self.safe, self._safe_bytes)
        for file in (self._video_file, self._lines_file):
            with suppress(OSError):
                file.close()
        if not self.safe:
            _remove(self.path)
        return Remains(safe, self._unsafe)

    def _cut(self, frames: int, video_bytes: int) -> None:
        os.ftruncate(self._video_file.fileno(), video_bytes)
        os.ftruncate(self._lines_file.fileno(), self._line_ends[frames])

    def _settle(self) -> list[Item]:
        whole = min(self._video.whole_frames, self.frames)
        safe, self._unsafe = self._unsafe[: whole - self.safe], self._unsafe[whole - self.safe :]
        self.late += sum(item.late for item in safe)
        self.safe, self._safe_bytes = whole, self._video.whole_bytes
        return safe


def sync_folder(folder: Path) -> None:
    """Have the disk hold a folder's names. Raises `OSError`."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _create(into: Path, first: Frame) -> tuple[Path, io.FileIO, io.FileIO]:
    """Both files under the first name that is free: `CAMERA/YYYY-MM-DD/HH-MM-SS[.MMM[.N]]-STAGE.mkv`, UTC."""
    at = datetime.fromtimestamp(first.captured_ns // 1_000_000_000, UTC)
    folder = into / first.camera / f"{at:%Y-%m-%d}"
    _make_folders(folder)
    for stem in _stems(at, first.captured_ns, first.stage):
        path = folder / f"{stem}.mkv"
        try:
            video = io.FileIO(path, "x+")
        except FileExistsError:
            continue
        try:
            return path, video, io.FileIO(path.with_suffix(".jsonl"), "x")
        except OSError as error:
            video.close()
            path.unlink()
            if not isinstance(error, FileExistsError):
                raise
    raise AssertionError("unreachable: stems never end")


def _stems(at: datetime, captured_ns: int, stage: str) -> Iterator[str]:
    """Names in the order in which they are tried, which is also how they sort."""
    millis = captured_ns // 1_000_000 % 1000
    yield f"{at:%H-%M-%S}-{stage}"
    yield f"{at:%H-%M-%S}.{millis:03}-{stage}"
    for number in count(1):
        yield f"{at:%H-%M-%S}.{millis:03}.{number}-{stage}"


def _make_folders(folder: Path) -> None:
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in missing:
        sync_folder(each.parent)


def _remove(path: Path) -> None:
    for each in (path, path.with_suffix(".jsonl")):
        with suppress(OSError):
            each.unlink()


def _tags(first: Frame) -> dict[str, str]:
    at = datetime.fromtimestamp(first.captured_ns // 1_000_000_000, UTC)
    micros = first.captured_ns % 1_000_000_000 // 1000
    return {
        "title": f"{first.camera} {first.stage}",
        "creation_time": f"{at:%Y-%m-%dT%H:%M:%S}.{micros:06}Z",
        "CAMERA": first.camera,
        "STAGE": first.stage,
        "BOOT": str(first.boot),
        "FIRST_CAPTURED_NS": str(first.captured_ns),
    }
