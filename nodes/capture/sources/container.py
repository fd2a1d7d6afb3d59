"""Reading a file, a network camera or a device with FFmpeg, through PyAV.

Rules kept here: a camera's own JPEGs pass through untouched; everything else is decoded, and converted only
when asked for; a packet that does not decode is skipped, a hundred in a row are an error; a container is
opened, read and closed by one thread at a time, `close` from another only asks; a read ends within the stall
time, or soon after `options.stop` or `close`.
"""

import logging
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import av
import av.container.core
import av.error
import av.logging
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from mesh.errors import SourceError, SourceRefused
from nodes.capture.sources.base import Grab, SourceOptions
from nodes.capture.sources.failures import Origin, broken_off, opening_failed, stalled
from nodes.capture.sources.frames import Converter, DecodedGrab
from nodes.capture.sources.hwaccel import AUTO, NONE, accelerator
from nodes.capture.sources.interrupt import InterruptClock
from nodes.capture.sources.jpegs import JpegSeries, lacks_huffman_tables
from nodes.capture.sources.timeline import Timeline

if TYPE_CHECKING:  # generic in its stub alone
    VideoPacket = Packet[VideoStream]
    AnyPacket = Packet[Any]
else:
    VideoPacket = AnyPacket = Packet

log = logging.getLogger(__name__)

MAX_DAMAGED_IN_A_ROW = 100
_POLL_S = 0.005  # how long a device that has no picture yet is left alone
_PASSED_ON = "mjpeg"
_UNTIMED = frozenset(("mpjpeg", "mjpeg"))  # FFmpeg makes up 25 frames per second for these
_TEXT = frozenset(("tty",))  # any .txt, which FFmpeg would play as a terminal's screen
_MAX_CREDIBLE_FPS = 1000

INTERRUPT = InterruptClock()
av.container.core.time = INTERRUPT  # type: ignore[attr-defined]  # see interrupt.py
av.logging.set_level(None)  # FFmpeg stays silent: what goes wrong comes as an exception


@dataclass(frozen=True, slots=True)
class Target:
    """What FFmpeg is to open: `url` as FFmpeg wants it, `format` and `options` by its own names."""

    url: str
    origin: Origin
    format: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)


class ContainerSource:
    """A `Source` over whatever FFmpeg opens. Raises `SourceRefused` or `SourceError` on opening."""

    def __init__(self, target: Target, options: SourceOptions) -> None:
        self._target, self._options = target, options
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._reading = False
        self._container, self._stream = self._open()
        self.live = self._container.duration is None
        self.codec = self._stream.codec_context.name
        self.fps = _fps(self._stream, untimed=self._untimed)
        self._tell_decoder()
        self._timeline = Timeline(self._stream.time_base, self.fps, live=self.live)
        self._converter = Converter()
        self._series = JpegSeries(with_huffman_tables)
        self._damaged = 0

    def __repr__(self) -> str:
        state = "closed" if self._closed.is_set() else "live" if self.live else "open"
        return f"<ContainerSource {self._target.origin.shown} {self.codec} {self.fps:g} fps {state}>"

    def __iter__(self) -> Iterator[Grab]:
        """Every picture in order. Raises `SourceError` when it breaks off."""
        with self._lock:
            if self._closed.is_set() or self._reading:
                return
            self._reading = True
        try:
            yield from self._rounds()
        finally:
            self._reading = False
            self._closed.set()
            self._container.close()

    def close(self) -> None:
        """End the reading, from any thread; a thread that is reading closes the container itself."""
        self._closed.set()
        with self._lock:
            if not self._reading:
                self._container.close()

    def _rounds(self) -> Iterator[Grab]:
        yield from self._grabs()
        while self._options.loop and not self.live and not self._ended():
            if not self._timeline.begin_again():
                raise SourceRefused(f"{self._target.origin.shown} holds no picture that decodes")
            self._container.close()
            self._container, self._stream = self._open()
            yield from self._grabs()

    def _grabs(self) -> Iterator[Grab]:
        pass_on = self.codec == _PASSED_ON
        self._stream.thread_type = "SLICE" if self.live else "AUTO"  # threads by frame cost a live one delay
        for packet in self._packets():
            yield from self._passed_on(packet) if pass_on else self._decoded(packet)

    def _packets(self) -> Iterator[VideoPacket]:
        """The video's packets; from a file also the empty one that flushes the decoder."""
        clock = self._options.clock
        heard = clock.monotonic()
        packets = self._container.demux()
        while not self._ended():
            try:
                with INTERRUPT.until(self._ended):
                    packet: AnyPacket | None = next(packets, None)
            except av.error.BlockingIOError:  # a device: no picture yet
                packet, packets = _NOTHING_YET, self._container.demux()
                clock.wait(self._options.stop, _POLL_S)
            except av.FFmpegError as error:
                if not self._ended():
                    raise self._failure(error, heard) from error
                return
            if packet is None:
                break
            if packet is not _NOTHING_YET and packet.stream_index == self._stream.index:
                heard = clock.monotonic()
                yield packet
            elif clock.monotonic() - heard > self._options.stall_s:
                raise stalled(self._target.origin, self._options.stall_s)
        if self.live and not self._ended():
            raise SourceError(f"{self._target.origin.shown} ended the stream")

    def _failure(self, error: av.FFmpegError, since: float) -> SourceError:
        # FFmpeg does not always say "timed out" when it was: RTSP says "invalid data".
        waited = self._options.clock.monotonic() - since
        if waited >= self._options.stall_s or isinstance(error, av.error.ExitError | av.error.TimeoutError):
            return stalled(self._target.origin, self._options.stall_s)
        return broken_off(self._target.origin, error)

    def _passed_on(self, packet: VideoPacket) -> Iterator[Grab]:
        if packet.size:
            yield self._series.grab(bytes(packet), self._timeline.stamp(self._pts(packet)))

    def _decoded(self, packet: VideoPacket) -> Iterator[Grab]:
        try:
            frames = packet.decode()
            self._damaged = 0
        except av.FFmpegError as error:
            self._damaged += 1
            if self._damaged >= MAX_DAMAGED_IN_A_ROW:
                shown = self._target.origin.shown
                raise SourceError(f"{shown}: {self._damaged} packets in a row do not decode") from error
            return
        for frame in frames:
            yield DecodedGrab(frame, self._timeline.stamp(frame.pts), self._converter)

    def _pts(self, packet: VideoPacket) -> int | None:
        if self.live and self._untimed:
            return None
        return packet.pts if packet.pts is not None else packet.dts

    @property
    def _untimed(self) -> bool:
        return self._container.duration is None and self._container.format.name in _UNTIMED

    def _ended(self) -> bool:
        return self._closed.is_set() or self._options.stop.is_set()

    def _open(self) -> tuple[InputContainer, VideoStream]:
        target, stall_s = self._target, self._options.stall_s
        hwaccel = accelerator(self._options.hwaccel, target.origin.shown)
        since = self._options.clock.monotonic()
        try:
            with INTERRUPT.until(self._ended):
                container = av.open(
                    target.url,
                    "r",
                    format=target.format,
                    options=dict(target.options),
                    timeout=(stall_s, stall_s),
                    metadata_errors="replace",
                    hwaccel=hwaccel,
                )
        except (av.FFmpegError, ValueError) as error:
            raise self._refusal(error, since) from error
        video = _video_of(container, target.origin)
        self._check_decoder(container, video)
        return container, video

    def _check_decoder(self, container: InputContainer, video: VideoStream) -> None:
        """A device that was asked for by its name has to decode the stream, unless nothing decodes it."""
        codec, wanted = video.codec_context, self._options.hwaccel
        if wanted in (NONE, AUTO) or codec.is_hwaccel or codec.name == _PASSED_ON:
            return
        container.close()
        raise SourceRefused(
            f"{self._target.origin.shown}: {wanted} does not decode {codec.name}: use --hwaccel auto or none"
        )

    def _tell_decoder(self) -> None:
        if self._options.hwaccel != NONE and self.codec != _PASSED_ON:
            what = "hardware" if self._stream.codec_context.is_hwaccel else "software"
            log.info("%s: %s is decoded in %s", self._target.origin.shown, self.codec, what)

    def _refusal(self, error: Exception, since: float) -> SourceError:
        if self._ended():
            return SourceError(f"{self._target.origin.shown}: stopped while it was being opened")
        waited = self._options.clock.monotonic() - since
        if waited >= self._options.stall_s or isinstance(error, av.error.ExitError | av.error.TimeoutError):
            return stalled(self._target.origin, self._options.stall_s)
        return opening_failed(self._target.origin, error)


_NOTHING_YET: AnyPacket = Packet()


def ffmpeg_version() -> str:
    """The version of the FFmpeg that PyAV brings."""
    return av.ffmpeg_version_info


def with_huffman_tables(jpeg: bytes) -> bytes:
    """`jpeg` itself, or with the standard Huffman tables put in where the camera left them out."""
    if not lacks_huffman_tables(jpeg):
        return jpeg
    try:
        completed = av.bitstream.BitStreamFilterContext("mjpeg2jpeg", "mjpeg").filter(Packet(jpeg))
    except av.FFmpegError:
        return jpeg  # too damaged to complete: whoever decodes it will say so
    return b"".join(bytes(packet) for packet in completed)


def _video_of(container: InputContainer, origin: Origin) -> VideoStream:
    if container.format.name in _TEXT:
        container.close()
        raise SourceRefused(f"{origin.shown} is not a video but text")
    video = next(iter(container.streams.video), None)
    if video is not None and video.codec_context is not None:
        return video
    container.close()
    what = "holds no video" if video is None else "holds a video that this FFmpeg cannot decode"
    raise SourceRefused(f"{origin.shown} {what}")


def _fps(stream: VideoStream, untimed: bool) -> float:
    rate = None if untimed else stream.average_rate or stream.guessed_rate
    return float(rate) if rate and rate <= _MAX_CREDIBLE_FPS else 0.0
