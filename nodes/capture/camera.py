"""One camera's capture: open, read, number, publish; reconnect when it breaks.

Rules kept here: `run_once` reads a source until it ends or breaks, `run` decides what comes next; a camera
that fails affects itself alone; `seq` counts on over reconnects and a new `boot` is drawn only at the start;
what a picture's `captured_ns` says is when it was taken here; one that nobody wants is counted, and neither
converted nor encoded.
"""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from mesh.backoff import Backoff
from mesh.clock import Clock
from mesh.codec import DEFAULT_QUALITY
from mesh.errors import DecodeError, MeshError, SourceError, SourceRefused
from mesh.frame import Codec, EndOfStream, Frame, Hop, draw_boot, new_frame
from mesh.registry.records import CameraCount, CameraRecord, CameraState
from mesh.scope import Scope
from mesh.transport import Publisher
from nodes.capture.pace import Decimator, Pacer
from nodes.capture.picture import GrabPicture
from nodes.capture.sources.base import Grab, SharedSource, Source, SourceOptions
from nodes.capture.sources.catalog import open_source
from nodes.capture.sources.reactor import Reactor
from nodes.capture.sources.redact import redact

log = logging.getLogger(__name__)

STAGE = "raw"
RATE_WINDOW_S = 2.0
GIVE_UP_S = 30.0
UNTIMED_FPS = 25.0

_AT_ONCE = threading.Event()  # what waits for it to be set does not wait
_AT_ONCE.set()


class Pace(StrEnum):
    """How a source that does not pace itself is read."""

    REALTIME = "realtime"  # by its own presentation times
    MAX = "max"  # as fast as it can be read, once somebody listens


@dataclass(frozen=True, slots=True)
class CameraConfig:
    """How one camera is captured.

    url:        its source; see `nodes/capture/sources`
    fps, size:  frames per second at most, and (width, height) to scale to; as the source has them where None
    quality:    of the JPEGs that are encoded here (1 to 100); a camera's own JPEGs pass through untouched
    loop:       begin a file again at its end
    frames, seconds:  end after so many frames, or so long
    lossless:   wait for the consumers, so that no frame is dropped; for sources that can wait
    stall_s:    a live source that is silent for so long is opened again
    hwaccel:    what decodes H.264 and H.265: none, auto, or a kind of device
    give_up_s:  a source that could not be opened for so long is not waited for
    partitions: among so many (1 to 64) its frames are spread, so that several nodes of a group can share them
    """

    name: str
    url: str
    fps: float | None = None
    size: tuple[int, int] | None = None
    quality: int = DEFAULT_QUALITY
    loop: bool = False
    pace: Pace = Pace.REALTIME
    frames: int | None = None
    seconds: float | None = None
    lossless: bool = False
    stall_s: float = 10.0
    hwaccel: str = "none"
    give_up_s: float = GIVE_UP_S
    partitions: int = 1


class Camera:
    """Captures one camera on one thread of `scope` until it ends, fails or the scope stops.

    show:     called with the camera's record when its state changes
    settled:  called when it has ended or failed, so that its node can see whether any camera is left
    reactor:  reads the sources that need no thread of their own
    boot:     the number of this capture; drawn where none is given
    """

    def __init__(
        self,
        config: CameraConfig,
        publisher: Publisher,
        scope: Scope,
        *,
        show: Callable[[CameraRecord], None],
        settled: Callable[[], None],
        clock: Clock,
        reactor: Reactor | None = None,
        boot: int | None = None,
    ) -> None:
        self.config = config
        self.record = CameraRecord(
            name=config.name,
            source=redact(config.url),
            node=publisher.node,
            boot=draw_boot(clock.wall_ns()) if boot is None else boot,
        )
        self._fields = {
            "camera": config.name,
            "boot": self.record.boot,
            "stage": STAGE,
            "lossless": config.lossless,
            "partitions": config.partitions,
        }  # what all its frames have in common
        self._publisher = publisher
        self._scope = scope
        self._show = show
        self._settled = settled
        self._clock = clock
        self._reactor = reactor
        self._seq = 0
        self._dropped: Counter[str] = Counter()
        self._opened = False
        self._hopeless = False
        self._deadline: float | None = None
        self._rate = _Rate(clock)
        self._ends_by_itself = config.seconds is not None or config.frames is not None
        self._shown: tuple[int, int] | None = None  # the size that is shown, while it is online

    def __repr__(self) -> str:
        return f"<Camera {self.record.name} {self.record.state} seq={self._seq}>"

    @property
    def is_settled(self) -> bool:
        """Whether it gives no frames any more, as far as one can tell: a camera that never opened for
        `give_up_s` is tried on, but nobody waits for it."""
        return self._hopeless or self.record.state in (CameraState.ENDED, CameraState.FAILED)

    def count(self) -> CameraCount:
        return CameraCount(
            camera=self.record.name,
            boot=self.record.boot,
            captured=self._seq,
            dropped=dict(self._dropped),
            ended=self.record.state is CameraState.ENDED,
        )

    def run(self) -> None:
        """Capture, and reconnect when the source breaks, until it ends."""
        backoff, since = Backoff(), self._clock.monotonic()
        while not self._scope.stopping.is_set():
            try:
                self._run_once(backoff)
                break
            except SourceError as error:
                if isinstance(error, SourceRefused) and not self._opened:
                    self._fail(error)
                    return
                self._lost(error, since)
            except MeshError as error:
                self._fail(error)
                return
            except Exception as error:  # noqa: BLE001 - a fault of a source is its camera's alone
                self._lost(SourceError(_told(error)), since)
            self._clock.wait(self._scope.stopping, backoff.next())
        self._end()

    def end(self, stop: threading.Event | None = None) -> None:
        """Say to subscribers that the stream has ended, in each partition. Saying it again is harmless.

        A lossless stream's consumers are waited for, until `stop`.
        """
        for end in self._ends():
            self._publisher.end(end, stop)

    def end_at_last(self, stop: threading.Event) -> None:
        """The same, once nothing more is to come: of a lossless stream, where nobody consumes a partition and
        nothing of it is unconfirmed, nobody is waited for."""
        for end in self._ends():
            waits = self._publisher.awaits(STAGE, end.camera, end.partition)
            self._publisher.end(end, stop if waits else _AT_ONCE)

    def _ends(self) -> Iterator[EndOfStream]:
        partitions = self.config.partitions
        end = EndOfStream(self.record.name, self.record.boot, self._seq, STAGE, self.config.lossless)
        for number in range(partitions):
            yield replace(end, partition=number, partitions=partitions)

    def _run_once(self, backoff: Backoff) -> None:
        stop = self._scope.stopping
        config = self.config
        # Scaling takes long; on a thread of each camera's own it runs side by side.
        reactor = None if config.size else self._reactor
        options = SourceOptions(config.stall_s, config.loop, stop, self._clock, config.hwaccel, reactor)
        source = open_source(self.config.url, options)
        try:
            if source.live and self.config.lossless:
                raise SourceRefused("a live source cannot wait: leave out --lossless, or record it first")
            if isinstance(source, SharedSource) and source.is_shared:
                source.drive(self._each(source, backoff))
                return
            for grab in self._paced(source):
                if not self._wanted():
                    return
                self._take(grab, source)
                backoff.reset()
        finally:
            source.close()

    def _each(self, source: Source, backoff: Backoff) -> Callable[[Grab], bool]:
        """What takes each picture of a live source; it says whether another is wanted."""
        decimator = Decimator(self.config.fps) if self.config.fps else None

        def take(grab: Grab) -> bool:
            if not self._wanted():
                return False
            if decimator is None or decimator.takes(self._clock.monotonic()):
                self._take(grab, source)
                backoff.reset()
            return True

        return take

    def _paced(self, source: Source) -> Iterator[Grab]:
        """The source's pictures, thinned out to `fps`, each held until it is due if they have no pace."""
        if not source.live and (self.config.lossless or self.config.pace is Pace.MAX):
            self._await_taker()
        decimator, pacer = Decimator(self.config.fps), Pacer()
        for number, grab in enumerate(source):
            at = self._clock.monotonic() if source.live else _presentation_s(grab, number, source.fps)
            if not decimator.takes(at):
                continue
            if not source.live and self.config.pace is Pace.REALTIME:
                self._clock.wait(self._scope.stopping, pacer.wait(at, self._clock.monotonic()))
            yield grab

    def _wanted(self) -> bool:
        """Whether another frame is wanted: neither stopped, nor enough taken."""
        return not (self._scope.stopping.is_set() or (self._ends_by_itself and self._has_enough()))

    def _has_enough(self) -> bool:
        if self._deadline is None and self.config.seconds is not None:
            self._deadline = self._clock.monotonic() + self.config.seconds
        over = self._deadline is not None and self._clock.monotonic() >= self._deadline
        enough = self.config.frames is not None and self._seq >= self.config.frames
        return over or enough

    def _take(self, grab: Grab, source: Source) -> None:
        try:
            frame, picture = self._framed(grab)
            if not self._publisher.publish(frame, self._scope.stopping, picture):
                return
        except DecodeError as error:
            self._dropped["decode"] += 1
            log.debug("camera %s: a damaged picture: %s", self.record.name, error)
            return
        self._seq += 1
        self._online(source, frame.width, frame.height)

    def _framed(self, grab: Grab) -> tuple[Frame, GrabPicture | None]:
        """The frame of a picture, with a camera's own JPEG, or with what makes one. Raises `DecodeError`."""
        captured_ns, config = self._clock.wall_ns(), self.config
        own = grab.width, grab.height
        size = config.size or own
        passes = not grab.has_pixels and size == own
        fields = self._fields | {
            "seq": self._seq,
            "captured_ns": captured_ns,
            "pts_ns": grab.pts_ns,
            "width": size[0],
            "height": size[1],
            "payload": grab.jpeg(config.quality) if passes else b"",
            "codec": Codec.JPEG if passes else Codec.NONE,
            "detections": grab.detections,
            "hops": (Hop(self._publisher.node, captured_ns, self._clock.wall_ns()),),
        }
        return new_frame(fields), None if passes else GrabPicture(grab, config.quality, size)

    def _online(self, source: Source, width: int, height: int) -> None:
        fps = self._rate.tick()
        if fps is None and self._shown == (width, height):
            return
        seen = self.record
        if seen.state is not CameraState.ONLINE:
            log.info("camera %s is online: %s %dx%d", seen.name, source.codec, width, height)
        self._opened, self._hopeless = True, False
        shown_fps = fps if fps is not None else seen.fps or source.fps
        self._set(CameraState.ONLINE, codec=source.codec, width=width, height=height, fps=shown_fps)
        self._shown = width, height

    def _await_taker(self) -> None:
        name, partitions = self.record.name, self.config.partitions
        if not self._publisher.is_taken_in(STAGE, name, partitions):
            log.info("camera %s waits for somebody to take in %s/%s", name, STAGE, name)
            self._publisher.await_taker(STAGE, name, self._scope.stopping, partitions)

    def _lost(self, error: SourceError, since: float) -> None:
        if self.record.why != str(error):
            log.warning("camera %s: %s; trying again", self.record.name, error)
        self._set(CameraState.RECONNECTING if self._opened else CameraState.CONNECTING, why=str(error))
        if not self._opened and self._clock.monotonic() - since >= self.config.give_up_s:
            self._hopeless = True
            self._settled()

    def _fail(self, error: MeshError) -> None:
        log.error("camera %s has failed: %s", self.record.name, error)
        self._set(CameraState.FAILED, why=str(error))
        self._settled()

    def _end(self) -> None:
        self.end(self._scope.stopping)
        if self._opened or not self._hopeless:
            self._set(CameraState.ENDED)
        else:  # its name is free again: "connecting" would hold it after the node has gone
            self._set(CameraState.FAILED, why=self.record.why)
        log.info("camera %s has ended after %d frames", self.record.name, self._seq)
        self._settled()

    def _set(self, state: CameraState, *, why: str = "", **fields: object) -> None:
        self._shown = None
        record = self.record.model_copy(update={"state": state, "why": why, **fields})
        if record != self.record:
            self.record = record
            self._show(record)


def _presentation_s(grab: Grab, number: int, fps: float) -> float:
    """A picture's presentation time in seconds; by its number where the source has no times."""
    return grab.pts_ns / 1e9 if grab.pts_ns is not None else number / (fps or UNTIMED_FPS)


def _told(error: Exception) -> str:
    """What went wrong that no source foresaw, and where; without its words, in which a URL may stand."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else ""
    return f"an unexpected {type(error).__name__}{where}; please report it"


class _Rate:
    """Frames per second as measured, told at the end of each window."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: float | None = None
        self._frames = 0

    def tick(self) -> float | None:
        """Count a frame; the rate, once a window is full."""
        now = self._clock.monotonic()
        if self._since is None:
            self._since = now
            return None
        self._frames += 1
        if now - self._since < RATE_WINDOW_S:
            return None
        rate = round(self._frames / (now - self._since), 1)
        self._since, self._frames = now, 0
        return rate
