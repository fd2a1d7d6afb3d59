"""What happens to a folder when a collector starts: its files and its index are made to agree.

Rules kept here: what was acknowledged is kept; both files of a segment that was open are cut back to the
frames that both hold whole, at the end of a cluster; what cannot be read, or holds less than the index knows
to be safe, is put aside with its reason and never deleted; an index that is missing or damaged is made again
from the files: where nobody can say what was safe, damaged pictures are kept among the others, and what was
once ended is copied aside before it is cut. Recovering twice does what recovering once does.
"""

import logging
import mmap
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from pathlib import Path

from mesh.delivery import Seen
from mesh.delivery.seen import SEEN_PER_STREAM
from mesh.errors import StorageError
from mesh.recordings.ebml import Whole, places, size_field, whole
from mesh.recordings.folder import recordings
from mesh.recordings.held import listed
from mesh.recordings.index import NAME, Damaged, Index, Listed, SegmentRow, StreamRow
from mesh.recordings.lines import Entry, entries
from nodes.collect.folder import copy_aside, put_aside
from nodes.collect.recorder import storage_error
from nodes.collect.removal import remove_files
from nodes.collect.segment import sync_folder

log = logging.getLogger(__name__)

Stream = tuple[str, str, int]  # stage, camera, boot


class Lacking(Enum):
    """What to make of a segment that is not whole.

    LOST:     what it lacks never came to the disk, and was not acknowledged: the index knows what was
    STRANGE:  the index knows nothing of the segment: so it is, unless somebody else has put it there
    UNKNOWN:  the index was lost: so it may be; but one that was ended once may be damaged
    DAMAGE:   nobody recorded: the segment is damaged
    """

    LOST = auto()
    STRANGE = auto()
    UNKNOWN = auto()
    DAMAGE = auto()


@dataclass(frozen=True, slots=True)
class Recovered:
    """The folder as it is now: its index, the counts of every stream, and what was recorded before."""

    index: Index
    streams: dict[Stream, StreamRow]
    seen: Seen


@dataclass(frozen=True, slots=True)
class Cut:
    """How much of a segment to keep: frames, and the bytes of each file; `size_at` is where the video's own
    size stands. `done`: both files are exactly that already; `ended`: they once were what they should be."""

    frames: int
    video_bytes: int
    line_bytes: int
    size_at: int
    done: bool
    ended: bool = False


def recover(into: Path) -> Recovered:
    """Make the folder and its index agree. Raises `StorageError` when the disk refuses."""
    try:
        index = sound_index(into)
        try:
            return _recover(into, index)
        except BaseException:
            index.close()
            raise
    except OSError as error:
        raise storage_error(into, error) from error


def decide(video: Whole, lines: Sequence[Entry], video_bytes: int, line_bytes: int) -> Cut:
    """How much of a segment's two files belongs together and is whole. Pure.

    Frames and lines are the same as far as their times are; a cluster is kept with all of its frames or not.
    Raises `StorageError` when there are frames and not one of them can be kept.
    """
    times = (time for cluster in video.clusters for time in cluster.times_ms)
    same = 0
    for time, entry in zip(times, lines, strict=False):
        if time != entry.pts_ms:
            break
        same += 1
    frames = end = 0
    for cluster in video.clusters:
        if frames + len(cluster.times_ms) > same:
            break
        frames, end = frames + len(cluster.times_ms), cluster.end
    if video.clusters and not frames:
        raise StorageError("its video and its lines are not of the same frames")
    line_end = lines[frames - 1].end if frames else 0
    all_frames = sum(len(cluster.times_ms) for cluster in video.clusters)
    if video.finished and frames == all_frames == len(lines) and line_end == line_bytes:
        return Cut(frames, video_bytes, line_bytes, video.size_at or 0, done=True)
    return Cut(frames, end, line_end, video.size_at or 0, done=False, ended=video.says_bytes is not None)


def sound_index(into: Path) -> Index:
    """The folder's index; a new one in place of one that is missing or damaged."""
    try:
        return Index(into)
    except Damaged as error:
        files = [into / f"{NAME}{end}" for end in ("", "-wal", "-shm")]
        aside = put_aside(into, [file for file in files if file.exists()], str(error))
        log.error("%s; it is made again from the recordings, and was moved to %s", error, aside.parent)
        return Index(into)


def _recover(into: Path, index: Index) -> Recovered:
    for error in remove_files(into, index.removing()).refused.values():
        raise error
    index.removed()
    known = {row.path: row for row in index.segments()}
    there = [str(path.relative_to(into)) for path in recordings(into)]
    unlisted = Lacking.UNKNOWN if index.is_new else Lacking.STRANGE
    changed = [Listed(replace(known[path], open=False, frames=0)) for path in known.keys() - set(there)]
    for path in there:
        row = known.get(path)
        if row is None or row.open or not row.first_ns or not _is_pair(into / path):
            changed.append(mend(into, path, row, Lacking.LOST if row else unlisted))
    now = known | {each.row.path: each.row for each in changed}
    segments = [row for _, row in sorted(now.items()) if row.frames]
    streams = counted(index.streams(), segments)
    index.write(changed, streams.values())
    return Recovered(index, streams, _seen(into, segments))


def _is_pair(video: Path) -> bool:
    return video.exists() and video.with_suffix(".jsonl").exists()


def counted(known: Iterable[StreamRow], segments: Iterable[SegmentRow]) -> dict[Stream, StreamRow]:
    """The streams, with the counts that the segments give, and what was removed."""
    rows = {(row.stage, row.camera, row.boot): row for row in known}
    recorded = Counter({stream: row.removed for stream, row in rows.items()})
    late = Counter({stream: row.removed_late for stream, row in rows.items()})
    for row in segments:
        recorded[row.stage, row.camera, row.boot] += row.frames
        late[row.stage, row.camera, row.boot] += row.late
    return {
        stream: replace(rows.get(stream, StreamRow(*stream)), recorded=recorded[stream], late=late[stream])
        for stream in sorted({*rows, *recorded})
    }


def mend(into: Path, path: str, known: SegmentRow | None, lacking: Lacking) -> Listed:
    """Make a segment whole, and say what it holds: nothing, where it is gone."""
    video, lines = into / path, (into / path).with_suffix(".jsonl")
    try:
        cut, kept = _examine(video, lines, lacking)
        _check(cut, len(kept), known.frames if known else 0, lacking)
    except StorageError as error:
        files = _there(video, lines)
        log.error("%s: %s; moved to %s", video, error, put_aside(into, files, str(error)).parent)
        return Listed(SegmentRow(path, "", "", 0, open=False))
    if not cut.frames:
        _remove(video, lines)
        return Listed(SegmentRow(path, "", "", 0, open=False))
    if not cut.done:
        _keep_copy(into, video, lines, cut, lacking)
        log.warning("%s was cut short when its collector ended: %d frames are whole", video, cut.frames)
        _cut(video, lines, cut)
    return listed(path, kept[: cut.frames], video.stat().st_size + lines.stat().st_size)


def _check(cut: Cut, lines: int, safe: int, lacking: Lacking) -> None:
    """Raises `StorageError` for a segment that is to be put aside. Pure."""
    if cut.frames < safe:
        raise StorageError(f"{safe} frames of it were safe, and {cut.frames} can be read")
    if lacking is Lacking.DAMAGE and not cut.done and (cut.ended or (lines and not cut.frames)):
        raise StorageError(f"it is damaged: {cut.frames} frames can be read")


def _keep_copy(into: Path, video: Path, lines: Path, cut: Cut, lacking: Lacking) -> None:
    """Put a copy aside of what may be damaged, before it is cut."""
    if lacking is not Lacking.LOST and cut.ended:
        why = f"it is damaged: {cut.frames} frames can be read, and were kept; this is a copy of all of it"
        log.error("%s: %s; it is in %s", video, why, copy_aside(into, _there(video, lines), why).parent)


def _there(*files: Path) -> list[Path]:
    return [file for file in files if file.exists()]


def _examine(video: Path, lines: Path, lacking: Lacking) -> tuple[Cut, list[Entry]]:
    """What of a segment to keep, and its lines. Raises `StorageError` for what cannot be read."""
    try:
        text = lines.read_bytes() if lines.exists() else b""
        found = list(entries(text))
        if b"\n" in text and not found:
            raise StorageError("its lines cannot be read")
        if not video.exists() or not video.stat().st_size:
            return decide(Whole(), found, 0, len(text)), found
        with video.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            reason = lacking if lines.exists() else Lacking.UNKNOWN
            return _judged(data, found, len(text), reason), found
    except OSError as error:
        raise StorageError(f"it cannot be read: {error.strerror}") from error


def _judged(data: mmap.mmap, lines: Sequence[Entry], line_bytes: int, lacking: Lacking) -> Cut:
    """As `decide`, with what is known of the reason why something lacks. Pure."""
    there = whole(data)
    may_be_damage = lacking in (Lacking.UNKNOWN, Lacking.DAMAGE)
    if not (may_be_damage or lines or there.says_bytes is not None):
        return Cut(0, 0, 0, 0, done=False)  # its first frames came, and their lines, which come then, did not
    if may_be_damage and there.finished and _has_every_head(data, lines, line_bytes):
        return Cut(len(lines), len(data), line_bytes, there.size_at or 0, done=True)
    cut = decide(there, lines, len(data), line_bytes)
    was_ended = cut.ended and lacking is not Lacking.LOST
    if not cut.frames and (was_ended or (may_be_damage and any(places(data)))):
        raise StorageError("it is damaged: not one of its frames can be kept without the others")
    return cut


def _has_every_head(data: mmap.mmap, lines: Sequence[Entry], line_bytes: int) -> bool:
    """Whether all that a segment lacks are bytes within its pictures."""
    is_text_whole = bool(lines) and lines[-1].end == line_bytes
    return is_text_whole and [place.time_ms for place in places(data)] == [line.pts_ms for line in lines]


def _cut(video: Path, lines: Path, cut: Cut) -> None:
    """Cut both files, and have the video say its own length: so it is finished, and players can trust it."""
    segment_bytes = cut.video_bytes - cut.size_at - 8
    with lines.open("r+b") as text:
        text.truncate(cut.line_bytes)
        os.fsync(text.fileno())
    with video.open("r+b") as file:
        file.truncate(cut.video_bytes)
        file.seek(cut.size_at)
        file.write(size_field(segment_bytes))
        file.flush()
        os.fsync(file.fileno())


def _remove(video: Path, lines: Path) -> None:
    for file in (video, lines):
        file.unlink(missing_ok=True)
    sync_folder(video.parent)


def _seen(into: Path, segments: Sequence[SegmentRow]) -> Seen:
    """The identities in the newest lines of every stream."""
    by_stream: defaultdict[tuple[str, str], list[SegmentRow]] = defaultdict(list)
    for row in segments:
        by_stream[row.stage, row.camera].append(row)
    seen = Seen()
    for rows in by_stream.values():
        for row in reversed(list(_newest(rows))):
            for entry in entries((into / row.path).with_suffix(".jsonl").read_bytes()):
                seen.add(entry.identity)
    return seen


def _newest(rows: Sequence[SegmentRow]) -> Iterator[SegmentRow]:
    """As many segments of a stream, the newest first, as hold what is to be remembered."""
    frames = 0
    for row in reversed(rows):
        if frames >= SEEN_PER_STREAM:
            return
        yield row
        frames += row.frames
