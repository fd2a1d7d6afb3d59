"""Recordings as a film: `.mkv`, the JPEGs as they are, or `.mp4`, H.264 for browsers and telephones.

Rules kept here: frames keep the times at which they were captured, divided by `speed`; several cameras are on
one clock: side by side in one picture, or, as they are, in a track each; the film is written beside its
place, under another name, and is there whole or not at all, whatever ends the writing; a picture that does
not decode is left out, and counted.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer
from av.video.stream import VideoStream

from mesh.codec import Image
from mesh.errors import ConfigError, DecodeError, StorageError
from mesh.frame import Frame
from mesh.recordings.grid import SECOND_NS, Elapsed, Grid, Size, even, fitted, merged, tile_of
from mesh.recordings.reading import Recordings

GRID_FPS = 25.0
CLOCK = 90_000  # ticks a second, of a film's times
MAX_SIDE = 16_384  # pixels, as of a camera; x264 takes no more either
MAX_BLOCKS = 139_264  # of 16x16 pixels: of H.264's highest level (6.2), beyond which nothing need play it
_H264 = {"preset": "veryfast", "crf": "23"}

Tell = Callable[[float], None]
Picture = tuple[int, Image]  # nanoseconds since the beginning, (H, W, 3) BGR


@dataclass(frozen=True, slots=True)
class Film:
    """What is to be seen.

    cameras:     their names; several stand side by side, or in a track each, in this order; none are all that
                 have a frame
    start, end:  nanoseconds since the epoch; None is as far as there is
    stage:       whose frames; None where there is one alone
    boxes:       whether detections are drawn
    speed:       how many times as fast as it was
    size:        (width, height) of the picture; None is as it was recorded
    fps:         pictures a second, at most; None is as they were recorded, or 25 for several cameras
    skip_gaps:   whether stretches of more than five seconds in which no frame was taken are left out, but for
                 one second
    """

    cameras: tuple[str, ...] = ()
    start: int | None = None
    end: int | None = None
    stage: str | None = None
    boxes: bool = False
    speed: float = 1.0
    size: Size | None = None
    fps: float | None = None
    skip_gaps: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: pictures, seconds of film, and frames left out because they do not decode."""

    pictures: int
    seconds: float
    undecoded: int = 0


@dataclass(frozen=True, slots=True)
class _Found:
    """The ends of what was recorded: the first frame of each camera that has one, and last ones."""

    firsts: Mapping[str, Frame]
    lasts: tuple[Frame, ...]

    @property
    def first(self) -> Frame:
        return min(self.firsts.values(), key=_captured)

    @property
    def last(self) -> Frame:
        return max((*self.lasts, self.first), key=_captured)


def check(film: Film, out: Path) -> None:
    """Refuse what cannot be. Raises `ConfigError`."""
    if out.suffix.lower() not in (".mkv", ".mp4"):
        raise ConfigError(
            f"{out}: a film's name ends in .mp4, or in .mkv for the pictures as they were recorded"
        )
    if len(set(film.cameras)) < len(film.cameras):
        raise ConfigError("a camera is named twice")
    if out.suffix.lower() == ".mkv" and (film.boxes or film.size is not None):
        raise ConfigError(f"{out}: .mkv takes the pictures as they are: write .mp4 for boxes or a size")
    if film.size is not None:
        check_size(film.size)


def check_size(size: Size) -> None:
    """Refuse a picture that H.264 does not hold, before there is one. Raises `ConfigError`."""
    blocks = -(-size[0] // 16) * -(-size[1] // 16)
    if max(size) > MAX_SIDE or blocks > MAX_BLOCKS:
        raise ConfigError(
            f"a picture of {size[0]}x{size[1]} is too large for H.264, which ends at {MAX_SIDE} pixels a side"
            " and 35 million in all: give a smaller --size"
        )


def export(recordings: Recordings, film: Film, out: Path, tell: Tell = lambda share: None) -> Written:
    """Write a film. `tell` is called with how much of it is done, 0 to 1.

    Raises `ConfigError` as `check` does, and `StorageError` where there is no frame, or no place for it.
    """
    check(film, out)
    found = _found(recordings, film)  # of all cameras those are meant that have something
    film = film if film.cameras else replace(film, cameras=tuple(found.firsts))
    told = _telling(tell, found.first.captured_ns, found.last.captured_ns)
    frames = {name: told(recordings.frames(name, film.start, film.end, film.stage)) for name in found.firsts}
    try:
        if out.suffix.lower() == ".mkv":
            return _copied({name: _thinned(each, film) for name, each in frames.items()}, found, film, out)
        if len(film.cameras) == 1:
            return _filmed(_thinned(frames[film.cameras[0]], film), found.first, film, out)
        return _grid(frames, found, film, out)
    except (av.FFmpegError, OSError) as error:
        raise StorageError(f"cannot write {out}: {error.strerror}; choose another place") from error


def _found(recordings: Recordings, film: Film) -> "_Found":
    """Raises `StorageError` where there is no frame."""
    names = film.cameras or _all(recordings, film.stage)
    asked = {name: recordings.frames(name, film.start, film.end, film.stage) for name in names}
    firsts = {name: frame for name, frames in asked.items() if (frame := next(frames, None)) is not None}
    if not firsts:
        raise StorageError(f"no frame of {' or '.join(names)} was recorded {_between(film)}")
    until = film.end - 1 if film.end is not None else 2**62
    lasts = (recordings.frame_at(name, until, first.stage) for name, first in firsts.items())
    return _Found(firsts, tuple(frame for frame in lasts if frame is not None))


def _all(recordings: Recordings, stage: str | None) -> list[str]:
    """The cameras that are recorded at a stage, or at all. Raises `ConfigError` where none is."""
    stages = {name: recordings.stages(name) for name in recordings.cameras()}
    names = [name for name, there in stages.items() if stage is None or stage in there]
    if names:
        return names
    if not stages:
        raise ConfigError(f"{recordings.root} holds no recording")
    known = ", ".join(sorted({each for there in stages.values() for each in there}))
    raise ConfigError(f"no camera is recorded at the stage {stage!r}; there are: {known}")


def _between(film: Film) -> str:
    names = (("from", film.start), ("to", film.end))
    said = [f"{name} {_iso(ns)}" for name, ns in names if ns is not None]
    return " ".join(said) or "at all"


def _iso(ns: int) -> str:
    return f"{datetime.fromtimestamp(ns // SECOND_NS, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _telling(tell: Tell, start_ns: int, end_ns: int) -> Callable[[Iterator[Frame]], Iterator[Frame]]:
    """Frames passed on, with how far they are."""
    span = max(1, end_ns - start_ns)

    def told(frames: Iterator[Frame]) -> Iterator[Frame]:
        for frame in frames:
            tell(min(1.0, max(0.0, (frame.captured_ns - start_ns) / span)))
            yield frame

    return told


def _thinned(frames: Iterator[Frame], film: Film) -> Iterator[Frame]:
    """So many a second of film, at most."""
    period_ns = SECOND_NS * film.speed / film.fps if film.fps else 0.0
    due_ns = 0.0
    for frame in frames:
        at_ns = frame.captured_ns
        if due_ns - 2 * period_ns < at_ns < due_ns:
            continue
        yield frame
        due_ns = due_ns + period_ns if 0 <= at_ns - due_ns < period_ns else at_ns + period_ns


def _copied(frames: Mapping[str, Iterator[Frame]], found: _Found, film: Film, out: Path) -> Written:
    count, elapsed = 0, Elapsed(found.first.captured_ns, film.skip_gaps)
    pts = dict.fromkeys(frames, -1)
    with _writing(out, "matroska", {}) as container:
        container.metadata["title"] = f"{', '.join(frames)} {_iso(found.first.captured_ns)}"
        tracks = {name: _track(container, found.firsts[name]) for name in frames}
        for name, frame in merged(frames):
            packet = av.Packet(bytes(frame.payload))
            pts[name] = _pts(elapsed.at(frame.captured_ns), film, 1000, pts[name])
            packet.pts = packet.dts = pts[name]
            packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 1000), tracks[name], True
            container.mux(packet)
            count += 1
    return Written(count, max(0, *pts.values()) / 1000)


def _track(container: OutputContainer, first: Frame) -> VideoStream:
    stream = _stream(container, "mjpeg", (first.width, first.height), "yuvj420p", 1000)
    stream.metadata["title"] = f"{first.camera} {first.stage}"
    return stream


def _captured(frame: Frame) -> int:
    return frame.captured_ns


def _filmed(frames: Iterable[Frame], first: Frame, film: Film, out: Path) -> Written:
    size = even(film.size or (first.width, first.height))
    elapsed, undecoded = Elapsed(first.captured_ns, film.skip_gaps), 0

    def pictures() -> Iterator[Picture]:
        nonlocal undecoded
        for frame in frames:
            since_ns = elapsed.at(frame.captured_ns)
            try:
                yield since_ns, fitted(frame, size, boxes=film.boxes)
            except DecodeError:
                undecoded += 1

    return _encoded(pictures(), size, film, out, lambda: undecoded)


def _grid(frames: Mapping[str, Iterable[Frame]], found: _Found, film: Film, out: Path) -> Written:
    first = found.first
    tile = tile_of(len(film.cameras), (first.width, first.height), film.size)
    grid = Grid(film.cameras, tile, film.boxes, film.skip_gaps)
    step_ns = max(1, round(SECOND_NS * film.speed / (film.fps or GRID_FPS)))
    pictures = grid.pictures(frames, first.captured_ns, found.last.captured_ns + step_ns, step_ns)
    return _encoded(pictures, grid.size, film, out, lambda: grid.undecoded)


def _encoded(
    pictures: Iterable[Picture], size: Size, film: Film, out: Path, undecoded: Callable[[], int]
) -> Written:
    check_size(size)
    count, pts = 0, -1
    with _writing(out, "mp4", {"movflags": "+faststart"}) as container:
        stream = _stream(container, "libx264", size, "yuv420p", CLOCK)
        for since_ns, image in pictures:
            picture = av.VideoFrame.from_ndarray(image, "bgr24")
            pts = _pts(since_ns, film, CLOCK, pts)
            picture.pts, picture.time_base = pts, Fraction(1, CLOCK)
            container.mux(stream.encode(picture))
            count += 1
        container.mux(stream.encode())
    return Written(count, max(0, pts) / CLOCK, undecoded())


def _pts(since_ns: int, film: Film, clock: int, before: int) -> int:
    """A picture's time, above the last one's."""
    return max(before + 1, round(since_ns / film.speed * clock / SECOND_NS))


def _stream(container: OutputContainer, codec: str, size: Size, pixels: str, clock: int) -> VideoStream:
    stream = container.add_stream(codec, rate=25, options=_H264 if codec == "libx264" else {})
    assert isinstance(stream, VideoStream)
    stream.width, stream.height = size
    stream.pix_fmt = pixels
    stream.time_base = stream.codec_context.time_base = Fraction(1, clock)
    return stream


@contextmanager
def _writing(out: Path, kind: str, options: dict[str, str]) -> Iterator[OutputContainer]:
    """A container that is at `out` once the block has ended, and nowhere when that was by an error."""
    part = out.with_name(f".{out.name}.part")
    # A relative name such as `door-10:00.mkv` would be taken for a URL.
    container = av.open(str(part.absolute()), "w", format=kind, options=options)
    try:
        yield container
        container.close()
        part.replace(out)
    except BaseException:
        part.unlink(missing_ok=True)
        with suppress(av.FFmpegError, OSError):  # it would finish a file that is not wanted
            container.close()
        raise
