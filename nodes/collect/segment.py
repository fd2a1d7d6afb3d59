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
from typing import NamedTuple

from mesh.frame import Frame
from mesh.recordings.contents import Contents, Found, Sightings
from mesh.recordings.lines import found_in, line, next_pts_ms
from nodes.collect.layout import About, Picture, picture
from nodes.collect.matroska import MatroskaWriter, write_all
from nodes.collect.syncing import begin_writing

TRIES = 3  # to make a file in a folder that others may remove


@dataclass(frozen=True, slots=True)
class SegmentLimits:
    """When a segment ends: seconds since its first frame, and bytes of its pictures (None: any)."""

    seconds: float = 60.0
    bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """A frame to write; `late` when a later one of its stream was written before it; `skipped_ns` when the
    first one was captured that was left out by choice just before it (0: none was)."""

    frame: Frame
    late: bool = False
    skipped_ns: int = 0


@dataclass(frozen=True, slots=True)
class Remains:
    """The frames of a failed segment that were not safe: those that are now, and those that were cut off."""

    safe: list[Item]
    cut: list[Item]


class SegmentState(NamedTuple):
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
    that is in time again where a late one had to, so that names, which are times, sort as frames do; and what
    is recorded after some were left out: a file is one scene, and plays without a still of minutes in it.
    """
    frame = item.frame
    if (state.late or item.skipped_ns) and not item.late:
        return True
    if (frame.boot, frame.width, frame.height) != (state.boot, state.width, state.height):
        return True
    if not (item.late and not state.late) and abs(frame.captured_ns - state.first_ns) >= limits.seconds * 1e9:
        return True
    return limits.bytes is not None and state.bytes + len(frame.payload) > limits.bytes


class End(NamedTuple):
    """How far a segment's files reach: frames, bytes of each file, and the last frame's time."""

    frames: int
    video: int
    lines: int
    last_ms: int | None


class _Queued(NamedTuple):
    """A frame that is not in the files yet; `end` is how far they reach with it."""

    picture: Picture
    line: bytes
    end: End


class Segment:
    """An open segment of one camera and stage. Raises `OSError` when the disk refuses; then `abandon` it.

    Frames wait in memory for the next commit, and go to the system then, all with one call: `seal` says
    which, `flush` writes them, `sync` has the disk hold them, and `settle` takes note of that. While another
    thread flushes and syncs, nothing but `write` may be called from this one.

    path, name:  where its video is, and that below the folder of recordings
    device:      the file system that it is on
    end:         how far its files reach with what waits
    safe:        frames that the disk holds for good; `contents` tells of those
    """

    def __init__(self, into: Path, item: Item) -> None:
        first = item.frame
        self._begins_late = item.late
        self.path, self._video_file, self._lines_file = _create(into, first)
        self.name = str(self.path.relative_to(into))
        self.device = os.fstat(self._video_file.fileno()).st_dev
        self.boot = first.boot
        self._size, self._first_ns = (first.width, first.height), first.captured_ns
        self._picture_bytes = 0
        self._unsafe: list[Item] = []
        self._found: list[tuple[Found, ...]] = []  # in those
        self._named = False  # whether the disk holds the files' names
        self._in_doubt = False  # whether a sync failed: the system takes for written what it could not write
        self._queue: list[_Queued] = []
        self._sealed: list[_Queued] = []
        self.safe = 0
        self.contents = Contents()
        self._sightings = Sightings()  # of all that was written
        self._video = self._begun(first)
        self.end = self._safe_end = End(0, self._video.end, 0, None)

    def __repr__(self) -> str:
        return f"<Segment {self.path} frames={self.frames}>"

    @property
    def state(self) -> SegmentState:
        return SegmentState(self.boot, *self._size, self._first_ns, self._picture_bytes, self._begins_late)

    @property
    def frames(self) -> int:
        return self.end.frames

    @property
    def bytes(self) -> int:
        """Bytes in both files."""
        return max(self.end.video, self._video.end) + self.end.lines

    @property
    def safe_bytes(self) -> int:
        """Bytes in both files, of what is safe."""
        return max(self._safe_end.video, self._video.end) + self._safe_end.lines

    @property
    def unsafe(self) -> int:
        """Frames that were written and are not safe."""
        return len(self._unsafe)

    def write(self, item: Item) -> None:
        """Append a frame that holds a JPEG, which must not change any more.

        Raises `WireError` for annotations that cannot be written.
        """
        frame, end = item.frame, self.end
        pts_ms = next_pts_ms(self._first_ns, frame.captured_ns, end.last_ms)
        found = found_in(frame)
        seen = self._sightings.look(frame.captured_ns, found) if found else {}
        events = [(*what, begun_ns) for what, (begun_ns, _) in seen.items()]
        text = line(frame, pts_ms, late=item.late, skipped_ns=item.skipped_ns, events=events)
        self._sightings.take(seen)
        what = picture(frame.payload, pts_ms)
        self.end = End(end.frames + 1, end.video + what.size, end.lines + len(text), pts_ms)
        self._queue.append(_Queued(what, text, self.end))
        self._picture_bytes += len(frame.payload)
        self._unsafe.append(item)
        self._found.append(found)

    def seal(self) -> End:
        """What waits now is what is flushed next; how far the files reach with it.

        What was sealed before must have been settled.
        """
        self._sealed, self._queue = self._queue, []
        return self.end

    def flush(self) -> None:
        """Give the system what is sealed. Raises `OSError`."""
        self._video.write(each.picture for each in self._sealed)
        self._flush_lines(self._sealed)

    def fileno(self) -> int:
        """Of the file that was opened first."""
        return self._video_file.fileno()

    def hasten(self) -> None:
        """Have the system begin to write what `sync` will wait for."""
        begin_writing(self._video_file.fileno())
        begin_writing(self._lines_file.fileno())

    def sync(self) -> None:
        """Have the disk hold what the files hold, and their names. Raises `OSError`."""
        self._in_doubt = True
        os.fdatasync(self._video_file.fileno())
        os.fdatasync(self._lines_file.fileno())
        if not self._named:
            sync_folder(self.path.parent)
        self._in_doubt = False

    def settle(self, end: End) -> list[Item]:
        """The disk holds what there was at `end`: the frames that are safe now and were not before."""
        count = end.frames - self.safe
        safe, self._unsafe = self._unsafe[:count], self._unsafe[count:]
        found, self._found = self._found[:count], self._found[count:]
        for item, seen in zip(safe, found, strict=True):
            self.contents.add(item.frame.captured_ns, seen, late=item.late, skipped_ns=item.skipped_ns)
        self.safe, self._safe_end, self._named, self._sealed = end.frames, end, True, []
        return safe

    def close(self) -> list[Item]:
        """Finish both files and have the disk hold them; all frames that were not safe before are now.

        Raises `OSError`.
        """
        if not self.frames:
            self.abandon()
            return []
        end = self.seal()
        self.flush()
        self._finish_video()
        self.sync()
        self._video_file.close()
        self._lines_file.close()
        return self.settle(end)

    def abandon(self) -> Remains:
        """Cut both files back to the frames that both hold whole, and let go.

        After a sync that failed, to those that were safe before: the system takes for written then what it
        could not write. Raises nothing: it is the way out. A segment that holds no frame is removed.
        """
        safe = [] if self._in_doubt else self._rescued()
        if self._unsafe:
            with suppress(OSError):
                self._cut(self._safe_end)
                self.sync()
        self._let_go()
        return Remains(safe, self._unsafe)

    def _rescued(self) -> list[Item]:
        """What is safe once both files are cut back to the last whole frame; nothing when that fails."""
        whole = [each for each in self._sealed if each.end.video <= self._video.end]
        end = whole[-1].end if whole else self._safe_end
        try:
            self._flush_lines(whole)
            self._cut(end)
            self.sync()
            return self.settle(end)
        except OSError:
            return []

    def _flush_lines(self, queued: list[_Queued]) -> None:
        write_all(self._lines_file.fileno(), b"".join(each.line for each in queued), self._safe_end.lines)

    def _finish_video(self) -> None:
        """What a full disk does not take of the table to seek by costs no frame: the file ends without it."""
        end = self._video.end
        try:
            self._video.finish()
        except OSError:
            self._video.cut(end, self.end.last_ms or 0)

    def _begun(self, first: Frame) -> MatroskaWriter:
        try:
            return MatroskaWriter(self._video_file, _about(first))
        except OSError:
            self._let_go()
            raise

    def _let_go(self) -> None:
        for file in (self._video_file, self._lines_file):
            with suppress(OSError):
                file.close()
        if not self.safe:
            _remove(self.path)

    def _cut(self, end: End) -> None:
        os.ftruncate(self._lines_file.fileno(), end.lines)
        self._video.cut(end.video, end.last_ms or 0)
        self.end = end


def sync_folder(folder: Path) -> None:
    """Have the disk hold a folder's names. Raises `OSError`."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _create(into: Path, first: Frame) -> tuple[Path, io.FileIO, io.FileIO]:
    """Both files under the first name that is free: `CAMERA/YYYY-MM-DD/HH-MM-SS[.MMM[.N]]-STAGE.mkv`, UTC."""
    for _ in range(TRIES):
        with suppress(FileNotFoundError):  # the folder was empty, and is removed by who tidies up
            return _created(into, first)
    return _created(into, first)


def _created(into: Path, first: Frame) -> tuple[Path, io.FileIO, io.FileIO]:
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


def _about(first: Frame) -> About:
    tags = {
        "CAMERA": first.camera,
        "STAGE": first.stage,
        "BOOT": str(first.boot),
        "FIRST_CAPTURED_NS": str(first.captured_ns),
    }
    return About(first.width, first.height, f"{first.camera} {first.stage}", first.captured_ns, tags)
