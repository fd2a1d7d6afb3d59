"""`mesh.open_recordings`: the frames of a folder of recordings, as if they came live.

    with mesh.open_recordings("recordings") as recordings:
        for frame in recordings.frames("door", "-1h", "now"):
            print(frame.captured_ns, frame.detections)

Rules kept here: the files alone tell everything, and the index only which of them need not be opened; one
segment is open at a time; a file that cannot be read is passed over, said once, and counted; a folder may be
read while a collector records to it. Segments come in the order in which they began, their frames as they
were recorded. A segment is looked for on the day on which it began and the one after: it is taken to be
shorter than a day.
"""

import logging
import operator
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Self, SupportsIndex

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.errors import ConfigError, StorageError
from mesh.frame import Frame
from mesh.names import check_name
from mesh.recordings import names
from mesh.recordings.folder import no_camera
from mesh.recordings.index import SegmentRow
from mesh.recordings.known import Known
from mesh.recordings.names import Named, beside, day_of
from mesh.recordings.query import FAR_NS
from mesh.recordings.segments import Line, SegmentReader, ends_of, number_of
from mesh.recordings.times import parse_time

log = logging.getLogger(__name__)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Time = int | datetime | str
SLACK_NS = 60_000_000_000  # by which frames may lie beyond the first and the last of a segment, at least


@dataclass(frozen=True, slots=True)
class ReadingStats:
    """What was read so far: segments and frames; files that could not be read, and damaged frames in those
    that could."""

    segments: int = 0
    frames: int = 0
    bad_files: int = 0
    bad_frames: int = 0


class Recordings:
    """A folder of recordings. A context manager; not for two threads at a time.

    Times are nanoseconds since the epoch, a `datetime` with a time zone, or a text as commands take it:
    "now", "yesterday", "-2h", "10:00", "2026-11-30T10:00" (UTC, unless it says otherwise).

    clock:  says when now is
    """

    def __init__(self, root: Path, clock: Clock = SYSTEM_CLOCK) -> None:
        """Raises `ConfigError` where there is no such folder."""
        if not root.is_dir():
            raise ConfigError(f"{root}: no such folder; give the one that a collector records to (--into)")
        self.root = root
        self._clock = clock
        self._known: Known | None = None
        with suppress(StorageError):
            self._known = Known(root)
        self._bad: set[Path] = set()
        self._damaged: set[Path] = set()
        self._segments = self._frames = self._bad_frames = 0

    def __repr__(self) -> str:
        return f"<Recordings {self.root} {self.stats()}>"

    def cameras(self) -> list[str]:
        """The cameras that are recorded here, by name. Raises `StorageError`."""
        return [camera for camera in names.cameras(self.root) if self._has_any(camera)]

    def stages(self, camera: str, start: Time | None = None, end: Time | None = None) -> list[str]:
        """The stages at which a camera was recorded, on the days of these times, by name."""
        days = self._days(camera, *self._range(start, end))
        return sorted({each.stage for day in days for each in names.segments(self.root, camera, day)})

    def frames(
        self, camera: str, start: Time | None = None, end: Time | None = None, stage: str | None = None
    ) -> Iterator[Frame]:
        """A camera's frames that were captured from `start` on and before `end`.

        start, end:  nanoseconds since the epoch, a `datetime` with a time zone, or a text such as "-1h" or
                     "now"; None is as far as there is
        stage:       of these frames; need not be given where the camera was recorded at one stage alone

        Raises `ConfigError` for a camera that is not recorded, and for a time or a stage that is none.
        """
        first, last = self._range(start, end)
        spans = self._between(camera, self._stage(camera, first, last, stage), first, last)
        return (frame for span in spans for frame in self._frames_of(span.path, first, last))

    def numbered(
        self, camera: str, start: Time | None = None, end: Time | None = None, stage: str | None = None
    ) -> Iterator[Frame]:
        """The same frames in the order of their numbers, boot after boot: so they were captured, whatever the
        camera's clock did. Raises `ConfigError` as `frames` does."""
        first, last = self._range(start, end)
        stage = self._stage(camera, first, last, stage)
        found = [(self._number(span), span) for span in self._between(camera, stage, first, last)]
        in_order = sorted((number, span.path) for number, span in found if number is not None)
        return (frame for _, path in in_order for frame in self._frames_of(path, first, last))

    def frame_at(self, camera: str, time: Time, stage: str | None = None) -> Frame | None:
        """A camera's frame at a time: the last one that was captured until then, which may be long before, as
        its `captured_ns` says. None where there is none.

        time:  as `start` and `end` of `frames`

        Raises `ConfigError` as `frames` does.
        """
        at = _ns(time, self._clock.wall_ns())
        stage = self._stage(camera, 0, at + 1, stage)
        days = [day for day in names.days(self.root, camera) if day <= beside(day_of(at), 1)]
        # A segment of one day may have frames of the next: days are looked at in pairs, and each twice.
        for day in reversed(days):
            pair = [each for each in (beside(day, -1), day) if each in days]
            spans = [span for each in pair for span in self._spans(camera, stage, each)]
            if (frame := self._newest(spans, at)) is not None:
                return frame
        return None

    def stats(self) -> ReadingStats:
        return ReadingStats(self._segments, self._frames, len(self._bad), self._bad_frames)

    def close(self) -> None:
        if self._known is not None:
            self._known.close()

    def _has_any(self, camera: str) -> bool:
        """A collector that was killed may leave folders without a file."""
        return any(names.segments(self.root, camera, day) for day in names.days(self.root, camera))

    def _range(self, start: Time | None, end: Time | None) -> tuple[int, int]:
        """From when, and until when, in nanoseconds since the epoch. Raises `ConfigError`."""
        now_ns = self._clock.wall_ns()
        first = 0 if start is None else _ns(start, now_ns)
        return first, FAR_NS if end is None else _ns(end, now_ns)

    def _stage(self, camera: str, start: int, end: int, stage: str | None) -> str:
        check_name("camera", camera)
        there = self.stages(camera, start, end) or self.stages(camera)
        if not there:
            raise no_camera(self.root, camera, self.cameras())
        if stage is None and len(there) > 1:
            raise ConfigError(
                f"camera {camera} is recorded at the stages {', '.join(there)}: name one (--stage, stage=)"
            )
        if stage is not None and stage not in there and stage not in self.stages(camera):
            raise ConfigError(
                f"camera {camera} is not recorded at the stage {stage!r}; it is at {', '.join(there)}"
            )
        return stage or there[0]

    def _days(self, camera: str, start: int, end: int) -> list[date]:
        """The days on which segments begin that may have frames of these times."""
        first, last = beside(day_of(start), -1), beside(day_of(end), 1)
        return [day for day in names.days(self.root, camera) if first <= day <= last]

    def _between(self, camera: str, stage: str, start: int, end: int) -> "Iterator[_Span]":
        """The segments that may have frames of these times."""
        for day in self._days(camera, start, end):
            spans = self._spans(camera, stage, day)
            yield from (span for span in spans if span.first_ns < end and span.last_ns >= start)

    def _number(self, span: "_Span") -> tuple[int, int, int] | None:
        try:
            return number_of(span.path)
        except StorageError as error:
            self._pass_over(span.path, error)
            return None

    def _frames_of(self, path: Path, start: int, end: int) -> Iterator[Frame]:
        try:
            with SegmentReader(path) as segment:
                self._segments += 1
                for line in segment.lines():
                    if start <= line.captured_ns < end and (frame := segment.frame(line)) is not None:
                        self._frames += 1
                        yield frame
                self._say_damage(segment)
        except StorageError as error:
            self._pass_over(path, error)

    def _spans(self, camera: str, stage: str, day: date) -> "list[_Span]":
        """The segments of a day, with the times that their frames lie between."""
        rows = self._rows(camera, day)
        segments = (each for each in names.segments(self.root, camera, day) if each.stage == stage)
        spans = (self._span(each, rows.get(str(each.path.relative_to(self.root)))) for each in segments)
        return [span for span in spans if span is not None]

    def _rows(self, camera: str, day: date) -> dict[str, SegmentRow]:
        if self._known is None:
            return {}
        try:
            return self._known.times(camera, day)
        except StorageError as error:
            log.warning("%s; the files alone are read", error)
            self._known.close()
            self._known = None
            return {}

    def _span(self, named: Named, row: SegmentRow | None) -> "_Span | None":
        if row is not None and row.frames and not row.open:
            return _Span(named.path, row.first_ns, row.last_ns)
        try:
            ends = ends_of(named.path)
        except StorageError as error:
            self._pass_over(named.path, error)
            return None
        if ends is None:
            return None
        slack = max(SLACK_NS, ends[1] - ends[0])
        return _Span(named.path, ends[0] - slack, ends[1] + slack)

    def _newest(self, spans: "list[_Span]", at: int) -> Frame | None:
        """The last frame until `at`."""
        found: Frame | None = None
        for span in sorted(spans, key=lambda span: min(span.last_ns, at), reverse=True):
            if found is not None and found.captured_ns >= min(span.last_ns, at):
                break
            if span.first_ns <= at and (frame := self._newest_of(span.path, at)) is not None:
                found = max(found or frame, frame, key=lambda each: each.captured_ns)
        return found

    def _newest_of(self, path: Path, at: int) -> Frame | None:
        try:
            with SegmentReader(path) as segment:
                lines = sorted((line for line in segment.lines() if line.captured_ns <= at), key=_captured_ns)
                frames = (segment.frame(line) for line in reversed(lines))
                return next((frame for frame in frames if frame is not None), None)
        except StorageError as error:
            self._pass_over(path, error)
            return None

    def _say_damage(self, segment: SegmentReader) -> None:
        if segment.damaged and segment.path not in self._damaged:
            log.warning("%s: %d of its frames cannot be read", segment.path, segment.damaged)
            self._damaged.add(segment.path)
            self._bad_frames += segment.damaged

    def _pass_over(self, path: Path, error: StorageError) -> None:
        if path not in self._bad:
            log.warning("%s is passed over: %s", path, error)
            self._bad.add(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class _Span:
    """A segment whose frames were captured from `first_ns` to `last_ns`, or within that."""

    path: Path
    first_ns: int
    last_ns: int


def open_recordings(folder: str | PathLike[str], *, clock: Clock = SYSTEM_CLOCK) -> Recordings:
    """The recordings in a folder that a collector records to, or did: a context manager.

    clock:  says when now is, for times such as "-2h"

    Raises `ConfigError` where there is no such folder.
    """
    return Recordings(Path(folder), clock)


def _captured_ns(line: Line) -> int:
    return line.captured_ns


def _ns(time: object, now_ns: int) -> int:
    """Nanoseconds since the epoch. Raises `ConfigError` for what is no time, or of no zone."""
    if isinstance(time, str):
        return parse_time(time, now_ns)
    if isinstance(time, SupportsIndex):
        return min(max(0, operator.index(time)), FAR_NS)
    if not isinstance(time, datetime):
        raise ConfigError(
            f"{time!r} is no time: give nanoseconds, a datetime with a time zone, or a text such as '-2h'"
        )
    if time.tzinfo is None:
        raise ConfigError(f"{time} is of no time zone: give datetime(…, tzinfo=UTC), or nanoseconds")
    since = time - _EPOCH
    return max(0, (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000)
