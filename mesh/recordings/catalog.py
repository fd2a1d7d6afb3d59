"""Questions to a folder of recordings: which segments there are, what was seen, what is missing.

Rules kept here: nothing is written; a collector may record into the folder meanwhile, and the folder may be
mounted read-only; each question is answered along an index of the database, so that it costs what it finds,
not what there is.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mesh.errors import StorageError
from mesh.recordings.contents import EVENT_GAP_NS, Event, Gap
from mesh.recordings.folder import check_cameras, check_folder
from mesh.recordings.index import VERSION, Listed, SegmentRow, segment_row
from mesh.recordings.names import cameras as cameras_in
from mesh.recordings.opening import Why, open_index, read_files
from mesh.recordings.query import FAR_NS, Missing, Occurrence, Query, Total
from mesh.recordings.spans import Span, between, joined, recorded

Stream = tuple[str, str]  # camera, stage
ALL = Query()
BATCH = 256

# A segment that is no longer than the longest touches [from, to): its values are from - longest, to, from.
_TOUCHES = ("first_ns >= ?", "first_ns < ?", "last_ns >= ?")
_EVENT = 'e.label, e."by", e.first_ns, e.last_ns, e.frames, e.best'
_PIECE = f"SELECT s.camera, s.stage, {_EVENT}"
_TOTALS = (
    "SELECT camera, stage, count(*), sum(frames), sum(bytes), min(first_ns), max(last_ns), sum(open)"
    " FROM segments WHERE frames > 0 GROUP BY camera, stage"
)
_LEFT_OUT = "SELECT skipped_ns, skipped_to_ns FROM streams WHERE camera = ? AND stage = ? AND skipped_ns > 0"
_EVER_RECORDED = "SELECT DISTINCT camera FROM streams"
_NEXT_CAMERA = "SELECT stage, camera FROM segments WHERE stage = ? AND camera > ? ORDER BY camera LIMIT 1"
_NEXT_STAGE = "SELECT stage, camera FROM segments WHERE stage > ? ORDER BY stage, camera LIMIT 1"


class Catalog:
    """What a folder of recordings holds. A context manager; not for two threads at a time.

    version:  of the index; None when the files were read
    """

    def __init__(self, into: Path, only: Query = ALL, *, files: bool = True) -> None:
        """`only` bounds what is read of the files where there is no index: cameras, and days.

        Raises `StorageError` when `into` is no folder, or its index is of a newer version; and without
        `files` when there is no index that can be used.
        """
        check_folder(into)
        self.into = into
        self.version: int | None = VERSION
        found = open_index(into)
        if isinstance(found, Why):
            if not files:
                raise StorageError(f"{into}: {found.text}; make it with: mesh recordings rebuild {into}")
            self.version = None
            found = read_files(into, only, found.text)
        self._db = found
        with self._translated():
            (longest,) = self._db.execute("SELECT max(last_ns - first_ns) FROM segments").fetchone()
        self._longest_ns = longest or 0

    def __repr__(self) -> str:
        return f"<Catalog {self.into}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._db.close()

    def fault(self) -> str:
        """What is wrong with the index itself, in a line; empty where nothing is."""
        try:
            (found,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.Error as error:
            found = str(error)
        return "" if found == "ok" else f"it is damaged: {found.splitlines()[-1]}"

    def check_cameras(self, wanted: Sequence[str]) -> None:
        """Raises `ConfigError` for a camera that was never recorded here. One of which nothing is left, or of
        which nothing was chosen to be recorded yet, is none such."""
        if {*wanted} - {*cameras_in(self.into)}:
            listed = [camera for camera, _ in self.streams()]
            check_cameras(self.into, wanted, [*listed, *(name for (name,) in self._rows(_EVER_RECORDED))])

    def streams(self, query: Query = ALL) -> list[Stream]:
        """The cameras and stages of which there is something, as far as the query names them; in order."""
        found: list[Stream] = []
        stage = camera = ""
        while rows := self._rows(_NEXT_CAMERA, stage, camera) or self._rows(_NEXT_STAGE, stage):
            ((stage, camera),) = rows
            if _has(query.cameras, camera) and _has(query.stages, stage):
                found.append((camera, stage))
        return sorted(found)

    def segments(self, query: Query = ALL) -> list[SegmentRow]:
        """The segments that a query asks for, each camera's in order of time."""
        return [row for camera in self._cameras(query) for row in self._of_camera(camera, query)]

    def segment(self, path: str) -> Listed | None:
        """What the index knows of a file; None where it does not know it."""
        rows = self._rows("SELECT * FROM segments WHERE path = ?", path)
        if not rows:
            return None
        events = self._rows(f"SELECT {_EVENT} FROM events e WHERE path = ? ORDER BY first_ns", path)
        gaps = self._rows("SELECT first_ns, last_ns FROM gaps WHERE path = ? ORDER BY first_ns", path)
        return Listed(
            segment_row(rows[0]),
            tuple(Event(*columns) for columns in events),
            tuple(Gap(*columns) for columns in gaps),
        )

    def events(self, query: Query = ALL) -> list[Occurrence]:
        """The events that lie within a query's times, or reach into them: whole, in order of time."""
        found = (self._whole(each, query) for each in joined(self._pieces(query)))
        least = query.min_score
        return [each for each in found if least is None or (each.best is not None and each.best >= least)]

    def gaps(self, query: Query = ALL, least_ns: int = 0) -> list[Missing]:
        """The gaps of at least so many nanoseconds that reach into a query's times, by stream, in order. What
        was left out by choice is none."""
        return [
            Missing(*stream, gap.first_ns, gap.last_ns)
            for stream, spans in self.recorded(query, around=True, skipped=True).items()
            for gap in between(spans)
            if gap.last_ns - gap.first_ns >= least_ns
            and gap.first_ns < query.to_ns
            and gap.last_ns > query.from_ns
        ]

    def recorded(
        self, query: Query = ALL, *, around: bool = False, skipped: bool = False
    ) -> dict[Stream, list[Span]]:
        """When each stream was recorded, or `skipped` by choice, too; with `around` from the last segment
        before a query's times to the first one after."""
        when = replace(query, labels=(), by=(), min_score=None)
        held: defaultdict[Stream, dict[str, SegmentRow]] = defaultdict(dict)
        for row in self.segments(when):
            held[row.camera, row.stage][row.path] = row
        if around:
            for stream in self.streams(when):
                held[stream] |= {row.path: row for row in self._beside(stream, when)}
        gaps = self._gaps(path for rows in held.values() for path in rows)
        return {
            stream: recorded(
                ((row, gaps[path]) for path, row in rows.items()),
                skipped=skipped,
                left_out=self._rows(_LEFT_OUT, *stream) if skipped else (),
            )
            for stream, rows in sorted(held.items())
        }

    def totals(self) -> list[Total]:
        """What there is in all, a line a stream."""
        return [Total(*columns) for columns in sorted(self._rows(_TOTALS))]

    def bytes_since(self, at_ns: int) -> int:
        """Bytes of the segments that began at a time or later."""
        asked = "SELECT coalesce(sum(bytes), 0) FROM segments WHERE camera = ? AND first_ns >= ?"
        return sum(self._rows(asked, camera, at_ns)[0][0] for camera in self._cameras(ALL))

    def _cameras(self, query: Query) -> list[str]:
        return sorted({camera for camera, _ in self.streams(query)})

    def _of_camera(self, camera: str, query: Query) -> Iterator[SegmentRow]:
        sql, values = self._asked_for_segments(camera, query)
        return map(segment_row, self._rows(sql, *values))

    def _asked_for_segments(self, camera: str, query: Query) -> tuple[str, list[Any]]:
        where = ["camera = ?", *_TOUCHES, *_among("stage", query.stages)]
        values = [camera, *self._window(query), *query.stages]
        if query.asks_for_events:
            among = [*_among("e.label", query.labels), *_among('e."by"', query.by)]
            scored = ["e.best >= ?"] if query.min_score is not None else []
            inside = ["e.path = segments.path", "+e.first_ns < ?", "e.last_ns >= ?", *among, *scored]
            where.append(f"EXISTS (SELECT 1 FROM events e WHERE {' AND '.join(inside)})")
            values += [query.to_ns, query.from_ns, *query.labels, *query.by]
            values += [query.min_score] if scored else []
        return f"SELECT * FROM segments WHERE {' AND '.join(where)} ORDER BY first_ns, path", values

    def _pieces(self, query: Query) -> Iterator[Occurrence]:
        """The events of segments that touch a query's times."""
        for sql, values in self._asked_for_pieces(query):
            for columns in self._rows(sql, *values):
                yield Occurrence(*columns)

    def _asked_for_pieces(self, query: Query) -> Iterator[tuple[str, list[Any]]]:
        """By the segments of each camera; by label, where labels alone are asked for."""
        rest = [*_among("s.stage", query.stages), *_among('e."by"', query.by)]
        names = [*query.stages, *query.by]
        touches = ["e.first_ns < ?", "e.last_ns >= ?"]
        if query.labels and not query.cameras:
            source = "FROM events e CROSS JOIN segments s ON s.path = e.path"
            where = ["e.label = ?", "e.first_ns >= ?", *touches, *rest]
            for label in query.labels:
                yield f"{_PIECE} {source} WHERE {' AND '.join(where)}", [label, *self._window(query), *names]
            return
        source = "FROM segments s CROSS JOIN events e ON e.path = s.path"
        where = ["s.camera = ?", *(f"s.{each}" for each in _TOUCHES), *touches]
        where += [*_among("e.label", query.labels), *rest]
        within = [*self._window(query), query.to_ns, query.from_ns]
        for camera in self._cameras(query):
            yield f"{_PIECE} {source} WHERE {' AND '.join(where)}", [camera, *within, *query.labels, *names]

    def _window(self, query: Query) -> tuple[int, int, int]:
        """A query's times as `_TOUCHES` wants them: no segment is longer than the longest."""
        return query.from_ns - self._longest_ns, query.to_ns, query.from_ns

    def _whole(self, one: Occurrence, query: Query) -> Occurrence:
        """An event with what lies outside of a query's times, too."""
        if one.first_ns > query.from_ns + EVENT_GAP_NS and one.last_ns < query.to_ns - EVENT_GAP_NS:
            return one
        reach_ns = max(self._longest_ns, EVENT_GAP_NS) + EVENT_GAP_NS
        names = Query((one.camera,), (one.stage,), labels=(one.label,), by=(one.by,))
        while True:
            begin, end = one.first_ns - reach_ns, min(one.last_ns + reach_ns, FAR_NS)
            wider = joined(self._pieces(replace(names, from_ns=begin, to_ns=end)))
            grown = next(each for each in wider if each.first_ns <= one.first_ns <= each.last_ns)
            if (grown.first_ns, grown.last_ns) == (one.first_ns, one.last_ns):
                return grown
            one, reach_ns = grown, 2 * reach_ns

    def _beside(self, stream: Stream, query: Query) -> Iterator[SegmentRow]:
        """A stream's last segment that began before a query's times, and the first that began after."""
        asked = "SELECT * FROM segments WHERE camera = ? AND stage = ? AND frames > 0 AND first_ns"
        before = self._rows(f"{asked} < ? ORDER BY first_ns DESC LIMIT 1", *stream, query.from_ns)
        after = self._rows(f"{asked} >= ? ORDER BY first_ns LIMIT 1", *stream, query.to_ns)
        yield from map(segment_row, [*before, *after])

    def _gaps(self, paths: Iterable[str]) -> defaultdict[str, list[Gap]]:
        found: defaultdict[str, list[Gap]] = defaultdict(list)
        wanted = list(paths)
        for start in range(0, len(wanted), BATCH):
            some = wanted[start : start + BATCH]
            (among,) = _among("path", some)
            asked = f"SELECT path, first_ns, last_ns FROM gaps WHERE {among} ORDER BY path, first_ns"
            for path, first_ns, last_ns in self._rows(asked, *some):
                found[path].append(Gap(first_ns, last_ns))
        return found

    def _rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._translated():
            return self._db.execute(sql, values).fetchall()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StorageError(
                f"the index of {self.into} cannot be read: {error};"
                f" make it with: mesh recordings rebuild {self.into}"
            ) from error


def _among(column: str, names: Sequence[str]) -> tuple[str, ...]:
    return (f"{column} IN ({', '.join('?' * len(names))})",) if names else ()


def _has(names: Sequence[str], name: str) -> bool:
    return not names or name in names
