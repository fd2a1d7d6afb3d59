"""One camera's capture: open, read, number, publish; reconnect when it breaks; rest while it is paused.

Rules kept here: `_read` reads a source until it ends or breaks, `run` decides what comes next; a camera that
fails affects itself alone; a new `boot` is drawn only at the start; a paused camera keeps no connection, and
one picture that is asked for is all that is then taken of it.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from mesh.backoff import Backoff
from mesh.clock import Clock
from mesh.codec import DEFAULT_QUALITY
from mesh.control import ControlRefused, Later
from mesh.errors import DecodeError, MeshError, SourceError, SourceRefused
from mesh.frame import draw_boot
from mesh.registry.records import CameraCount, CameraRecord, CameraState
from mesh.transport import Publisher
from nodes.capture.asked import told
from nodes.capture.clockwork import Clockwork
from nodes.capture.feed import STAGE, Feed
from nodes.capture.pace import Decimator, Pacer, Rate, presentation_s
from nodes.capture.snapshots import Snapshots
from nodes.capture.sources.base import Grab, SharedSource, Source, SourceOptions
from nodes.capture.sources.catalog import open_source
from nodes.capture.sources.failures import unforeseen
from nodes.capture.sources.reactor import Reactor
from nodes.capture.valve import Valve
from nodes.redact import redact

log = logging.getLogger(__name__)

GIVE_UP_S = 30.0


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
    speed:      of a source that is read by its own presentation times: 2 is twice as fast
    stage:      what its frames are published as
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
    speed: float = 1.0
    stage: str = STAGE


class Camera:
    """Captures one camera on one thread until it ends, fails or its valve is stopped.

    show:     called with the camera's record when its state changes
    settled:  called when it has ended or failed, so that its node can see whether any camera is left
    reactor:  reads the sources that need no thread of their own
    boot:     the number of this capture; drawn where none is given
    """

    def __init__(
        self,
        config: CameraConfig,
        publisher: Publisher,
        valve: Valve,
        *,
        show: Callable[[CameraRecord], None],
        settled: Callable[[], None],
        clock: Clock,
        clockwork: Clockwork,
        reactor: Reactor | None = None,
        boot: int | None = None,
    ) -> None:
        self.config = config
        boot = draw_boot(clock.wall_ns()) if boot is None else boot
        self.record = CameraRecord(
            name=config.name, source=redact(config.url), node=publisher.node, boot=boot
        )
        self.feed = Feed(
            config.name,
            boot,
            publisher,
            clock,
            clockwork,
            lossless=config.lossless,
            partitions=config.partitions,
            stage=config.stage,
        )
        self._valve = valve
        self._snapshots = Snapshots(config.name, publisher.node, clock)
        self._show, self._settled = show, settled
        self._clock = clock
        self._reactor = reactor
        self._backoff, self._since = Backoff(), clock.monotonic()
        self._decimator, self._rate = Decimator(config.fps), Rate()
        self._pacer = Pacer(speed=config.speed)
        self._opened = self._hopeless = self._ending = False
        self._deadline: float | None = None
        self._ends_by_itself = config.seconds is not None or config.frames is not None
        self._shown: tuple[int, int, int] | None = (
            None  # the size and boot that are shown, while it is online
        )

    def __repr__(self) -> str:
        return f"<Camera {self.record.name} {self.record.state} seq={self.feed.captured}>"

    @property
    def is_settled(self) -> bool:
        """Whether it gives no frames any more, as far as one can tell: a camera that never opened for
        `give_up_s` is tried on, but nobody waits for it."""
        return self._hopeless or self.is_over

    @property
    def is_over(self) -> bool:
        return self.record.state in (CameraState.ENDED, CameraState.FAILED)

    @property
    def is_paused(self) -> bool:
        return self._valve.is_paused and not self.is_over

    def count(self) -> CameraCount:
        boot, captured = self.feed.counted
        return CameraCount(
            camera=self.record.name,
            boot=boot,
            stage=self.config.stage,
            captured=captured,
            dropped=dict(self.feed.dropped),
            ended=self.record.state is CameraState.ENDED,
        )

    def pause(self) -> Later:
        """Rest until `resume`; answered once it does. Raises `ControlRefused` when it is over."""
        self._check_on()
        return self._valve.pause()

    def resume(self) -> None:
        """Go on. Raises `ControlRefused` when it is over."""
        self._check_on()
        self._valve.resume()

    def snapshot(self) -> Later:
        """A JPEG of its next picture, or of the one that it was paused at. Raises `ControlRefused`."""
        later = self._snapshots.ask()
        self._valve.ask()
        return later

    def set(self, settings: Mapping[str, Any]) -> None:
        """Go on with another `fps` or `quality`, from the next picture on. Raises `ControlRefused`."""
        self._check_on()
        self.config = replace(self.config, **settings)

    def status(self) -> dict[str, Any]:
        config, captured = self.config, self.feed.captured
        paused = self.is_paused
        return told(self.record, captured=captured, paused=paused, fps=config.fps, quality=config.quality)

    def _check_on(self) -> None:
        if self._ending and not self.is_over:
            raise ControlRefused(f"camera {self.record.name} has been read to its end")
        if self.is_over:
            raise ControlRefused(self._how_it_ended())

    def _how_it_ended(self) -> str:
        record = self.record
        return f"camera {record.name} has {record.state}" + (f": {record.why}" if record.why else "")

    def run(self) -> None:
        """Capture, and reconnect when the source breaks, until it ends."""
        while self._rest():
            with self._valve.opening() as halt:
                error = None if halt.is_set() else self._try(halt)
            if halt.is_set():
                continue
            if error is None:
                break
            if not isinstance(error, SourceError) or (isinstance(error, SourceRefused) and not self._opened):
                self._fail(error)
                return
            self._lost(error)
            self._wait(self._backoff.next())
        self._end()

    def _rest(self, grab: Grab | None = None) -> bool:
        """Stay while it is paused; False once it is stopped."""
        if self._valve.is_paused and not self._valve.is_stopped:
            before = self.record
            self._hopeless = False
            self._set(CameraState.PAUSED, fps=0.0)
            log.info("camera %s is paused", self.record.name)
            self._valve.rest(lambda: self._serve(grab))
            self._go_on(before.state, held=grab is not None)
        return not self._valve.is_stopped

    def _go_on(self, before: CameraState, *, held: bool) -> None:
        if self._valve.is_stopped:
            return
        log.info("camera %s is resumed", self.record.name)
        self._backoff.reset()
        self._since, self._pacer, self._rate = self._clock.monotonic(), Pacer(speed=self.config.speed), Rate()
        anew = CameraState.RECONNECTING if self._opened else CameraState.CONNECTING
        self._set(before if held and before is not CameraState.PAUSED else anew)

    def _try(self, halt: threading.Event) -> MeshError | None:
        """Read the source once; what ended that, None where it ended by itself."""
        try:
            self._read(halt)
        except MeshError as error:
            return error
        except Exception as error:  # noqa: BLE001 - a fault of a source is its camera's alone
            return SourceError(unforeseen(error))
        return None

    def _read(self, halt: threading.Event) -> None:
        # Scaling takes long; on a thread of each camera's own it runs side by side.
        reactor = None if self.config.size else self._reactor
        source = open_source(self.config.url, self._options(halt, reactor))
        try:
            if source.live and self.config.lossless:
                raise SourceRefused("a live source cannot wait: leave out --lossless, or record it first")
            if not source.live:
                self._valve.keep(halt)
            if isinstance(source, SharedSource) and source.is_shared:
                source.drive(lambda grab: self._takes(grab, source, halt))
                return
            pictures = source if source.live else self._paced(source)
            for grab in pictures:
                if not self._takes(grab, source, halt):
                    return
        finally:
            source.close()

    def _options(self, halt: threading.Event, reactor: Reactor | None) -> SourceOptions:
        config = self.config
        return SourceOptions(config.stall_s, config.loop, halt, self._clock, config.hwaccel, reactor)

    def _takes(self, grab: Grab, source: Source, halt: threading.Event) -> bool:
        """Take a picture, unless it is to be left out; whether another is wanted."""
        if halt.is_set() or (self._ends_by_itself and self._has_enough()):
            return False
        if self._snapshots:
            self._snapshots.give(grab, self.config.size, self.config.quality)
        if not source.live or not self.config.fps or self._is_due(self._clock.monotonic()):
            if not self._take(grab, source):
                return False
            self._backoff.reset()
        return True

    def _is_due(self, at: float) -> bool:
        """Whether `fps` takes a picture of that time."""
        if self._decimator.fps != self.config.fps:
            self._decimator = Decimator(self.config.fps)
        return self._decimator.takes(at)

    def _paced(self, source: Source) -> Iterator[Grab]:
        """The pictures of a source that does not pace itself, thinned out to `fps`, each held until it is
        due, and through a pause."""
        if (self.config.lossless or self.config.pace is Pace.MAX) and not self._await_taker():
            return
        self._pacer = Pacer(speed=self.config.speed)
        for number, grab in enumerate(source):
            at = presentation_s(grab.pts_ns, number, source.fps)
            if not self._is_due(at):
                continue
            if not self._await_turn(grab, at):
                return
            yield grab

    def _await_turn(self, grab: Grab, at: float) -> bool:
        """Hold a picture until it is due; False when it was stopped before."""
        paced = self.config.pace is Pace.REALTIME
        while not self._valve.called.is_set() or self._attend(grab):
            left = self._pacer.wait(at, self._clock.monotonic()) if paced else 0.0
            if left <= 0 or not self._clock.wait(self._valve.called, left):
                return True
        return False

    def _attend(self, grab: Grab | None) -> bool:
        """See to what is asked for between two pictures; False when it was stopped."""
        self._valve.heed()
        self._serve(grab)
        return self._rest(grab)

    def _has_enough(self) -> bool:
        if self._deadline is None and self.config.seconds is not None:
            self._deadline = self._clock.monotonic() + self.config.seconds
        over = self._deadline is not None and self._clock.monotonic() >= self._deadline
        enough = self.config.frames is not None and self.feed.captured >= self.config.frames
        return over or enough

    def _take(self, grab: Grab, source: Source) -> bool:
        """Publish a picture; False when it was stopped before it could be."""
        try:
            config = self.config
            while (frame := self.feed.publish(grab, config.size, config.quality, self._valve.called)) is None:
                if not self._attend(grab):
                    return False
        except DecodeError as error:
            self.feed.dropped["decode"] += 1
            log.debug("camera %s: a damaged picture: %s", self.record.name, error)
            return True
        self._online(source, frame.width, frame.height)
        return True

    def _online(self, source: Source, width: int, height: int) -> None:
        fps = self._rate.tick(self._clock.monotonic())
        boot = self.feed.boot
        if fps is None and self._shown == (width, height, boot):
            return
        seen = self.record
        if seen.state is not CameraState.ONLINE:
            log.info("camera %s is online: %s %dx%d", seen.name, source.codec, width, height)
        self._opened, self._hopeless = True, False
        shown_fps = fps if fps is not None else seen.fps or source.fps
        said: dict[str, object] = {"codec": source.codec, "width": width, "height": height, "boot": boot}
        self._set(CameraState.ONLINE, why="", fps=shown_fps, **said)
        self._shown = width, height, boot

    def _await_taker(self) -> bool:
        """Wait until somebody takes in what is published; False when it was stopped before."""
        if not self.feed.is_taken_in():
            log.info("camera %s waits for somebody to take in its frames", self.record.name)
        while not self.feed.await_taker(self._valve.called):
            if not self._attend(None):
                return False
        return True

    def _serve(self, grab: Grab | None) -> None:
        """Give the picture that is held, or one that the source is opened for, to those who asked."""
        if not self._snapshots:
            return
        if grab is None:
            with self._valve.opening() as halt:
                config, options = self.config, self._options(halt, None)
                self._snapshots.open_for_one(config.url, options, config.size, config.quality)
        elif not self._snapshots.give(grab, self.config.size, self.config.quality):
            self._snapshots.refuse("the picture that it is at is damaged")

    def _wait(self, seconds: float) -> None:
        """Leave the source alone for so long; who asks for a picture meanwhile is told why there is none."""
        until = self._clock.monotonic() + seconds
        while not (self._valve.is_stopped or self._valve.is_paused):
            self._valve.heed()
            self._snapshots.refuse(self.record.why)
            left = until - self._clock.monotonic()
            if left <= 0 or not self._clock.wait(self._valve.called, left):
                return

    def _lost(self, error: MeshError) -> None:
        if self.record.why != str(error):
            log.warning("camera %s: %s; trying again", self.record.name, error)
        self._set(CameraState.RECONNECTING if self._opened else CameraState.CONNECTING, why=str(error))
        if not self._opened and self._clock.monotonic() - self._since >= self.config.give_up_s:
            self._hopeless = True
            self._settled()

    def _fail(self, error: MeshError) -> None:
        log.error("camera %s has failed: %s", self.record.name, error)
        self._over(CameraState.FAILED, str(error))

    def _end(self) -> None:
        self._ending = True
        self.feed.end(self._valve.stopped)
        if self._opened or not self._hopeless:
            self._over(CameraState.ENDED)
        else:  # its name is free again: "connecting" would hold it after the node has gone
            self._over(CameraState.FAILED, self.record.why)
        log.info("camera %s has ended after %d frames", self.record.name, self.feed.captured)

    def _over(self, state: CameraState, why: str = "") -> None:
        self._set(state, why=why)
        self._snapshots.close(self._how_it_ended())
        self._valve.end(self._how_it_ended())
        self._settled()

    def _set(self, state: CameraState, *, why: str = "", **fields: object) -> None:
        self._shown = None
        record = self.record.model_copy(update={"state": state, "why": why, **fields})
        if record != self.record:
            self.record = record
            self._show(record)
