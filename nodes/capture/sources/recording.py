"""A camera's recordings as a source: `recording:DIR?camera=door&from=-1d&to=now&stage=motion`.

Options, all but DIR optional: camera (the only one there is); from, to (all there is; see
`mesh.recordings.times`); stage (the only one there is).

Rules kept here: every picture is the frame that was recorded, with its own number and time (`FrameGrab`), so
that two replays give the same frames in the same order: that of their numbers; it is not live: the capture
node paces it by the times of capture, where a stretch without frames takes no longer than `GAP_NS`, and a
clock that was set back no time at all; what cannot be read is passed over, as by whoever reads recordings.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mesh.errors import ConfigError, MeshError, SourceRefused
from mesh.frame import Frame
from mesh.names import check_name
from mesh.recordings.reading import Recordings, open_recordings
from mesh.recordings.times import parse_time
from nodes.capture.sources import urls
from nodes.capture.sources.base import SourceOptions
from nodes.capture.sources.jpegs import FrameGrab
from nodes.options import Reader, read_options

GAP_NS = 5_000_000_000


@dataclass(frozen=True, slots=True)
class Replay:
    """What is to be replayed of the recordings in `folder`; `start` and `end` as they were written."""

    folder: Path
    camera: str | None = None
    stage: str | None = None
    start: str | None = None
    end: str | None = None


def _name(kind: str) -> Reader:
    def read(text: str) -> str:
        try:
            return check_name(kind, text)
        except ConfigError as error:
            raise ValueError(str(error)) from error

    return read


def _time(text: str) -> str:
    try:
        parse_time(text, 0)
    except ConfigError as error:
        raise ValueError(str(error)) from error
    return text


_READERS: dict[str, Reader] = {
    "camera": _name("camera"),
    "from": _time,
    "to": _time,
    "stage": _name("stage"),
}


def parse(url: str) -> Replay:
    """What `url` describes. Raises `ConfigError`."""
    text, _, query = urls.rest_of(url).partition("?")
    if not text:
        raise ConfigError(f"{url!r} names no folder; write for instance recording:DIR?camera=door&from=-2h")
    given = read_options(url, query.replace("+", "%2B"), _READERS)  # +01:00, which a query makes a space
    names = {"camera": "camera", "stage": "stage", "from": "start", "to": "end"}
    return Replay(Path(text), **{names[name]: value for name, value in given.items()})


def open_recording(url: str, options: SourceOptions) -> "RecordingSource":
    """The recordings that `url` describes. Raises `SourceRefused` where there are none."""
    return RecordingSource(parse(url), options)


def seek(url: str, folder: Path = Path()) -> None:
    """Whether there is the folder that `url` names, from `folder` on. Raises `SourceRefused`."""
    path = folder / parse(url).folder
    if not path.is_dir():
        raise SourceRefused(f"{path}: there is no such folder of recordings")


class RecordingSource:
    """A `Source` of recorded frames."""

    live = False
    codec = "mjpeg"
    fps = 0.0  # by their times

    def __init__(self, what: Replay, options: SourceOptions) -> None:
        if options.loop:
            raise SourceRefused("recorded frames keep their numbers and cannot come twice: leave out --loop")
        self._what, self._options = what, options
        self._now_ns = options.clock.wall_ns()
        self._closed = False
        try:
            with open_recordings(what.folder) as recordings:
                found = next(self._frames(recordings), None)
        except MeshError as error:
            raise SourceRefused(str(error)) from error
        if found is None:
            raise SourceRefused(f"{what.folder} holds no frame of these times")

    def __repr__(self) -> str:
        return f"<RecordingSource {self._what}>"

    def __iter__(self) -> Iterator[FrameGrab]:
        """Every frame, in the order of their numbers; its `pts_ns` says when it is due."""
        due_ns, before_ns = 0, None
        with open_recordings(self._what.folder) as recordings:
            for frame in self._frames(recordings):
                if self._closed or self._options.stop.is_set():
                    return
                since_ns = frame.captured_ns - before_ns if before_ns is not None else 0
                due_ns += max(0, min(since_ns, GAP_NS))
                before_ns = frame.captured_ns
                yield FrameGrab(frame, due_ns)

    def close(self) -> None:
        self._closed = True

    def _frames(self, recordings: Recordings) -> Iterator[Frame]:
        what, now_ns = self._what, self._now_ns
        start = parse_time(what.start, now_ns) if what.start is not None else None
        end = parse_time(what.end, now_ns) if what.end is not None else None
        return recordings.numbered(what.camera or _the_one(recordings), start, end, what.stage)


def _the_one(recordings: Recordings) -> str:
    """The camera that is recorded. Raises `ConfigError` where there are several, or none."""
    cameras = recordings.cameras()
    if len(cameras) != 1:
        known = ", ".join(cameras) or "none"
        raise ConfigError(f"{recordings.root}: say which camera with ?camera=NAME; it has: {known}")
    return cameras[0]
