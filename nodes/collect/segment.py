"""One segment: a Matroska file and, beside it, a `.jsonl` with a line a frame.

Rules kept here: a frame's line is built before anything is written, and both files hold the same frames
after `close`; a name that is taken is never written over; frame times rise strictly, whatever the camera's
clock does; a segment without a frame is removed; after a failed write both files are cut back to the frames
that both hold whole.
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
class SegmentState:
    """What decides whether the next frame still belongs into a segment. `bytes` are those of its pictures."""

    boot: int
    width: int
    height: int
    first_ns: int
    bytes: int


def needs_new_segment(state: SegmentState, frame: Frame, limits: SegmentLimits) -> bool:
    """Whether `frame` begins a new segment: another boot, another size, too late, or too much. Pure.

    A clock that was set back by more than a segment's length begins one, too.
    """
    if (frame.boot, frame.width, frame.height) != (state.boot, state.width, state.height):
        return True
    if abs(frame.captured_ns - state.first_ns) >= limits.seconds * 1e9:
        return True
    return limits.bytes is not None and state.bytes + len(frame.payload) > limits.bytes


def next_pts_ms(first_ns: int, captured_ns: int, last_ms: int | None) -> int:
    """A frame's time in its segment: milliseconds since the first frame, above the last one's. Pure."""
    since = (captured_ns - first_ns) // 1_000_000
    return max(0, since) if last_ms is None else max(last_ms + 1, since)


class Segment:
    """An open segment of one camera and stage. Raises `OSError` when the disk refuses; then `abandon` it."""

    def __init__(self, into: Path, first: Frame) -> None:
        self.path, self._video_file, self._lines_file = _create(into, first)
        self._boot, self._size, self._first_ns = first.boot, (first.width, first.height), first.captured_ns
        self._last_ms: int | None = None
        self._line_ends = [0]
        self._picture_bytes = 0
        self._held: list[Frame] = []  # written, but not yet part of a whole cluster
        self._video = MatroskaWriter(self._video_file, first.width, first.height, _tags(first))

    def __repr__(self) -> str:
        return f"<Segment {self.path} frames={self.frames}>"

    @property
    def state(self) -> SegmentState:
        return SegmentState(self._boot, *self._size, self._first_ns, self._picture_bytes)

    @property
    def frames(self) -> int:
        return len(self._line_ends) - 1

    @property
    def bytes(self) -> int:
        """Bytes in both files."""
        return self._video.size + self._line_ends[-1]

    def write(self, frame: Frame) -> None:
        """Append a frame that holds a JPEG. Raises `OSError`, or `WireError` for unwritable annotations."""
        pts_ms = next_pts_ms(self._first_ns, frame.captured_ns, self._last_ms)
        text = line(frame, pts_ms)
        self._video.write(frame.payload, pts_ms)
        write_all(self._lines_file.fileno(), text, self._line_ends[-1])
        self._last_ms = pts_ms
        self._picture_bytes += len(frame.payload)
        self._line_ends.append(self._line_ends[-1] + len(text))
        self._held = [*self._held, frame][self._video.whole_frames - self._video.frames :]

    def sync(self) -> None:
        """Have the disk hold what the files hold; the last frame may still be in memory (see `matroska`)."""
        os.fsync(self._video_file.fileno())
        os.fsync(self._lines_file.fileno())

    def close(self) -> None:
        """Finish both files and have the disk hold them, and then their names. Raises `OSError`."""
        if not self.frames:
            self.abandon()
            return
        self._video.close()
        self.sync()
        self._video_file.close()
        self._lines_file.close()
        sync_folder(self.path.parent)

    def abandon(self) -> list[Frame]:
        """Cut both files back to the frames that both hold whole, and let go; the frames that were cut off.

        Raises nothing: it is the way out after a failed write. A segment that holds no frame is removed.
        """
        self._video.abandon()
        whole = min(self._video.whole_frames, self.frames)
        with suppress(OSError):
            os.ftruncate(self._video_file.fileno(), self._video.whole_bytes)
            os.ftruncate(self._lines_file.fileno(), self._line_ends[whole])
            self.sync()
        for file in (self._video_file, self._lines_file):
            with suppress(OSError):
                file.close()
        if not whole:
            _remove(self.path)
        return self._held[len(self._held) - (self.frames - whole) :]


def sync_folder(folder: Path) -> None:
    """Have the disk hold a folder's names. Raises `OSError`."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _create(into: Path, first: Frame) -> tuple[Path, io.FileIO, io.FileIO]:
    """Both files under the first name that is free: `CAMERA/YYYY-MM-DD/HH-MM-SS-STAGE[-N].mkv`, UTC."""
    at = datetime.fromtimestamp(first.captured_ns // 1_000_000_000, UTC)
    folder = into / first.camera / f"{at:%Y-%m-%d}"
    _make_folders(folder)
    for stem in _stems(f"{at:%H-%M-%S}-{first.stage}"):
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


def _stems(stem: str) -> Iterator[str]:
    yield stem
    for number in count(1):
        yield f"{stem}-{number}"


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
